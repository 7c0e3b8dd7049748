"""Client address resolution: forwarding headers count only as far as trusted proxies wrote them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from askd.config import fields
from askd.httpserver.client_address import ClientAddressResolver, canonical_address, rate_limit_key

PROXY = "10.0.0.1"
RESOLVER = ClientAddressResolver(fields.networks("10.0.0.0/8, 2001:db8:aa::/48"))


def resolve(peer: str | None = PROXY, *, resolver: ClientAddressResolver = RESOLVER, **headers: str) -> str:
    """Return the client of a request with these headers, named with underscores."""
    return resolver.resolve(peer, CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()}))


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1"])
def test_untrusted_peer_is_the_client(peer: str) -> None:
    """The headers of a peer outside the trusted networks are ignored; without networks, every peer is untrusted."""
    for resolver in (RESOLVER, ClientAddressResolver(())):
        assert resolve(peer, resolver=resolver, X_Forwarded_For="203.0.113.9", Forwarded="for=203.0.113.9") == peer


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
    """The first untrusted address from the right is the client; an invalid element ends the search."""
    assert resolve(X_Forwarded_For=header) == client


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
    """Quoted strings, brackets and ports are parsed (RFC 7239); an element without an address ends the search."""
    assert resolve(Forwarded=header) == client


def test_header_lines_are_joined() -> None:
    """Several lines of one header form one list; the last line was written by the nearest proxy."""
    headers = CIMultiDict([("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "203.0.113.9"), ("a", "b")])
    assert RESOLVER.resolve(PROXY, headers) == "203.0.113.9"


def test_contradictory_headers_are_ignored() -> None:
    """A proxy that writes one header passes on the other: if they disagree, the client forged one of them."""
    assert resolve(X_Forwarded_For="203.0.113.9", Forwarded="for=203.0.113.9") == "203.0.113.9"
    assert resolve(X_Forwarded_For="203.0.113.9", Forwarded="for=6.6.6.6") == PROXY
    assert resolve(X_Forwarded_For="6.6.6.6", Forwarded="for=203.0.113.9") == PROXY


def test_peer_without_ip_address() -> None:
    """A Unix socket has no address; a name is returned unchanged."""
    assert (resolve(None), resolve(""), resolve("testserver")) == ("", "", "testserver")


def test_results_of_long_headers_are_not_cached() -> None:
    """A header with hundreds of hops is resolved, but not kept in memory."""
    resolver = ClientAddressResolver(fields.networks("10.0.0.0/8"))
    header = "6.6.6.6," + "203.0.113.9," + "10.0.0.2," * 800
    assert resolve(resolver=resolver, X_Forwarded_For=header) == "203.0.113.9"
    assert resolver._resolve_headers_cached.cache_info().currsize == 0


def test_results_are_cached() -> None:
    """The same headers are parsed once, and the cache is bounded."""
    resolver = ClientAddressResolver(fields.networks("10.0.0.0/8"))
    for _ in range(3):
        assert resolve(resolver=resolver, X_Forwarded_For="203.0.113.9") == "203.0.113.9"
    info = resolver._resolve_headers_cached.cache_info()
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
def test_ipv6_clients_are_counted_per_64_prefix(address: str, key: str) -> None:
    """All 2^64 addresses of a site share one rate limit."""
    assert rate_limit_key(address) == key


def test_ipv4_mapped_address_is_ipv4() -> None:
    """A dual-stack listener reports IPv4 clients as ::ffff:…."""
    assert canonical_address("::ffff:203.0.113.9") == "203.0.113.9"
    assert resolve("::ffff:10.0.0.1", X_Forwarded_For="203.0.113.9") == "203.0.113.9"


@given(st.text(max_size=80), st.text(max_size=80))
def test_client_cannot_forge_its_address(forwarded_for: str, forwarded: str) -> None:
    """The address that a proxy appends counts, whatever the client sent before it."""
    assert resolve(X_Forwarded_For=f"{forwarded_for},203.0.113.9") == "203.0.113.9"
    assert resolve(Forwarded=f"{forwarded}, for=203.0.113.9;proto=https") == "203.0.113.9"
