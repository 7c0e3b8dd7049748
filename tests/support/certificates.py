"""Certificates for tests, written as cert-manager and Kubernetes write them."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import trustme

HOST = "localhost"
CA = trustme.CA()
"""Certificate authority of all certificates; `client_context` trusts it."""


class CertificateFiles(NamedTuple):
    """Paths of a certificate and its key."""

    cert: Path
    key: Path

    @property
    def tls_settings(self) -> dict[str, str]:
        """The TLS settings with these paths."""
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)}


def issue_certificate(
    *,
    not_after: datetime | None = None,
    not_before: datetime | None = None,
    key_type: trustme.KeyType = trustme.KeyType.ECDSA,
) -> trustme.LeafCert:
    """Issue a certificate for localhost."""
    return CA.issue_cert(HOST, "127.0.0.1", not_before=not_before, not_after=not_after, key_type=key_type)


def write_certificate(folder: Path, leaf: trustme.LeafCert) -> CertificateFiles:
    """Write a certificate and its key, replacing each file atomically."""
    files = CertificateFiles(folder / "tls.crt", folder / "tls.key")
    _replace(files.cert, b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    _replace(files.key, leaf.private_key_pem.bytes())
    return files


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def mount_as_secret(folder: Path, number: int, leaf: trustme.LeafCert) -> CertificateFiles:
    """Write the files as Kubernetes mounts a Secret: symbolic links through `..data`, which is replaced atomically."""
    version = folder / f"..{number}"
    version.mkdir(parents=True)
    write_certificate(version, leaf)
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(version.name)
    (folder / "..new").replace(folder / "..data")
    return CertificateFiles(folder / "tls.crt", folder / "tls.key")


def client_context(*, maximum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return a client context that trusts `CA`."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    context.maximum_version = maximum_version
    return context


def serial_number(leaf: trustme.LeafCert) -> str:
    """Return the serial number of a certificate in the format of `getpeercert`."""
    from cryptography import x509

    number = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number
    text = f"{number:X}"
    return text.zfill(len(text) + len(text) % 2)


def utc_date(year: int, month: int = 1, day: int = 1) -> datetime:
    """Return midnight of a day in UTC."""
    return datetime(year, month, day, tzinfo=UTC)
