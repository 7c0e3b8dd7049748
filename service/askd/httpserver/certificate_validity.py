"""Validity of a certificate, read from its PEM text.

The standard library cannot read the validity of a certificate that has not been verified, so that this module parses
the DER encoding of X.509 up to that field (RFC 5280, section 4.1: Certificate, TBSCertificate, fields in order).
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION_TAG: Final = 0xA0
"""Tag of the version field, which is optional and precedes all others."""
_UTC_TIME_TAG: Final = 0x17
_FIELDS_BEFORE_VALIDITY: Final = 3
"""Serial number, signature algorithm, issuer."""


class CertificateValidity(NamedTuple):
    """Validity period of a certificate, in UTC."""

    not_before: datetime
    not_after: datetime


def read_validity(pem: str) -> CertificateValidity:
    """Return the validity of the first certificate in a PEM text, which is the server's own.

    Raises:
        ValueError: The text contains no certificate, or a damaged one.
    """
    match = _PEM_BLOCK.search(pem)
    if not match:
        raise ValueError("contains no PEM certificate (no line -----BEGIN CERTIFICATE-----)")
    try:
        der = ssl.PEM_cert_to_DER_cert(match[0])
        certificate = _content_range(der, 0)
        fields = [
            field for field in _elements(*_content_range(der, certificate[0])[:2], der) if field[0] != _VERSION_TAG
        ]
        times = list(_elements(*fields[_FIELDS_BEFORE_VALIDITY][1:], der))
        return CertificateValidity(*(_parse_time(tag, der[start:end]) for tag, start, end in times[:2]))
    except (ValueError, IndexError, TypeError):
        # IndexError means missing bytes or fields, and TypeError means fewer than two times.
        raise ValueError("contains a damaged certificate") from None


def _content_range(der: bytes, offset: int) -> tuple[int, int]:
    """Return start and end of the content of the element at an offset."""
    length, start = der[offset + 1], offset + 2
    if length & 0x80:  # long form: the number of length bytes that follow
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    if start + length > len(der):
        raise ValueError("truncated")
    return start, start + length


def _elements(start: int, end: int, der: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield tag, content start and content end of each element in a range."""
    while start < end:
        content_start, content_end = _content_range(der, start)
        yield der[start], content_start, content_end
        start = content_end


def _parse_time(tag: int, text: bytes) -> datetime:
    """Parse a UTCTime, whose two-digit years below 50 mean 20xx, or a GeneralizedTime (RFC 5280, section 4.1.2.5)."""
    digits = text.decode("ascii")
    if tag == _UTC_TIME_TAG:
        digits = ("20" if digits < "50" else "19") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
