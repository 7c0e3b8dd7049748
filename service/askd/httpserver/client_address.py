"""The client: whose address an exchange is counted and logged under, behind proxies as well.

`X-Forwarded-For` and `Forwarded` (RFC 7239) are what whoever asks says, so that they count only where the peer is a
trusted proxy, and only as far as trusted proxies wrote them: read from the right, the first address that is not
trusted is the client. What names no address (`unknown`, an obfuscated identifier, anything malformed) ends the search,
and the last address before it is the client: nothing that a client makes up changes whose rate it uses.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

REMEMBERED: Final = 4096
"""Results that are kept of each step: the clients of a second or a few."""
LONGEST: Final = 512
"""Characters of the longest headers whose result is kept, so that what is kept stays within some megabytes."""

Headers = CIMultiDictProxy[str] | CIMultiDict[str]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT: Final = r"(?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?"
_NODE: Final = re.compile(rf"\[([0-9A-Fa-f:.]+)\]{_PORT}|(\d+\.\d+\.\d+\.\d+){_PORT}|([0-9A-Fa-f:.]+)", re.ASCII)
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the token of RFC 9110, no secret
_VALUE: Final = r'[^\s",;=\\]+|"(?:[^"\\]|\\.)*"'
_PAIR: Final = re.compile(rf"[ \t]*({_TOKEN})=({_VALUE})[ \t]*")
_ESCAPED: Final = re.compile(r"\\(.)")


class Clients:
    """Finds clients behind the proxies of the `trusted` networks, in CIDR notation; none: the peer is the client."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = tuple(map(ipaddress.ip_network, trusted))
        self._cached = lru_cache(maxsize=REMEMBERED)(self._found)
        self._trusts = lru_cache(maxsize=REMEMBERED)(self._is_trusted)

    def of(self, peer: str | None, headers: Headers) -> str:
        """Return the client's address; empty where even the peer has none, as over a Unix socket."""
        if not peer:
            return ""
        if not self._trusted or not self._trusts(peer):
            return canonical(peer)
        forwarded_for = ",".join(headers.getall("X-Forwarded-For", ()))
        forwarded = ",".join(headers.getall("Forwarded", ()))
        if len(forwarded_for) + len(forwarded) > LONGEST:
            return self._found(peer, forwarded_for, forwarded)
        return self._cached(peer, forwarded_for, forwarded)

    def _found(self, peer: str, forwarded_for: str, forwarded: str) -> str:
        """Return the client by both headers. Where they disagree, one was made up by the client: neither counts."""
        ways = [way for way in (_nodes(forwarded_for), _elements(forwarded)) if way is not None]
        found = {self._walk(peer, way) for way in ways}
        return found.pop() if len(found) == 1 else canonical(peer)

    def _walk(self, peer: str, nodes: Iterator[_Address | None]) -> str:
        """Pass over trusted addresses, the nearest first, to the first one that is not."""
        last = canonical(peer)
        for address in nodes:
            if address is None:
                break
            last = str(address)
            if not self._trusts(last):
                break
        return last

    def _is_trusted(self, address: str) -> bool:
        found = _address(address)
        return found is not None and any(found in network for network in self._trusted)


@lru_cache(maxsize=REMEMBERED)
def canonical(address: str) -> str:
    """Return an address in its one spelling, an IPv4-mapped one as IPv4; what is no address as it is."""
    found = _address(address)
    return address if found is None else str(found)


@lru_cache(maxsize=REMEMBERED)
def rate_key(client: str) -> str:
    """Return what a client's rate is counted under: its address; of IPv6 the first 64 bits, the rest is its choice."""
    found = _address(client)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return client


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _node(text: str) -> _Address | None:
    """Read an address with or without a port; IPv6 with a port stands in brackets."""
    found = _NODE.fullmatch(text)
    return _address(found[1] or found[2] or found[3]) if found else None


def _nodes(header: str) -> Iterator[_Address | None] | None:
    """Return the addresses of an X-Forwarded-For, the last first; None for what is none. None: there is no header."""
    return (_node(part) for part in _from_the_right(header)) if header else None


def _elements(header: str) -> Iterator[_Address | None] | None:
    """Return the `for` of a Forwarded's elements in the same way."""
    return (_for(part) for part in _from_the_right(header)) if header else None


def _from_the_right(header: str) -> Iterator[str]:
    """Yield the parts of a list. A comma within quotes parts as well: what was quoted is malformed then, not obeyed."""
    rest, comma = header, ","
    while comma:
        rest, comma, part = rest.rpartition(",")
        if part := part.strip(" \t"):
            yield part


def _for(element: str) -> _Address | None:
    """Read the one `for` of an element, such as `for="[2001:db8::1]:4711";proto=https`."""
    pairs = [_PAIR.fullmatch(pair) for pair in element.split(";")]
    values = [pair[2] for pair in pairs if pair and pair[1].lower() == "for"]
    if len(values) != 1 or None in pairs:
        return None
    value = values[0]
    return _node(_ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value)
