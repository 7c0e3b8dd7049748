"""Listening sockets.

The sockets are not opened by asyncio's `create_server`, because it sets IPV6_V6ONLY (its `::` does not accept IPv4),
and because it takes a different port for each address if port 0 is requested.

The owner of a port is found through /proc on Linux. Format: proc(5), and Documentation/networking/proc_net_tcp.rst of
the kernel.
"""

import contextlib
import errno
import socket
import struct
from typing import Any, Final, NamedTuple

from askd.errors import ListenError
from askd.httpserver.port_owner import port_owner

BACKLOG: Final = 1024
"""Length of the accept queue; the kernel lowers it to net.core.somaxconn. Pass it on to asyncio's create_server and
aiohttp's SockSite, which call listen() again with another default."""

MAX_UNSENT_IN_KERNEL: Final = 256 << 10
"""Bytes of a connection that the kernel accepts beyond those that it has sent."""
_MAX_ATTEMPTS: Final = 20
_NEARBY_PORTS: Final = 20
_ADDRESS_UNAVAILABLE: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_WILDCARD_HINT: Final = "0.0.0.0 for every IPv4 address, :: for every IPv4 and IPv6 address"
_SocketAddress = tuple[int, tuple[Any, ...]]
"""An address family, and an address in the form that sockets of this family take."""


class Listeners(NamedTuple):
    """The open listening sockets of one server."""

    main: list[socket.socket]
    ops: list[socket.socket] | None
    """None if metrics and health checks share the main port."""
    port_conflict: str
    """Message if the default port is in use and another one was chosen; else empty."""


class PortInUseError(ListenError):
    """The port is in use by another process."""


def listen(host: str, port: int, *, flag: str = "--port") -> list[socket.socket]:
    """Open non-blocking listening sockets on the same port, one for each address of `host`.

    Args:
        host: An IP address, optionally in brackets, or a host name. `::` opens one socket for IPv4 and IPv6.
        port: Port number, or 0 for any free port.
        flag: Command-line option that sets the port, for error messages.

    Raises:
        ListenError: Listening failed; all sockets are closed.
    """
    addresses = _resolve(host, port)
    for _ in range(_MAX_ATTEMPTS):
        try:
            return _listen_on_all(addresses, port, flag)
        except _EphemeralPortConflict:
            continue
    raise ListenError(f"no port is free on all addresses of {host}: pass a port number with {flag}")


def open_listeners(host: str, port: int | None, ops_port: int | None, *, default_port: int) -> Listeners:
    """Open the sockets of a server.

    Args:
        host: As for `listen`.
        port: Port for questions. None uses `default_port`, or the next free port if that one is in use.
        ops_port: Port for metrics and health checks. None shares the main port.
        default_port: Port to try first if `port` is None.

    Raises:
        ListenError: An explicit port is in use or not permitted, or the 20 ports after `default_port` are in use too.
    """
    # The ops port first, so that the search for a free main port does not take it.
    ops = None if ops_port is None else listen(host, ops_port, flag="--ops-port")
    try:
        if port is not None:
            return Listeners(listen(host, port), ops, "")
        return _listen_nearby(host, default_port, ops)
    except ListenError:
        for sock in ops or ():
            sock.close()
        raise


def _listen_nearby(host: str, default_port: int, ops: list[socket.socket] | None) -> Listeners:
    try:
        return Listeners(listen(host, default_port), ops, "")
    except PortInUseError as error:
        port_in_use = error
    for port in range(default_port + 1, default_port + 1 + _NEARBY_PORTS):
        with contextlib.suppress(PortInUseError):
            main = listen(host, port)
            owner = port_owner(_resolve(host, port)[0][1][0], default_port) or "another process"
            return Listeners(main, ops, f"port {default_port} is in use by {owner}: using port {port}")
    raise port_in_use


class _EphemeralPortConflict(Exception):
    """The free port chosen for the first address is in use on another address."""


def _resolve(host: str, port: int) -> list[_SocketAddress]:
    host = host.strip().removeprefix("[").removesuffix("]")
    if not host:
        raise ListenError(f"--host is empty: pass an IP address or a host name ({_WILDCARD_HINT})")
    try:
        results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # ValueError: rejected by the IDNA codec or the C library
        reason = error.strerror if isinstance(error, OSError) else "not a valid host name"
        hint = f"pass an address of this machine ({_WILDCARD_HINT})"
        raise ListenError(f"--host={host} cannot be resolved ({reason}): {hint}") from None
    # An address may be listed twice. The second socket would fail because the first one uses the port.
    return list(dict.fromkeys((family, address) for family, _, _, _, address in results))


def _listen_on_all(addresses: list[_SocketAddress], port: int, flag: str) -> list[socket.socket]:
    """Listen on all available addresses.

    Unavailable addresses are skipped if another one works: /etc/hosts often maps localhost to ::1 without IPv6.
    """
    unavailable: list[ListenError] = []
    with contextlib.ExitStack() as on_failure:
        opened: list[socket.socket] = []
        for family, resolved in addresses:
            shared_port = port or (opened[0].getsockname()[1] if opened else 0)
            address = family, (resolved[0], shared_port, *resolved[2:])
            try:
                # A dual-stack `::` would conflict with the socket for 0.0.0.0 if the name has both addresses.
                opened.append(on_failure.enter_context(_open_listener(address, dual_stack=len(addresses) == 1)))
            except OSError as error:
                if error.errno == errno.EADDRINUSE and shared_port and not port:
                    raise _EphemeralPortConflict from None
                error_class = PortInUseError if error.errno == errno.EADDRINUSE else ListenError
                listen_error = error_class(_listen_error_message(error, address, flag))
                if error.errno not in _ADDRESS_UNAVAILABLE:
                    raise listen_error from None
                unavailable.append(listen_error)
        if not opened:
            raise unavailable[0]
        on_failure.pop_all()
        return opened


def _open_listener(address: _SocketAddress, *, dual_stack: bool = True) -> socket.socket:
    """Open one listening socket. With `dual_stack`, `::` also accepts IPv4."""
    family, sockaddr = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restart must not wait for the connections of the old process in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it: the kernel finds clients that vanished without closing their connection.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Also inherited: without it, the kernel keeps up to 4 MB for each client that does not read.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_IN_KERNEL)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not (dual_stack and sockaddr[0] == "::"))
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_error_message(error: OSError, address: _SocketAddress, flag: str) -> str:
    host, port = address[1][:2]
    if error.errno == errno.EADDRINUSE:
        free_port = _find_free_port(address)
        hint = f"pass {flag}={free_port} (free)" if free_port else f"pass another {flag}"
        owner = port_owner(host, port) or "another process"
        return f"port {port} of {host} is in use by {owner}: {hint}, or stop that process"
    if error.errno in {errno.EACCES, errno.EPERM}:
        suggestion = port + 8000 if port < 1024 else 2024
        return f"no permission to listen on port {port} of {host}: pass {flag}={suggestion}, or any port above 1023"
    if error.errno == errno.EAFNOSUPPORT or (error.errno == errno.EADDRNOTAVAIL and host in {"::", "::1"}):
        return f"--host={host} needs IPv6, which is disabled on this machine: pass 0.0.0.0 for every IPv4 address"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host={host} is not an address of this machine: pass one that is ({_WILDCARD_HINT})"
    return f"cannot listen on port {port} of {host}: {error.strerror or error}"


def _find_free_port(address: _SocketAddress) -> int | None:
    """Return the next free port after that of `address`, or None if the next 20 are in use."""
    family, (host, port, *rest) = address
    for candidate in range(port + 1, min(port + 21, 65536)):
        with contextlib.suppress(OSError):
            _open_listener((family, (host, candidate, *rest))).close()
            return candidate
    return None


def reset_on_close(sock: socket.socket | None) -> None:
    """Make the kernel reset the connection and drop its send buffer when the socket is closed. None does nothing.

    Otherwise the kernel keeps megabytes for minutes for each client that does not read, until memory runs out.
    """
    if sock is not None:
        with contextlib.suppress(OSError):  # the client has already reset the connection
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # on, 0 seconds
