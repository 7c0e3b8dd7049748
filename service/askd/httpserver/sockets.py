"""Listening sockets, opened before anything else, with errors that say what to do.

The sockets are our own because asyncio's create_server sets IPV6_V6ONLY, so that its `::` is not reached over IPv4,
and takes a new port for each address where port 0 is asked for.
"""

import contextlib
import errno
import socket
from typing import Any, Final, NamedTuple

from service.errors import ListenError
from service.holders import holder


class Listeners(NamedTuple):
    """The open listening sockets of one server."""

    main: list[socket.socket]
    ops: list[socket.socket] | None
    """None if metrics and probes share the main port."""
    conflict: str
    """One sentence if the default port was taken and the next free one is used; else empty."""


class PortTaken(ListenError):
    """Another process holds the port."""


BACKLOG: Final = 1024
"""Connections that wait to be accepted; the kernel lowers it to net.core.somaxconn. Pass it on: asyncio's
create_server and aiohttp's SockSite call listen() again, with theirs."""

_ATTEMPTS: Final = 20
_NEARBY: Final = 20
_ABSENT: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_EVERYWHERE: Final = "0.0.0.0 for every IPv4 address, :: for every address of both families"

_Place = tuple[int, tuple[Any, ...]]
"""An address family, and an address as sockets of that family take it."""


def listen(host: str, port: int, *, flag: str = "--port") -> list[socket.socket]:
    """Return non-blocking listening sockets, one for each address that `host` has; all have the same port.

    `host` is an address, also in brackets, or a name; `::` is one socket for both families. `port` 0 takes a free one.
    `flag` is the option that sets the port, for the message. Raises ListenError; then nothing stays open.
    """
    places = _places(host, port)
    for _ in range(_ATTEMPTS):
        try:
            return _listen_on_all(places, port, flag)
        except _FreePortTaken:
            continue
    raise ListenError(f"no port is free on all addresses of {host}: pass {flag} with a number")


def open_listeners(host: str, port: int | None, ops_port: int | None, *, default_port: int) -> Listeners:
    """Open the sockets of a server.

    Args:
        host: As for `listen`.
        port: Port for questions. None takes `default_port`, or the next free port if that is taken.
        ops_port: Port for metrics and probes. None: they share the main port.
        default_port: The port to try first if `port` is None.

    Raises:
        ListenError: An explicit port is taken or not permitted, or none of the `_NEARBY` ports is free.
    """
    # The ops port first, so that the search for a free main port does not take it.
    ops = None if ops_port is None else listen(host, ops_port, flag="--ops-port")
    try:
        if port is not None:
            return Listeners(listen(host, port), ops, "")
        return _listen_nearby(host, default_port, ops)
    except ListenError:
        for opened in ops or ():
            opened.close()
        raise


def _listen_nearby(host: str, default_port: int, ops: list[socket.socket] | None) -> Listeners:
    try:
        return Listeners(listen(host, default_port), ops, "")
    except PortTaken as error:
        taken = error
    for port in range(default_port + 1, default_port + 1 + _NEARBY):
        with contextlib.suppress(PortTaken):
            opened = listen(host, port)
            owner = holder(_places(host, port)[0][1][0], default_port) or "another process"
            return Listeners(opened, ops, f"port {default_port} is held by {owner}: using port {port}")
    raise taken


class _FreePortTaken(Exception):
    """The free port that the first address got is taken on another."""


def _places(host: str, port: int) -> list[_Place]:
    host = host.strip().removeprefix("[").removesuffix("]")
    if not host:
        raise ListenError(f"--host is empty: give an address or a name; {_EVERYWHERE}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as fault:  # ValueError: a name that IDNA or the C library refuses
        reason = fault.strerror if isinstance(fault, OSError) else "it is no host name"
        mend = f"give an address of this machine; {_EVERYWHERE}"
        raise ListenError(f"--host={host} cannot be resolved ({reason}): {mend}") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen_on_all(places: list[_Place], port: int, flag: str) -> list[socket.socket]:
    """Addresses that the machine lacks are passed over while there are others: /etc/hosts often names ::1 in vain."""
    absent: list[ListenError] = []
    with contextlib.ExitStack() as on_failure:
        opened: list[socket.socket] = []
        for family, address in places:
            shared = port or (opened[0].getsockname()[1] if opened else 0)
            place = family, (address[0], shared, *address[2:])
            try:
                opened.append(on_failure.enter_context(_open(place, dual=len(places) == 1)))
            except OSError as fault:
                if fault.errno == errno.EADDRINUSE and shared and not port:
                    raise _FreePortTaken from None
                failure = PortTaken if fault.errno == errno.EADDRINUSE else ListenError
                problem = failure(_explanation(fault, place, flag))
                if fault.errno not in _ABSENT:
                    raise problem from None
                absent.append(problem)
        if not opened:
            raise absent[0]
        on_failure.pop_all()
        return opened


def _open(place: _Place, *, dual: bool = True) -> socket.socket:
    """Open one listening socket; a `dual` one serves IPv4 as well where the address is `::`."""
    family, address = place
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        # a restart must not wait for the old process's connections in TIME_WAIT
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not (dual and address[0] == "::"))
        opened.bind(address)
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _explanation(fault: OSError, place: _Place, flag: str) -> str:
    """Return one line: what was tried, what is wrong, what to pass."""
    host, port = place[1][:2]
    if fault.errno == errno.EADDRINUSE:
        free = _free_port(place)
        mend = f"pass {flag}={free}, which is free" if free else f"pass another {flag}"
        return (
            f"port {port} of {host} is held by {holder(host, port) or 'another process'}: {mend}, or end that process"
        )
    if fault.errno in {errno.EACCES, errno.EPERM}:
        usual = port + 8000 if port < 1024 else 2024
        return f"port {port} of {host} is not permitted to this user: pass {flag}={usual}, or any from 1024 on"
    if fault.errno == errno.EAFNOSUPPORT or (fault.errno == errno.EADDRNOTAVAIL and host in {"::", "::1"}):
        return f"--host={host} needs IPv6, which is off on this machine: give 0.0.0.0 for every IPv4 address"
    if fault.errno == errno.EADDRNOTAVAIL:
        return f"--host={host} is no address of this machine: give one that is; {_EVERYWHERE}"
    return f"port {port} of {host} cannot be listened on: {fault.strerror or fault}"


def _free_port(place: _Place) -> int | None:
    """Return a port just above the one tried that is free now; None: the next twenty are not."""
    family, (host, port, *rest) = place
    for candidate in range(port + 1, min(port + 21, 65536)):
        with contextlib.suppress(OSError):
            _open((family, (host, candidate, *rest))).close()
            return candidate
    return None
