"""When a certificate is valid, read from its own bytes."""

import base64
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trustme import KeyType

from service.certificate import validity
from tests.certificates import at, issue

LEAF = issue(begins=at(2020), ends=at(2030))
PEM = LEAF.cert_chain_pems[0].bytes().decode()


@pytest.mark.parametrize("kind", KeyType)
@pytest.mark.parametrize(
    ("begins", "ends"), [(at(2020, 2, 29), at(2049, 12, 31)), (at(1999), at(2050)), (at(2051), at(2100))]
)
def test_its_times_are_read(kind: KeyType, begins: datetime, ends: datetime) -> None:
    """Both moments are read in both of the forms that they may have, for every kind of key."""
    pem = issue(begins=begins, ends=ends, kind=kind).cert_chain_pems[0].bytes().decode()
    assert validity(pem) == (begins, ends)


def test_the_first_one_counts() -> None:
    """Of a chain the first certificate is the server's own; what people write around it does not matter."""
    other = issue(begins=at(2001), ends=at(2002)).cert_chain_pems[0].bytes().decode()
    assert validity(f"subject=CN=x\n{PEM}\nissuer=y\n{other}") == (at(2020), at(2030))


@pytest.mark.parametrize("text", ["", "x", LEAF.private_key_pem.bytes().decode(), "-----BEGIN CERTIFICATE-----"])
def test_what_is_no_certificate_is_told(text: str) -> None:
    """Text without a certificate is told apart from one that is damaged."""
    with pytest.raises(ValueError, match="holds no certificate in PEM"):
        validity(text)


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 200), flipped=st.integers(0, 150), bits=st.integers(0, 255))
def test_damage_is_a_fault_and_nothing_worse(cut: int, flipped: int, bits: int) -> None:
    """Whatever is done to the bytes, times are read or a ValueError says that it is damaged."""
    der = bytearray(base64.b64decode("".join(PEM.splitlines()[1:-1])))
    der[flipped] ^= bits
    body = base64.b64encode(der[: len(der) - cut]).decode()
    try:
        validity(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    except ValueError as fault:
        assert "damaged" in str(fault)  # noqa: PT017 - it need not be raised


def test_no_base64_is_damage() -> None:
    """What stands between the two lines must be base64."""
    with pytest.raises(ValueError, match="damaged"):
        validity("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----")
