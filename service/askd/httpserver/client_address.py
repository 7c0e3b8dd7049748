"""Client address resolution from `X-Forwarded-For` and `Forwarded` (RFC 7239) behind trusted proxies.

Both headers can be forged, so they count only if the peer is a trusted proxy, and only as far as trusted proxies wrote
them. The list is read from the right: the first address outside the trusted networks is the client. An element without
an address (`unknown`, an obfuscated identifier, malformed text) ends the search, and the last address before it is the
client. A client can therefore never choose the address that its rate limit is counted under.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

ADDRESS_CACHE_SIZE: Final = 4096
"""Entries per cache: enough for the clients of the last seconds."""
MAX_CACHED_HEADER_LENGTH: Final = 512
"""Longest headers, in characters, whose result is cached. Bounds the memory of the cache to a few megabytes."""

Headers = CIMultiDictProxy[str] | CIMultiDict[str]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT: Final = r"(?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?"
_NODE: Final = re.compile(rf"\[([0-9A-Fa-f:.]+)\]{_PORT}|(\d+\.\d+\.\d+\.\d+){_PORT}|([0-9A-Fa-f:.]+)", re.ASCII)
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token as defined by RFC 9110, not a secret
# The alternatives in the quotes exclude each other, so that matching takes linear time for any header.
_VALUE: Final = r'[^\s",;=\\]+|"(?:[^"\\]|\\.)*"'
_PAIR: Final = re.compile(rf"[ \t]*({_TOKEN})=({_VALUE})[ \t]*")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


class ClientAddressResolver:
    """Resolves the client address of a request.

    Args:
        trusted: Networks of trusted proxies in CIDR notation. If empty, the peer is always the client.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted_networks = tuple(map(ipaddress.ip_network, trusted))
        self.trusts_proxies = bool(self._trusted_networks)
        """Whether the client may be another than the peer."""
        self._resolve_headers_cached = lru_cache(maxsize=ADDRESS_CACHE_SIZE)(self._resolve_headers)
        self._is_trusted_cached = lru_cache(maxsize=ADDRESS_CACHE_SIZE)(self._is_trusted)

    def resolve(self, peer: str | None, headers: Headers) -> str:
        """Return the client address, or an empty string if the peer is a Unix socket."""
        if not peer:
            return ""
        if not self._trusted_networks or not self._is_trusted_cached(peer):
            return canonical_address(peer)
        # `headers.get` would return only the first line, which the client may have written.
        forwarded_for = ",".join(headers.getall("X-Forwarded-For", ()))
        forwarded = ",".join(headers.getall("Forwarded", ()))
        if len(forwarded_for) + len(forwarded) > MAX_CACHED_HEADER_LENGTH:
            return self._resolve_headers(peer, forwarded_for, forwarded)
        return self._resolve_headers_cached(peer, forwarded_for, forwarded)

    def _resolve_headers(self, peer: str, forwarded_for: str, forwarded: str) -> str:
        """Resolve from both headers.

        A proxy that writes one header passes the other through from the client. If the two disagree, one is forged,
        and both are ignored.
        """
        hop_lists = _parse_x_forwarded_for(forwarded_for), _parse_forwarded(forwarded)
        clients = {self._first_untrusted(peer, hops) for hops in hop_lists if hops is not None}
        return clients.pop() if len(clients) == 1 else canonical_address(peer)

    def _first_untrusted(self, peer: str, hops: Iterator[_Address | None]) -> str:
        last = canonical_address(peer)
        for address in hops:
            if address is None:
                break
            last = str(address)
            if not self._is_trusted_cached(last):
                break
        return last

    def _is_trusted(self, text: str) -> bool:
        address = _parse_address(text)
        return address is not None and any(address in network for network in self._trusted_networks)


@lru_cache(maxsize=ADDRESS_CACHE_SIZE)
def canonical_address(text: str) -> str:
    """Return the canonical spelling of an IP address (IPv4-mapped IPv6 as IPv4); other text is returned unchanged."""
    address = _parse_address(text)
    return text if address is None else str(address)


@lru_cache(maxsize=ADDRESS_CACHE_SIZE)
def rate_limit_key(client: str) -> str:
    """Return the key that the client's rate limit is counted under.

    IPv6 clients are counted per /64, because a site can choose any of the 2^64 addresses in it.
    """
    address = _parse_address(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return client


def _parse_address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket reports IPv4 clients as ::ffff:a.b.c.d, which no IPv4 network contains.
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _parse_node(text: str) -> _Address | None:
    """Parse an address with an optional port. An IPv6 address with a port must be in brackets."""
    match = _NODE.fullmatch(text)
    return _parse_address(match[1] or match[2] or match[3]) if match else None


def _parse_x_forwarded_for(header: str) -> Iterator[_Address | None] | None:
    """Return the addresses from right to left (None for an invalid one), or None if the header is missing."""
    return (_parse_node(part) for part in _split_from_right(header)) if header else None


def _parse_forwarded(header: str) -> Iterator[_Address | None] | None:
    """Return the `for` addresses from right to left (None for an invalid one), or None if the header is missing."""
    return (_parse_forwarded_element(part) for part in _split_from_right(header)) if header else None


def _split_from_right(header: str) -> Iterator[str]:
    """Yield the list elements from right to left.

    A comma inside a quoted string also splits. Both halves are then malformed and end the search, so that a client
    cannot hide elements that a proxy appended behind an open quote.
    """
    rest, comma = header, ","
    while comma:
        rest, comma, part = rest.rpartition(",")
        if part := part.strip(" \t"):
            yield part


def _parse_forwarded_element(element: str) -> _Address | None:
    """Return the `for` address of an element such as `for="[2001:db8::1]:4711";proto=https`."""
    pairs = [_PAIR.fullmatch(pair) for pair in element.split(";")]
    values = [pair[2] for pair in pairs if pair and pair[1].lower() == "for"]
    if len(values) != 1 or None in pairs:
        return None
    value = values[0]
    return _parse_node(_QUOTED_PAIR.sub(r"\1", value[1:-1]) if value.startswith('"') else value)
