"""Parses the URL of a remote answerer, and rejects askd's own address."""

import ipaddress
import re
import socket
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from askd.config import Settings
from askd.errors import SpecError

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL_HINT: Final = (
    "give http://host:port (add #assistant if the LangGraph server has several), or ask+http://host:port for an askd "
    "(add #name if it has several answerers)"
)


class RemoteAddress(NamedTuple):
    """Address of an upstream server."""

    is_askd: bool
    """Whether the server is another askd rather than a LangGraph server."""
    base_url: str
    """URL without a trailing slash."""
    assistant: str
    """Graph name or UUID of the LangGraph assistant, or name of one of several answerers of an askd; empty if the URL
    names none."""


def parse_address(spec: str, settings: Settings) -> RemoteAddress:
    """Parse the spec of a remote answerer.

    Raises:
        SpecError: The URL is malformed, contains credentials, or is askd's own address.
    """
    is_askd = spec.lower().startswith("ask+")
    try:
        url = urlsplit(spec[4:] if is_askd else spec)
        host, port = url.hostname, url.port or _DEFAULT_PORTS[url.scheme]
    except ValueError as error:
        # Neither this message nor the next contains the URL: it may include a password.
        raise SpecError(f"invalid upstream URL: {error}: {_URL_HINT}") from None
    if url.username is not None or url.password is not None:
        raise SpecError(
            "the upstream URL must not contain credentials: remove them, and give an API key in a file with "
            "--upstream-api-key-file"
        )
    reason = _find_url_error(url, is_askd=is_askd)
    if not host or reason:
        raise SpecError(f"invalid upstream URL {spec!r}: {reason or 'the host is missing'}: {_URL_HINT}")
    _reject_own_address(spec, host, port, settings)
    return RemoteAddress(is_askd, f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}", url.fragment)


def _find_url_error(url: SplitResult, *, is_askd: bool) -> str:
    """Return the reason why the URL is invalid, or an empty string."""
    if url.query:
        return "a query is not allowed"
    if re.search(r"[\s\\%]", url.netloc) or not url.netloc.isascii():
        return "the host contains an invalid character"
    if is_askd and url.path.rstrip("/").endswith("/ask"):
        return "remove /ask, which askd appends itself"
    return ""


def _reject_own_address(spec: str, host: str, port: int, settings: Settings) -> None:
    """Raise SpecError if the URL is askd's own address: it would forward questions to itself forever.

    Other names of this machine are not recognized here; the hop limit (`increment_hops`) stops such loops.
    """
    if port == 0 or port not in {settings.main_port, settings.ops_port} or not _is_own_host(host, settings.host):
        return
    flag = "--port" if port == settings.main_port else "--ops-port"
    free_port = port + 1 if port == 8080 else 8080
    raise SpecError(f"{spec} is the address that askd itself listens on: choose another port with {flag} {free_port}")


def _is_own_host(host: str, listen_host: str) -> bool:
    """Return whether a connection to `host` reaches a socket that listens on `listen_host`."""
    if host == listen_host.strip("[]").lower():
        return True
    listens_everywhere = _is_unspecified(listen_host)
    if host.rstrip(".") in {"localhost", "localhost.localdomain"} or host.endswith(".localhost"):
        return listens_everywhere or _is_loopback(listen_host)
    if host == socket.gethostname().lower():
        return listens_everywhere
    return (_is_loopback(host) or _is_unspecified(host)) and (listens_everywhere or _is_loopback(listen_host))


def _is_loopback(host: str) -> bool:
    """Return whether the host is any loopback address.

    All of them count as one host: if askd listens on ::1, a URL with 127.0.0.1 and the same port is most likely a
    mistake.
    """
    address = _parse_ip_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _is_unspecified(host: str) -> bool:
    address = _parse_ip_address(host)
    return not host.strip() if address is None else address.is_unspecified


def _parse_ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
