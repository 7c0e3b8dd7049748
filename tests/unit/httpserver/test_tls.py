"""TLS: what is refused at the start, what clients are shown, and what happens when it is renewed."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from service.certificate import Validity
from service.errors import StartupError
from service.tls import Tls, untimely
from tests.certificates import HOST, Files, at, issue, mount, serial, trusting, write
from tests.telemetry.captured import Captured


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A certificate that is valid."""
    return write(tmp_path, issue())


def served(files: Files) -> Tls:
    """What serves it."""
    return Tls(str(files.cert), str(files.key))


class Talk:
    """A connection in memory, up to its handshake."""

    def __init__(self, tls: Tls, client: ssl.SSLContext) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = tls.context.wrap_bio(up, down, server_side=True)
        self.client = client.wrap_bio(down, up, server_hostname=HOST)

    def shake(self) -> "Talk":
        """Shake hands. Raises what either side raises."""
        done: set[ssl.SSLObject] = set()
        while len(done) < 2:
            for side in (self.client, self.server):
                try:
                    side.do_handshake()
                    done.add(side)
                except ssl.SSLWantReadError:
                    continue
        return self

    @property
    def shown(self) -> str:
        """Serial number of the certificate that the client was shown."""
        return str((self.client.getpeercert() or {})["serialNumber"])


def shown(tls: Tls) -> str:
    """What a new client is shown."""
    return Talk(tls, trusting()).shake().shown


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_today_s_clients_are_served(files: Files, newest: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 work, with forward secrecy, and HTTP/1.1 is agreed on."""
    client = trusting(newest=newest)
    client.set_alpn_protocols(["h2", "http/1.1"])
    talk = Talk(served(files), client).shake()
    assert talk.client.version() == newest.name.replace("_", ".")
    assert talk.client.selected_alpn_protocol() == "http/1.1"
    cipher = (talk.client.cipher() or ("",))[0]
    assert cipher.startswith(("ECDHE-", "DHE-", "TLS_"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_yesterday_s_clients_are_not(files: Files) -> None:
    """TLS 1.1 is refused, by whatever ciphers."""
    client = trusting()
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        Talk(served(files), client).shake()


def spoiled(folder: Path) -> dict[str, tuple[Files, str]]:
    """Pairs that cannot be served, each with what is said."""
    one, other = issue(), issue()
    good = write(folder, one)

    def file(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    locked = serialization.load_pem_private_key(one.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    der = ssl.PEM_cert_to_DER_cert(one.cert_chain_pems[0].bytes().decode())
    key = one.private_key_pem.bytes()
    return {
        "absent": (good._replace(cert=folder / "no"), "--tls-cert={cert}: cannot be read (No such file or directory)"),
        "folder": (good._replace(key=folder), "--tls-key={key}: cannot be read (Is a directory)"),
        "empty": (good._replace(cert=file("empty", b"")), "--tls-cert={cert}: holds no certificate in PEM"),
        "DER": (good._replace(cert=file("der", der)), "--tls-cert={cert}: holds no certificate in PEM"),
        "swapped": (Files(good.key, good.cert), "--tls-cert={cert}: holds no certificate in PEM"),
        "no key": (good._replace(key=good.cert), "--tls-key={key}: holds no private key in PEM"),
        "another's key": (
            good._replace(key=file("other", other.private_key_pem.bytes())),
            "--tls-key={key}: does not belong to the first certificate in {cert}",
        ),
        "another kind of key": (
            good._replace(key=file("rsa", issue(kind=trustme.KeyType.RSA).private_key_pem.bytes())),
            "--tls-key={key}: does not belong to the first certificate in {cert}",
        ),
        "passphrase": (good._replace(key=file("locked", locked)), "--tls-key={key}: needs a passphrase"),
        "damaged key": (good._replace(key=file("half", key[:60] + key[90:])), "OpenSSL refuses them"),
        "damaged certificate": (
            good._replace(cert=file("cut", good.cert.read_bytes()[:200] + b"\n-----END CERTIFICATE-----\n")),
            "--tls-cert={cert}: holds a certificate that is damaged",
        ),
    }


def test_a_faulty_pair_does_not_start(tmp_path: Path) -> None:
    """Each fault names the setting, the file, what is wrong and the mend, and shows nothing of a key."""
    for name, (files, said) in spoiled(tmp_path).items():
        with pytest.raises(StartupError) as raised:
            served(files)
        told = str(raised.value)
        assert said.format(cert=files.cert, key=files.key) in told, name
        assert told.count(": ") >= 2, name
        assert "BEGIN " not in told.replace("-----BEGIN CERTIFICATE-----", "")


@pytest.mark.parametrize("old", trustme.KeyType)
@pytest.mark.parametrize("new", trustme.KeyType)
def test_a_renewed_certificate_is_shown_to_new_connections(
    tmp_path: Path, old: trustme.KeyType, new: trustme.KeyType
) -> None:
    """After a swap in place new clients see the new one alone, whatever its kind of key; a begun one is not broken."""
    before, after = issue(kind=old), issue(kind=new)
    tls = served(mount(tmp_path, 1, before))
    assert shown(tls) == serial(before)
    begun = Talk(tls, trusting())
    mount(tmp_path, 2, after)
    tls.look()
    assert shown(tls) == serial(before)
    tls.look()
    assert begun.shake().shown == serial(before)
    for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert Talk(tls, trusting(newest=newest)).shake().shown == serial(after)
    assert (tls.statistics().reloads, tls.statistics().reload_failures) == (1, 0)


def test_a_broken_pair_leaves_the_old_one(tmp_path: Path) -> None:
    """A certificate without its key is not shown, is counted and logged once, and is when the key has come."""
    before, after = issue(), issue()
    files = write(tmp_path, before)
    tls = served(files)
    with Captured() as log:
        files.cert.write_bytes(after.cert_chain_pems[0].bytes())
        for _ in range(4):
            tls.look()
        (told,) = log.lines("the changed certificate is faulty, the old one stays")
        assert f"--tls-key={files.key}: does not belong" in told["fault"]
        assert shown(tls) == serial(before)
        files.key.unlink()
        for _ in range(2):
            tls.look()
        assert (tls.statistics().reloads, tls.statistics().reload_failures) == (0, 2)
        assert tls.statistics().reload_failing
        write(tmp_path, after)
        for _ in range(2):
            tls.look()
        assert log.lines("certificate read again")
    assert (shown(tls), tls.statistics().reload_failing) == (serial(after), False)


def test_its_end_is_told(tmp_path: Path) -> None:
    """When the certificate ends is a figure to be warned by, and follows the renewal."""
    tls = served(write(tmp_path, issue(ends=at(2030))))
    assert tls.statistics().expires == at(2030).timestamp()
    write(tmp_path, issue(ends=at(2031)))
    for _ in range(2):
        tls.look()
    assert tls.statistics().expires == at(2031).timestamp()


def test_an_expired_one_is_served_with_a_warning(tmp_path: Path) -> None:
    """It is better than none, for some clients do not look; the log says what most will do."""
    tls = served(write(tmp_path, issue()))
    write(tmp_path, issue(begins=at(2019), ends=at(2020)))
    with Captured() as log:
        for _ in range(2):
            tls.look()
        assert log.lines("the certificate has expired on 2020-01-01: clients will refuse it")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        Talk(tls, trusting()).shake()


def test_untimely() -> None:
    """Both ends of the time are told, and nothing within it."""
    valid = Validity(at(2020), at(2021))
    assert untimely(valid, at(2020, 6)) == ""
    assert untimely(valid, at(2021) + timedelta(seconds=1)) == "has expired on 2021-01-01"
    assert untimely(valid, at(2019)) == "is not valid before 2020-01-01 00:00 UTC"
