"""The client's address: what proxies say counts as far as they are trusted, and no further."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from service import units
from service.web.client import Clients, canonical, rate_key

PROXY = "10.0.0.1"
CLIENTS = Clients(units.networks("10.0.0.0/8, 2001:db8:aa::/48"))


def found(peer: str | None = PROXY, *, trusted: Clients = CLIENTS, **headers: str) -> str:
    """The client of a request with these headers, whose names have _ for -."""
    return trusted.of(peer, CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()}))


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1"])
def test_a_peer_that_is_not_trusted_is_the_client(peer: str) -> None:
    """Whatever it says of others, a peer outside the trusted networks is the client; without networks every peer is."""
    for trusted in (CLIENTS, Clients(())):
        assert found(peer, trusted=trusted, X_Forwarded_For="203.0.113.9", Forwarded="for=203.0.113.9") == peer


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6,203.0.113.9 ,10.2.3.4,\t10.0.0.7", "203.0.113.9"),
        ("203.0.113.9, , 10.0.0.7,", "203.0.113.9"),
        ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:DB8:0::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1, 2001:db8:aa::7", "2001:db8::1"),
        ("::ffff:203.0.113.9, ::ffff:10.0.0.7", "203.0.113.9"),
        ("", PROXY),
        (" ", PROXY),
        ("unknown", PROXY),
        ("6.6.6.6, unknown", PROXY),
        ("6.6.6.6, 10.1.1.1.1, 10.0.0.7", "10.0.0.7"),
        ("6.6.6.6, 010.0.0.1", PROXY),
        ("203.0.113.9:port", PROXY),
        ('"203.0.113.9"', PROXY),
        ("203.0.113.9\x00", PROXY),
        ("٢.0.0.1", PROXY),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(header: str, client: str) -> None:
    """The first untrusted address from the right is the client; what is no address ends the search before it."""
    assert found(X_Forwarded_For=header) == client


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=6.6.6.6, FOR=203.0.113.9;proto=https;by=10.0.0.3", "203.0.113.9"),
        ('for="203.0.113.9:4711"', "203.0.113.9"),
        ("for=203.0.113.9:4711", "203.0.113.9"),
        ('for="[2001:db8::1]:4711";host="askd.example:443"', "2001:db8::1"),
        ('for="[2001:db8::1]", for="[2001:db8:aa::9]:_port"', "2001:db8::1"),
        (r'for="203\.0.113.9"', "203.0.113.9"),
        ("proto=https ; for=203.0.113.9", "203.0.113.9"),
        ("for=6.6.6.6, for=_hidden", PROXY),
        ("for=6.6.6.6, for=unknown, for=10.0.0.7", "10.0.0.7"),
        ("for=6.6.6.6, by=10.0.0.3", PROXY),
        ("for=6.6.6.6;for=203.0.113.9", PROXY),
        ("for=2001:db8::1", "2001:db8::1"),
        ("for= 203.0.113.9", PROXY),
        ("203.0.113.9", PROXY),
        ('for="203.0.113.9', PROXY),
        ('for="6.6.6.6, for=203.0.113.9', "203.0.113.9"),
        ('for=203.0.113.9;host="a, for=6.6.6.6"', PROXY),
        (r'for=203.0.113.9;host="a, for=6.6.6.6;x=\""', PROXY),
    ],
)
def test_forwarded_is_read_from_the_right(header: str, client: str) -> None:
    """RFC 7239 with quoted strings, brackets and ports; an element that names no address ends the search before it."""
    assert found(Forwarded=header) == client


def test_a_header_may_come_in_several_lines() -> None:
    """Lines of one header are one list, the last line nearest."""
    headers = CIMultiDict([("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "203.0.113.9"), ("a", "b")])
    assert CLIENTS.of(PROXY, headers) == "203.0.113.9"


def test_both_headers_count_where_they_agree() -> None:
    """A proxy that writes one passes the other on from the client: what they disagree on is not believed."""
    assert found(X_Forwarded_For="203.0.113.9", Forwarded="for=203.0.113.9") == "203.0.113.9"
    assert found(X_Forwarded_For="203.0.113.9", Forwarded="for=6.6.6.6") == PROXY
    assert found(X_Forwarded_For="6.6.6.6", Forwarded="for=203.0.113.9") == PROXY


def test_a_peer_may_have_no_address() -> None:
    """Over a Unix socket there is none; what is no IP address is left as it is."""
    assert (found(None), found(""), found("testserver")) == ("", "", "testserver")


def test_long_headers_are_read_but_not_remembered() -> None:
    """A header of thousands of hops names the same client, and does not stay in memory."""
    clients = Clients(units.networks("10.0.0.0/8"))
    assert found(trusted=clients, X_Forwarded_For="6.6.6.6," + "203.0.113.9," + "10.0.0.2," * 800) == "203.0.113.9"
    assert clients._cached.cache_info().currsize == 0


def test_results_are_remembered() -> None:
    """The same headers are read once, and no more are kept than a bound."""
    clients = Clients(units.networks("10.0.0.0/8"))
    for _ in range(3):
        assert found(trusted=clients, X_Forwarded_For="203.0.113.9") == "203.0.113.9"
    info = clients._cached.cache_info()
    assert (info.hits, info.misses, info.maxsize) == (2, 1, 4096)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_ipv6_is_counted_by_its_first_half(address: str, key: str) -> None:
    """A site has 2^64 addresses, and one rate."""
    assert rate_key(address) == key


def test_a_mapped_address_is_the_ipv4_one() -> None:
    """A listener of both families sees IPv4 clients as ::ffff:…; they are the same clients."""
    assert canonical("::ffff:203.0.113.9") == "203.0.113.9"
    assert found("::ffff:10.0.0.1", X_Forwarded_For="203.0.113.9") == "203.0.113.9"


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_a_client_sends_its_own_address_counts(sent: str, also: str) -> None:
    """A proxy that appends to what the client sent is believed in what it appended, whatever that was."""
    assert found(X_Forwarded_For=f"{sent},203.0.113.9") == "203.0.113.9"
    assert found(Forwarded=f"{also}, for=203.0.113.9;proto=https") == "203.0.113.9"
