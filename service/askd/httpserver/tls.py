"""TLS: the server's certificate, reloaded when its files change without interrupting connections.

A connection keeps the TLS context that it was accepted with; the next connection gets the newest one.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
import structlog

from askd.errors import StartupError
from askd.file_watcher import FileWatcher, take_snapshot
from askd.httpserver.certificate_validity import CertificateValidity, read_validity

MAX_FILE_BYTES: Final = 1 << 20
"""Bytes of a file that are read at most."""

_MISMATCH_REASONS: Final = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
_REJECTION_HINTS: Final = {
    "EE_KEY_TOO_SMALL": "the key is too short: use RSA with at least 2048 bits, or ECDSA with at least 256 bits",
    "CA_MD_TOO_WEAK": "the signature uses a broken hash algorithm: use a certificate signed with SHA-256 or better",
}

_log = structlog.get_logger("askd.tls")


class TlsStatistics(msgspec.Struct, frozen=True):
    """Expiry of the certificate in use, and counts of reloads."""

    expires_at: float
    """Unix time in seconds."""
    reloads: int
    reload_failures: int
    reload_failing: bool
    """Whether the last reload failed, so that the certificate in use is older than the file."""


class CertKeyPair(NamedTuple):
    """A certificate and its key, loaded into a TLS context."""

    context: ssl.SSLContext
    validity: CertificateValidity


class ReloadingContext(ssl.SSLContext):
    """A context for listeners that uses the `current` context for each new connection.

    Loading a new certificate into the same context would not do: a context keeps one certificate per key type, so that
    after a change from RSA to ECDSA some clients would still get the old one. A pair that does not match would leave
    the context with the new certificate and the old key.
    """

    current: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Start TLS on a connection. Event loops call this for every connection."""
        return self.current.wrap_bio(*arguments, **options)


class CertificateReloader:
    """The certificate and key of the server, reloaded when the files change.

    Args:
        cert: Path of the certificate chain in PEM.
        key: Path of the private key in PEM.

    Raises:
        StartupError: The certificate or the key cannot be used.
    """

    def __init__(self, cert: str, key: str) -> None:
        self._cert, self._key = Path(cert), Path(key)
        self.file_watcher = FileWatcher(lambda: take_snapshot((self._cert, self._key)), lambda _paths: self._reload())
        self._cert_key_pair = load_cert_key_pair(self._cert, self._key)
        self.context = ReloadingContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.current = self._cert_key_pair.context
        self._reloads = self._reload_failures = 0
        self._reload_failing = False

    @property
    def validity(self) -> CertificateValidity:
        """Validity of the certificate in use."""
        return self._cert_key_pair.validity

    async def watch(self) -> None:
        """Reload the certificate whenever a file changes, until cancelled."""
        self._warn_if_not_valid()
        await self.file_watcher.run()

    def _reload(self) -> None:
        """Read the changed files. If that fails, log a warning and keep the old certificate."""
        try:
            self._cert_key_pair = load_cert_key_pair(self._cert, self._key)
        except StartupError as error:
            self._reload_failures += 1
            self._reload_failing = True
            _log.warning("tls_certificate_reload_failed", error=str(error))
            return
        self.context.current = self._cert_key_pair.context
        self._reloads += 1
        self._reload_failing = False
        _log.info("tls_certificate_reloaded", expires_at=self.validity.not_after.isoformat())
        self._warn_if_not_valid()

    def statistics(self) -> TlsStatistics:
        """Return the current values."""
        return TlsStatistics(
            expires_at=self.validity.not_after.timestamp(),
            reloads=self._reloads,
            reload_failures=self._reload_failures,
            reload_failing=self._reload_failing,
        )

    def _warn_if_not_valid(self) -> None:
        if problem := validity_problem(self.validity, datetime.now(UTC)):
            _log.warning("tls_certificate_not_valid", reason=problem, path=str(self._cert))


def validity_problem(validity: CertificateValidity, now: datetime) -> str:
    """Return for example `expired on 2026-01-31`, or an empty string if the certificate is valid."""
    if now > validity.not_after:
        return f"expired on {validity.not_after:%Y-%m-%d}"
    return f"not valid before {validity.not_before:%Y-%m-%d %H:%M} UTC" if now < validity.not_before else ""


def load_cert_key_pair(cert: Path, key: Path) -> CertKeyPair:
    """Load a certificate and its key.

    Raises:
        StartupError: The pair cannot be used. The message names the file and a fix, and reveals nothing of the key.
    """
    chain, private_key = _read_file("--tls-cert", cert), _read_file("--tls-key", key)
    try:
        validity = read_validity(chain)
    except ValueError as error:
        raise StartupError(
            f"--tls-cert={cert}: {error}: the file must contain the server certificate in PEM, followed by its chain "
            f"(convert DER with `openssl x509 -inform der`)"
        ) from None
    # OpenSSL would only report "PEM lib".
    if "PRIVATE KEY-----" not in private_key:
        raise StartupError(f"--tls-key={key}: contains no PEM private key: pass the key of the certificate")
    context = _server_context()
    try:
        context.load_cert_chain(cert, key, password=_reject_password_prompt)
    except (OSError, _EncryptedKeyError) as error:  # ssl.SSLError is an OSError
        raise StartupError(_load_error_message(error, cert, key)) from None
    return CertKeyPair(context, validity)


def _server_context() -> ssl.SSLContext:
    """Return the standard library's default context for servers, slightly stricter."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # renegotiation costs the server more than the client
    context.num_tickets = 1  # one is enough to resume HTTP/1.1; the ticket keys change with the certificate
    context.set_alpn_protocols(["http/1.1"])
    return context


class _EncryptedKeyError(Exception):
    """The key needs a passphrase. Without this error, OpenSSL would prompt for it on the terminal."""


def _reject_password_prompt() -> NoReturn:
    raise _EncryptedKeyError


def _read_file(flag: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            # The text before and between the PEM blocks may be in any encoding.
            return file.read(MAX_FILE_BYTES).decode("latin-1")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StartupError(f"{flag}={path}: cannot be read ({reason}): check the path and its permissions") from None


def _load_error_message(error: OSError | _EncryptedKeyError, cert: Path, key: Path) -> str:
    if isinstance(error, _EncryptedKeyError):
        return f"--tls-key={key}: the key is encrypted: pass an unencrypted key (decrypt it with `openssl pkey -in`)"
    reason = getattr(error, "reason", None) or ""
    if reason in _MISMATCH_REASONS:
        return (
            f"--tls-key={key}: does not match the first certificate in {cert}: pass the key of that certificate, and "
            f"put the server certificate before its chain"
        )
    if reason in _REJECTION_HINTS:
        return f"--tls-cert={cert}: {_REJECTION_HINTS[reason]}"
    return f"--tls-cert={cert}, --tls-key={key}: rejected by OpenSSL ({reason or error}): create them again in PEM"
