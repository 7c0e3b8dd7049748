"""Certificates of a test's own, written as cert-manager and others write them."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import trustme

HOST = "localhost"
CA = trustme.CA()
"""Who signs them; clients of the tests believe it."""


class Files(NamedTuple):
    """Where a certificate and its key are."""

    cert: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        """The settings that name them."""
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)}


def issue(
    *, ends: datetime | None = None, begins: datetime | None = None, kind: trustme.KeyType = trustme.KeyType.ECDSA
) -> trustme.LeafCert:
    """Make a certificate for this machine."""
    return CA.issue_cert(HOST, "127.0.0.1", not_before=begins, not_after=ends, key_type=kind)


def write(folder: Path, leaf: trustme.LeafCert) -> Files:
    """Write a certificate and its key into a folder, each file replaced at once."""
    files = Files(folder / "tls.crt", folder / "tls.key")
    _replace(files.cert, b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    _replace(files.key, leaf.private_key_pem.bytes())
    return files


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def mount(folder: Path, number: int, leaf: trustme.LeafCert) -> Files:
    """Write them as Kubernetes mounts a Secret: links through `..data`, which is swapped at once."""
    stamped = folder / f"..{number}"
    stamped.mkdir(parents=True)
    write(stamped, leaf)
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(stamped.name)
    (folder / "..new").replace(folder / "..data")
    return Files(folder / "tls.crt", folder / "tls.key")


def trusting(*, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client's context that believes these certificates, up to this version of TLS."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    context.maximum_version = newest
    return context


def serial(leaf: trustme.LeafCert) -> str:
    """The serial number of a certificate, as `getpeercert` writes it."""
    from cryptography import x509

    number = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number
    text = f"{number:X}"
    return text.zfill(len(text) + len(text) % 2)


def at(year: int, month: int = 1, day: int = 1) -> datetime:
    """A day in UTC."""
    return datetime(year, month, day, tzinfo=UTC)
