"""When a certificate is valid: the one thing that the standard library does not tell of a certificate of one's own.

Reads X.509's DER as far as the validity (RFC 5280, section 4.1: Certificate, TBSCertificate, the fields in order).
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0
"""Tag of the version, which may be left out and else comes first."""
_UTC_TIME: Final = 0x17
_BEFORE_VALIDITY: Final = 3
"""Serial number, signature algorithm, issuer."""


class Validity(NamedTuple):
    """The first and the last moment, in UTC."""

    begins: datetime
    ends: datetime


def validity(text: str) -> Validity:
    """Return when the first certificate of a PEM text, the server's own, is valid. Raises ValueError: there is none."""
    found = _PEM.search(text)
    if not found:
        raise ValueError("holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0])
        certificate = _body(der, 0)
        fields = [field for field in _members(*_body(der, certificate[0])[:2], der) if field[0] != _VERSION]
        times = list(_members(*fields[_BEFORE_VALIDITY][1:], der))
        return Validity(*(_time(tag, der[start:end]) for tag, start, end in times[:2]))
    except (ValueError, IndexError, TypeError):
        raise ValueError("holds a certificate that is damaged") from None


def _body(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at a place begins and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:  # the long form: so many bytes of length follow
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    if start + length > len(der):
        raise ValueError("cut short")
    return start, start + length


def _members(start: int, end: int, der: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield tag, begin and end of each element between two places."""
    while start < end:
        inner, after = _body(der, start)
        yield der[start], inner, after
        start = after


def _time(tag: int, text: bytes) -> datetime:
    """Read UTCTime, whose two digits of a year below 50 mean 20xx, or GeneralizedTime (RFC 5280, section 4.1.2.5)."""
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("20" if digits < "50" else "19") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
