"""TLS: rejected certificates, protocol versions, and certificate reloads."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from askd.errors import StartupError
from askd.httpserver.certificate_validity import CertificateValidity
from askd.httpserver.tls import CertificateReloader, validity_problem
from tests.support.certificates import (
    HOST,
    CertificateFiles,
    client_context,
    issue_certificate,
    mount_as_secret,
    serial_number,
    utc_date,
    write_certificate,
)
from tests.support.log_capture import LogCapture


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """A valid certificate and its key."""
    return write_certificate(tmp_path, issue_certificate())


def load(files: CertificateFiles) -> CertificateReloader:
    """Load a certificate and its key."""
    return CertificateReloader(str(files.cert), str(files.key))


class InMemoryConnection:
    """A TLS connection without sockets."""

    def __init__(self, tls: CertificateReloader, client: ssl.SSLContext) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = tls.context.wrap_bio(to_server, to_client, server_side=True)
        self.client = client.wrap_bio(to_client, to_server, server_hostname=HOST)

    def do_handshake(self) -> "InMemoryConnection":
        """Complete the handshake. Raises the errors of both sides."""
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
    def serial_number(self) -> str:
        """Serial number of the certificate that the client received."""
        return str((self.client.getpeercert() or {})["serialNumber"])


def served_serial_number(tls: CertificateReloader) -> str:
    """Return the serial number of the certificate that a new client receives."""
    return InMemoryConnection(tls, client_context()).do_handshake().serial_number


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_supported_versions(files: CertificateFiles, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are accepted, with forward secrecy, and HTTP/1.1 is negotiated."""
    context = client_context(maximum_version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = InMemoryConnection(load(files), context).do_handshake().client
    assert client.version() == version.name.replace("_", ".")
    assert client.selected_alpn_protocol() == "http/1.1"
    cipher = (client.cipher() or ("",))[0]
    assert cipher.startswith(("ECDHE-", "DHE-", "TLS_"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_rejected(files: CertificateFiles) -> None:
    """TLS 1.1 is rejected with any cipher."""
    context = client_context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        InMemoryConnection(load(files), context).do_handshake()


def invalid_files(folder: Path) -> dict[str, tuple[CertificateFiles, str]]:
    """Return files that cannot be used, each with a part of the error message."""
    leaf, other = issue_certificate(), issue_certificate()
    valid = write_certificate(folder, leaf)

    def write(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    encrypted_key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    key = leaf.private_key_pem.bytes()
    rsa_key = issue_certificate(key_type=trustme.KeyType.RSA).private_key_pem.bytes()
    truncated_cert = valid.cert.read_bytes()[:200] + b"\n-----END CERTIFICATE-----\n"
    no_certificate = "--tls-cert={cert}: contains no PEM certificate"
    mismatch = "--tls-key={key}: does not match the first certificate in {cert}"
    return {
        "missing": (
            valid._replace(cert=folder / "no"),
            "--tls-cert={cert}: cannot be read (No such file or directory)",
        ),
        "directory": (valid._replace(key=folder), "--tls-key={key}: cannot be read (Is a directory)"),
        "empty": (valid._replace(cert=write("empty", b"")), no_certificate),
        "DER": (valid._replace(cert=write("der", der)), no_certificate),
        "swapped": (CertificateFiles(valid.key, valid.cert), no_certificate),
        "no key": (valid._replace(key=valid.cert), "--tls-key={key}: contains no PEM private key"),
        "key of another certificate": (valid._replace(key=write("other", other.private_key_pem.bytes())), mismatch),
        "other type of key": (valid._replace(key=write("rsa", rsa_key)), mismatch),
        "encrypted key": (
            valid._replace(key=write("encrypted", encrypted_key)),
            "--tls-key={key}: the key is encrypted",
        ),
        "damaged key": (valid._replace(key=write("damaged", key[:60] + key[90:])), "rejected by OpenSSL"),
        "damaged certificate": (
            valid._replace(cert=write("truncated", truncated_cert)),
            "--tls-cert={cert}: contains a damaged certificate",
        ),
    }


def test_invalid_files_are_rejected_at_startup(tmp_path: Path) -> None:
    """Each error names the setting, the file, the cause and a fix, and reveals nothing of the key."""
    for name, (files, expected) in invalid_files(tmp_path).items():
        with pytest.raises(StartupError) as raised:
            load(files)
        message = str(raised.value)
        assert expected.format(cert=files.cert, key=files.key) in message, name
        assert message.count(": ") >= 2, name
        assert "BEGIN " not in message.replace("-----BEGIN CERTIFICATE-----", "")


@pytest.mark.parametrize("old_type", trustme.KeyType)
@pytest.mark.parametrize("new_type", trustme.KeyType)
def test_renewed_certificate_is_used_for_new_connections(
    tmp_path: Path, old_type: trustme.KeyType, new_type: trustme.KeyType
) -> None:
    """After a renewal, new clients get only the new certificate; a handshake in progress continues with the old one."""
    old, new = issue_certificate(key_type=old_type), issue_certificate(key_type=new_type)
    tls = load(mount_as_secret(tmp_path, 1, old))
    assert served_serial_number(tls) == serial_number(old)
    in_progress = InMemoryConnection(tls, client_context())
    mount_as_secret(tmp_path, 2, new)
    tls.file_watcher.check()
    assert served_serial_number(tls) == serial_number(old)
    tls.file_watcher.check()
    assert in_progress.do_handshake().serial_number == serial_number(old)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        connection = InMemoryConnection(tls, client_context(maximum_version=version))
        assert connection.do_handshake().serial_number == serial_number(new)
    assert (tls.statistics().reloads, tls.statistics().reload_failures) == (1, 0)


def test_failed_reload_keeps_the_old_certificate(tmp_path: Path) -> None:
    """A certificate without its key is not used; the failure is counted and logged once, until the key arrives."""
    old, new = issue_certificate(), issue_certificate()
    files = write_certificate(tmp_path, old)
    tls = load(files)
    with LogCapture() as log:
        files.cert.write_bytes(new.cert_chain_pems[0].bytes())
        for _ in range(4):
            tls.file_watcher.check()
        (line,) = log.lines("tls_certificate_reload_failed")
        assert f"--tls-key={files.key}: does not match" in line["error"]
        assert served_serial_number(tls) == serial_number(old)
        files.key.unlink()
        for _ in range(2):
            tls.file_watcher.check()
        assert (tls.statistics().reloads, tls.statistics().reload_failures) == (0, 2)
        assert tls.statistics().reload_failing
        write_certificate(tmp_path, new)
        for _ in range(2):
            tls.file_watcher.check()
        assert log.lines("tls_certificate_reloaded")
    assert (served_serial_number(tls), tls.statistics().reload_failing) == (serial_number(new), False)


def test_expiry_is_in_the_statistics(tmp_path: Path) -> None:
    """The statistics contain the expiry of the certificate in use, also after a renewal."""
    tls = load(write_certificate(tmp_path, issue_certificate(not_after=utc_date(2030))))
    assert tls.statistics().expires_at == utc_date(2030).timestamp()
    write_certificate(tmp_path, issue_certificate(not_after=utc_date(2031)))
    for _ in range(2):
        tls.file_watcher.check()
    assert tls.statistics().expires_at == utc_date(2031).timestamp()


def test_expired_certificate_is_used_with_a_warning(tmp_path: Path) -> None:
    """An expired certificate is loaded, because some clients do not verify it, and a warning is logged."""
    tls = load(write_certificate(tmp_path, issue_certificate()))
    files = write_certificate(tmp_path, issue_certificate(not_before=utc_date(2019), not_after=utc_date(2020)))
    with LogCapture() as log:
        for _ in range(2):
            tls.file_watcher.check()
        (line,) = log.lines("tls_certificate_not_valid")
        assert (line["reason"], line["path"]) == ("expired on 2020-01-01", str(files.cert))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        InMemoryConnection(tls, client_context()).do_handshake()


def test_validity_problem() -> None:
    """An expired certificate and one that is not valid yet are reported."""
    validity = CertificateValidity(utc_date(2020), utc_date(2021))
    assert validity_problem(validity, utc_date(2020, 6)) == ""
    assert validity_problem(validity, utc_date(2021) + timedelta(seconds=1)) == "expired on 2021-01-01"
    assert validity_problem(validity, utc_date(2019)) == "not valid before 2020-01-01 00:00 UTC"
