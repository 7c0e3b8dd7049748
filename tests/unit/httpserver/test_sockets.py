"""Listening sockets, and the messages of listen errors."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from askd.errors import ListenError
from askd.httpserver import sockets
from askd.httpserver.sockets import BACKLOG, Listeners, listen, open_listeners

Listen = Callable[..., list[socket.socket]]


@pytest.fixture
def listen_until_end() -> Iterator[Listen]:
    """`listen`, whose sockets are closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def listen_and_close(host: str, port: int, **options: Any) -> list[socket.socket]:
            return [stack.enter_context(listener) for listener in listen(host, port, **options)]

        yield listen_and_close


@pytest.fixture
def used_port() -> Iterator[int]:
    """A port of 127.0.0.1 that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def fake_getaddrinfo(*addresses: str) -> Callable[..., list[Any]]:
    """Return a `getaddrinfo` that resolves every name to these addresses."""

    def getaddrinfo(_host: str, port: int, **_options: Any) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port, *((0, 0) if family == socket.AF_INET6 else ())))
            for family, address in zip(families, addresses, strict=True)
        ]

    return getaddrinfo


def accepts_connections(address: str, port: int) -> bool:
    """Return whether a client can connect."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex((address, port)) == 0


def has_ipv6_loopback() -> bool:
    """Return whether this machine has ::1, which containers often lack."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def port_of(listeners: list[socket.socket]) -> int:
    """Return the port that all sockets share."""
    (port,) = {listener.getsockname()[1] for listener in listeners}
    return int(port)


def test_socket_options(listen_until_end: Listen) -> None:
    """The socket listens, does not block, is not inherited, and allows the reuse of its port after a restart."""
    (listener,) = listen_until_end("127.0.0.1", 0)
    assert accepts_connections("127.0.0.1", port_of([listener]))
    assert listener.gettimeout() == 0
    assert not listener.get_inheritable()
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert BACKLOG >= 128


def test_dual_stack_socket(listen_until_end: Listen) -> None:
    """`::` is one socket that accepts IPv4 and IPv6."""
    port = port_of(listeners := listen_until_end("::", 0))
    assert len(listeners) == 1
    assert accepts_connections("127.0.0.1", port)
    assert accepts_connections("::1", port) == has_ipv6_loopback()


def test_wildcard_ipv4_address(listen_until_end: Listen) -> None:
    """0.0.0.0 is every IPv4 address, and no IPv6 address."""
    port = port_of(listen_until_end("0.0.0.0", 0))
    assert accepts_connections("127.0.0.2", port)
    assert not accepts_connections("::1", port)


def test_address_in_brackets(listen_until_end: Listen) -> None:
    """An IPv6 address may be in brackets, as in URLs."""
    assert listen_until_end("[::]", 0)[0].getsockname()[0] == "::"


def test_host_name_is_resolved(listen_until_end: Listen) -> None:
    """The name localhost is reachable on 127.0.0.1."""
    assert accepts_connections("127.0.0.1", port_of(listen_until_end("localhost", 0)))


def test_addresses_of_a_name_share_the_port(listen_until_end: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with two addresses gets two sockets on the same port, even if any free port is requested."""
    monkeypatch.setattr(socket, "getaddrinfo", fake_getaddrinfo("127.0.0.1", "127.0.0.2", "127.0.0.2"))
    port = port_of(listeners := listen_until_end("two", 0))
    assert len(listeners) == 2
    assert accepts_connections("127.0.0.1", port)
    assert accepts_connections("127.0.0.2", port)


def test_wildcard_addresses_of_both_families(listen_until_end: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name for 0.0.0.0 and :: gets one socket per family; they do not conflict."""
    monkeypatch.setattr(socket, "getaddrinfo", fake_getaddrinfo("0.0.0.0", "::"))
    assert len(listen_until_end("everywhere", 0)) == 2


@pytest.mark.parametrize("addresses", [("192.0.2.7", "127.0.0.1"), ("127.0.0.1", "192.0.2.7")])
def test_unavailable_address_is_skipped(
    listen_until_end: Listen, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, str]
) -> None:
    """An address that the machine does not have is skipped if the name has another one."""
    monkeypatch.setattr(socket, "getaddrinfo", fake_getaddrinfo(*addresses))
    assert [listener.getsockname()[0] for listener in listen_until_end("some", 0)] == ["127.0.0.1"]


def test_no_port_free_on_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the free port of one address is always in use on another, the search for a port ends with an error."""
    monkeypatch.setattr(socket, "getaddrinfo", fake_getaddrinfo("0.0.0.0", "127.0.0.1"))
    with pytest.raises(ListenError, match="no port is free on all addresses of odd: pass a port number with --port"):
        listen("odd", 0)


def test_all_sockets_are_closed_after_an_error(used_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the second address fails, the first socket is closed (a leaked socket would fail the test with a warning)."""
    monkeypatch.setattr(socket, "getaddrinfo", fake_getaddrinfo("127.0.0.2", "127.0.0.1"))
    with pytest.raises(ListenError, match=f"port {used_port} of 127.0.0.1"):
        listen("two", used_port)
    socket.create_server(("127.0.0.2", used_port)).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "localhost"])
def test_used_port_error_names_owner_and_free_port(host: str, used_port: int) -> None:
    """The error is one line with the process that uses the port, its pid, and a free port."""
    with pytest.raises(ListenError) as raised:
        listen(host, used_port)
    message = str(raised.value)
    assert f"port {used_port} of " in message
    assert f"(pid {os.getpid()}): pass --port=" in message
    assert "\n" not in message
    free_port = int(message.partition("--port=")[2].partition(" ")[0])
    assert used_port < free_port <= used_port + 20  # not opened here: another process may take it meanwhile


def test_used_port_error_names_the_flag(used_port: int) -> None:
    """The error for the ops port names --ops-port."""
    with pytest.raises(ListenError, match="pass --ops-port="):
        listen("127.0.0.1", used_port, flag="--ops-port")


def test_port_that_is_bound_but_not_listened_on(listen_until_end: Listen) -> None:
    """A port that is bound with SO_REUSEADDR but not listened on is available."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        assert listen_until_end("127.0.0.1", bound.getsockname()[1])


def test_no_free_port_above_the_highest() -> None:
    """If no higher port is free, the error does not suggest one."""
    assert sockets._find_free_port((socket.AF_INET, ("127.0.0.1", 65535))) is None
    message = sockets._listen_error_message(
        OSError(errno.EADDRINUSE, "x"), (socket.AF_INET, ("192.0.2.7", 65535)), "--port"
    )
    assert message == "port 65535 of 192.0.2.7 is in use by another process: pass another --port, or stop that process"


@pytest.mark.parametrize(
    ("host", "pattern"),
    [
        (
            "192.0.2.7",
            r"--host=192\.0\.2\.7 is not an address of this machine: pass one that is \(0\.0\.0\.0 for every",
        ),
        ("nosuch.invalid", r"--host=nosuch\.invalid cannot be resolved \(.+\): pass an address of this machine"),
        ("a" * 70, r"cannot be resolved \(not a valid host name\)"),
        ("", r"--host is empty: pass an IP address or a host name"),
        ("[]", r"--host is empty"),
    ],
)
def test_invalid_host_error(host: str, pattern: str) -> None:
    """An invalid host, or one of another machine, is an error of one line with a fix."""
    with pytest.raises(ListenError, match=pattern) as raised:
        listen(host, 0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("number", "host", "port", "expected"),
    [
        (errno.EACCES, "0.0.0.0", 80, "no permission to listen on port 80 of 0.0.0.0: pass --port=8080"),
        (errno.EACCES, "0.0.0.0", 5000, "no permission to listen on port 5000 of 0.0.0.0: pass --port=2024"),
        (errno.EAFNOSUPPORT, "::", 2024, "--host=:: needs IPv6, which is disabled on this machine: pass 0.0.0.0"),
        (errno.EADDRNOTAVAIL, "::1", 2024, "--host=::1 needs IPv6, which is disabled on this machine"),
        (errno.EADDRNOTAVAIL, "2001:db8::1", 2024, "--host=2001:db8::1 is not an address of this machine"),
        (errno.ENOBUFS, "::", 1, "cannot listen on port 1 of ::: No buffer space available"),
    ],
)
def test_operating_system_errors_are_explained(number: int, host: str, port: int, expected: str) -> None:
    """Each error of the operating system becomes one line with a fix."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    error = OSError(number, os.strerror(number))
    assert sockets._listen_error_message(error, (family, (host, port)), "--port").startswith(expected)


def close(listeners: Listeners) -> None:
    """Close all sockets."""
    for listener in [*listeners.main, *(listeners.ops or [])]:
        listener.close()


def test_used_default_port_falls_back_to_the_next(used_port: int) -> None:
    """If no port is set and the default one is in use, the next free port is used, and the owner is reported."""
    listeners = open_listeners("127.0.0.1", None, None, default_port=used_port)
    port = port_of(listeners.main)
    close(listeners)
    assert used_port < port <= used_port + 20
    assert f"port {used_port} is in use by " in listeners.port_conflict
    assert f"(pid {os.getpid()}): using port {port}" in listeners.port_conflict


def test_free_default_port_is_used(used_port: int) -> None:
    """A free default port is used, and no conflict is reported."""
    free_port = sockets._find_free_port((socket.AF_INET, ("127.0.0.1", used_port)))
    assert free_port
    listeners = open_listeners("127.0.0.1", None, None, default_port=free_port)
    port = port_of(listeners.main)
    close(listeners)
    assert (port, listeners.port_conflict) == (free_port, "")


def test_search_for_a_free_port_skips_the_ops_port(used_port: int) -> None:
    """The ops port is opened first, so that the search for a main port does not take it."""
    free_port = sockets._find_free_port((socket.AF_INET, ("127.0.0.1", used_port)))
    assert free_port
    listeners = open_listeners("127.0.0.1", None, free_port, default_port=used_port)
    assert listeners.ops
    main_port, ops_port = port_of(listeners.main), port_of(listeners.ops)
    close(listeners)
    assert ops_port == free_port != main_port


def test_explicit_port_in_use_is_an_error(used_port: int) -> None:
    """An explicit port is never replaced by another one, and the ops port is closed."""
    with pytest.raises(ListenError, match=f"port {used_port} of 127.0.0.1 is in use by"):
        open_listeners("127.0.0.1", used_port, 0, default_port=2024)
