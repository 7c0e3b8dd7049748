"""Validity of a certificate, read from its DER encoding."""

import base64
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trustme import KeyType

from askd.httpserver.certificate_validity import read_validity
from tests.support.certificates import issue_certificate, utc_date

LEAF = issue_certificate(not_before=utc_date(2020), not_after=utc_date(2030))
PEM = LEAF.cert_chain_pems[0].bytes().decode()


@pytest.mark.parametrize("key_type", KeyType)
@pytest.mark.parametrize(
    ("not_before", "not_after"),
    [
        (utc_date(2020, 2, 29), utc_date(2049, 12, 31)),
        (utc_date(1999), utc_date(2050)),
        (utc_date(2051), utc_date(2100)),
    ],
)
def test_both_time_formats_are_read(key_type: KeyType, not_before: datetime, not_after: datetime) -> None:
    """UTCTime and GeneralizedTime are read, for every type of key."""
    leaf = issue_certificate(not_before=not_before, not_after=not_after, key_type=key_type)
    assert read_validity(leaf.cert_chain_pems[0].bytes().decode()) == (not_before, not_after)


def test_first_certificate_of_a_chain_is_read() -> None:
    """The first certificate of a chain is the server's own; text between the PEM blocks is ignored."""
    other = issue_certificate(not_before=utc_date(2001), not_after=utc_date(2002)).cert_chain_pems[0].bytes().decode()
    assert read_validity(f"subject=CN=x\n{PEM}\nissuer=y\n{other}") == (utc_date(2020), utc_date(2030))


@pytest.mark.parametrize("text", ["", "x", LEAF.private_key_pem.bytes().decode(), "-----BEGIN CERTIFICATE-----"])
def test_text_without_a_certificate_is_rejected(text: str) -> None:
    """The error differs from that of a damaged certificate."""
    with pytest.raises(ValueError, match="contains no PEM certificate"):
        read_validity(text)


@settings(max_examples=200)
@given(truncated=st.integers(0, 200), flipped=st.integers(0, 150), bits=st.integers(0, 255))
def test_damaged_certificate_raises_value_error(truncated: int, flipped: int, bits: int) -> None:
    """Whatever bytes are changed, the validity is read or a ValueError reports the damage."""
    der = bytearray(base64.b64decode("".join(PEM.splitlines()[1:-1])))
    der[flipped] ^= bits
    body = base64.b64encode(der[: len(der) - truncated]).decode()
    try:
        read_validity(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    except ValueError as error:
        assert "damaged" in str(error)  # noqa: PT017 - it need not be raised


def test_invalid_base64_is_damage() -> None:
    """A PEM block must contain base64."""
    with pytest.raises(ValueError, match="damaged"):
        read_validity("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----")
