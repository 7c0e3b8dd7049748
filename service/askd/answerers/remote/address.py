"""The spec of a remote answerer: which kind of server it names, where that is, and that it is not askd itself."""

import ipaddress
import re
import socket
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from service.errors import SpecError
from service.settings import Settings

_PORTS: Final = {"http": 80, "https": 443}
_GIVE: Final = "give http://host:port, with #assistant where there are several, or ask+http://host:port for an askd"


class Address(NamedTuple):
    """Where a server is. `base` is its URL without a slash at the end; `assistant` is empty where none is named."""

    askd: bool
    base: str
    assistant: str


def parsed(spec: str, settings: Settings) -> Address:
    """Return where the spec leads. Raises SpecError: malformed, a password in it, or askd's own address."""
    askd = spec.lower().startswith("ask+")
    try:
        url = urlsplit(spec[4:] if askd else spec)
        host, port = url.hostname, url.port or _PORTS[url.scheme]
    except ValueError as error:
        raise SpecError(f"the answerer's address is none, {error}: {_GIVE}") from None
    if url.username is not None or url.password is not None:
        # Not shown again: it may be a secret.
        raise SpecError(
            "the answerer's address has a user in it: leave that out, and give a key in a file with --upstream-key-file"
        )
    fault = _fault(url, askd=askd)
    if not host or fault:
        raise SpecError(f"{spec!r} names no server, {fault or 'it has no host'}: {_GIVE}")
    _refuse_own(spec, host, port, settings)
    return Address(askd, f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}", url.fragment)


def _fault(url: SplitResult, *, askd: bool) -> str:
    """Return what the URL has that it should not have; empty when all is well."""
    if url.query:
        return "it has a query"
    if re.search(r"[\s\\%]", url.netloc) or not url.netloc.isascii():
        return "its host has a character that hosts have not"
    if askd and url.path.rstrip("/").endswith("/ask"):
        return "/ask is added by askd itself"
    return "an askd has no assistants" if askd and url.fragment else ""


def _refuse_own(spec: str, host: str, port: int, settings: Settings) -> None:
    """A server that asks itself never answers. Another name for this machine is found by the hops, when it is asked."""
    if port == 0 or port not in {settings.main_port, settings.ops_port} or not _is_here(host, settings.host):
        return
    flag = "--port" if port == settings.main_port else "--ops-port"
    free = port + 1 if port == 8080 else 8080
    raise SpecError(f"{spec} is the address that askd itself is to listen on: give askd another, {flag} {free}")


def _is_here(host: str, listening: str) -> bool:
    """Whether a connection to `host` comes to a socket that listens on the address `listening`."""
    if host == listening.strip("[]").lower():
        return True
    everywhere = _unspecified(listening)
    if host.rstrip(".") in {"localhost", "localhost.localdomain"} or host.endswith(".localhost"):
        return everywhere or _loopback(listening)
    if host == socket.gethostname().lower():
        return everywhere
    return (_loopback(host) or _unspecified(host)) and (everywhere or _loopback(listening))


def _loopback(host: str) -> bool:
    """Any of them counts: whoever serves on ::1 and asks 127.0.0.1 at the same port most likely means himself."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _unspecified(host: str) -> bool:
    address = _address(host)
    return not host.strip() if address is None else address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
