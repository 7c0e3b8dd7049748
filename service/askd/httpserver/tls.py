"""TLS: the certificate that the server shows, read again when it changes, without a connection being lost.

A connection keeps the context that it began with; the next one gets the newest.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
import structlog

from service.certificate import Validity, validity
from service.changes import Changes, state, watch
from service.errors import StartupError

LARGEST: Final = 1 << 20
"""Bytes of a file that are looked at."""

_MISMATCH: Final = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
_REASONS: Final = {
    "EE_KEY_TOO_SMALL": "its key is too short: make one of 2048 bits RSA or more, or of 256 bits ECDSA",
    "CA_MD_TOO_WEAK": "it is signed with a hash that is broken: have it signed with SHA-256 or better",
}

_log = structlog.get_logger("askd.tls")


class Statistics(msgspec.Struct, frozen=True):
    """What is shown, and what was counted."""

    expires: float
    """When the certificate ends, in seconds since 1970."""
    reloads: int
    reload_failures: int
    reload_failing: bool
    """Whether the last reload failed, so that the certificate shown is older than the file."""


class Pair(NamedTuple):
    """A certificate with its key, ready to serve."""

    context: ssl.SSLContext
    validity: Validity


class Renewing(ssl.SSLContext):
    """A context for listeners: each connection gets the newest one, which stands behind this.

    Not the same context loaded again: it keeps a certificate for each kind of key, so that after a change from RSA to
    ECDSA it would go on showing the old one to some; and a pair that does not match would leave it with half of each.
    """

    newest: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection; event loops call this for every one."""
        return self.newest.wrap_bio(*arguments, **options)


class Tls:
    """The certificate in `cert` with the key in `key`, both PEM. Raises StartupError where they are faulty."""

    def __init__(self, cert: str, key: str) -> None:
        self._cert, self._key = Path(cert), Path(key)
        self._changes = Changes(lambda: state((self._cert, self._key)))
        self._pair = load(self._cert, self._key)
        self.context = Renewing(ssl.PROTOCOL_TLS_SERVER)
        self.context.newest = self._pair.context
        self._reloads = self._failures = 0
        self._failing = False

    @property
    def validity(self) -> Validity:
        """When the certificate that is shown is valid."""
        return self._pair.validity

    async def watch(self) -> None:
        """Read again whenever a file has changed; until cancelled."""
        self._warn()
        await watch(self.look)

    def look(self) -> None:
        """Read again where a file has changed. A faulty pair leaves the old one in force, and is logged once."""
        if not self._changes.settled():
            return
        try:
            self._pair = load(self._cert, self._key)
        except StartupError as fault:
            self._failures += 1
            self._failing = True
            _log.warning("the changed certificate is faulty, the old one stays", fault=str(fault))
            return
        self.context.newest = self._pair.context
        self._reloads += 1
        self._failing = False
        _log.info("certificate read again", expires=self.validity.ends.isoformat())
        self._warn()

    def statistics(self) -> Statistics:
        """Return what is counted now."""
        return Statistics(
            expires=self.validity.ends.timestamp(),
            reloads=self._reloads,
            reload_failures=self._failures,
            reload_failing=self._failing,
        )

    def _warn(self) -> None:
        if trouble := untimely(self.validity, datetime.now(UTC)):
            _log.warning(f"the certificate {trouble}: clients will refuse it", file=str(self._cert))


def untimely(valid: Validity, now: datetime) -> str:
    """Return `has expired on 2026-01-31`, or that it is not valid yet; empty while it is."""
    if now > valid.ends:
        return f"has expired on {valid.ends:%Y-%m-%d}"
    return f"is not valid before {valid.begins:%Y-%m-%d %H:%M} UTC" if now < valid.begins else ""


def load(cert: Path, key: Path) -> Pair:
    """Read a pair. Raises StartupError, which names the file, the fault and the mend, and shows nothing of the key."""
    chain, secret = _read("--tls-cert", cert), _read("--tls-key", key)
    try:
        found = validity(chain)
    except ValueError as fault:
        raise StartupError(
            f"--tls-cert={cert}: {fault}: give the server's certificate first, then its chain "
            f"(`openssl x509 -inform der` makes PEM of DER)"
        ) from None
    if "PRIVATE KEY-----" not in secret:
        raise StartupError(f"--tls-key={key}: holds no private key in PEM: give the certificate's")
    context = _context()
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, _Encrypted) as fault:  # ssl's errors are OSErrors too
        raise StartupError(_why(fault, cert, key)) from None
    return Pair(context, found)


def _context() -> ssl.SSLContext:
    """Return what the standard library thinks best for servers, and a little stricter."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # it costs the server more than the client
    context.num_tickets = 1  # a client of HTTP/1.1 resumes with one; the keys for them change with the certificate
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Encrypted(Exception):
    """The key needs a passphrase, for which OpenSSL would ask at the terminal."""


def _no_password() -> NoReturn:
    raise _Encrypted


def _read(flag: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode("latin-1")  # what is before and between the PEM blocks may be any text
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or str(fault)
        raise StartupError(f"{flag}={path}: cannot be read ({why}): check the path and its permissions") from None


def _why(fault: OSError | _Encrypted, cert: Path, key: Path) -> str:
    if isinstance(fault, _Encrypted):
        return f"--tls-key={key}: needs a passphrase: give the key without one (`openssl pkey -in` that file makes it)"
    reason = getattr(fault, "reason", None) or ""
    if reason in _MISMATCH:
        return (
            f"--tls-key={key}: does not belong to the first certificate in {cert}: give the two that were made "
            f"together, the server's own certificate before those of its chain"
        )
    if reason in _REASONS:
        return f"--tls-cert={cert}: {_REASONS[reason]}"
    return f"--tls-cert={cert}, --tls-key={key}: OpenSSL refuses them ({reason or fault}): make them anew, as PEM"
