"""Listening sockets: real ones, and errors that say what to do."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service import sockets
from service.errors import ListenError
from service.sockets import BACKLOG, Listeners, listen, open_listeners

Listen = Callable[..., list[socket.socket]]


@pytest.fixture(name="opened")
def closing_listen() -> Iterator[Listen]:
    """Give `listen` whose sockets are closed after the test."""
    with contextlib.ExitStack() as stack:

        def opened(host: str, port: int, **more: Any) -> list[socket.socket]:
            return [stack.enter_context(found) for found in listen(host, port, **more)]

        yield opened


@pytest.fixture(name="held")
def held_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that this process holds."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def resolver(*addresses: str) -> Callable[..., list[Any]]:
    """A name service that knows these addresses for every name."""

    def getaddrinfo(_host: str, port: int, **_more: Any) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port, *((0, 0) if family == socket.AF_INET6 else ())))
            for family, address in zip(families, addresses, strict=True)
        ]

    return getaddrinfo


def reaches(address: str, port: int) -> bool:
    """Whether a client gets a connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex((address, port)) == 0


def has_ipv6_loopback() -> bool:
    """Whether this machine has ::1, which containers often lack."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def port_of(found: list[socket.socket]) -> int:
    """The one port that all sockets have."""
    (port,) = {each.getsockname()[1] for each in found}
    return int(port)


def test_a_socket_listens_and_never_blocks(opened: Listen) -> None:
    """The socket accepts at once, does not block, is not inherited, and may follow a process that just ended."""
    (found,) = opened("127.0.0.1", 0)
    assert reaches("127.0.0.1", port_of([found]))
    assert found.gettimeout() == 0
    assert not found.get_inheritable()
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert BACKLOG >= 128


def test_both_families_through_one_socket(opened: Listen) -> None:
    """`::` is one socket that is reached over IPv4 and over IPv6."""
    port = port_of(found := opened("::", 0))
    assert len(found) == 1
    assert reaches("127.0.0.1", port)
    assert reaches("::1", port) == has_ipv6_loopback()


def test_every_ipv4_address(opened: Listen) -> None:
    """0.0.0.0 is every IPv4 address, and no IPv6 one."""
    port = port_of(opened("0.0.0.0", 0))
    assert reaches("127.0.0.2", port)
    assert not reaches("::1", port)


def test_brackets_around_an_address(opened: Listen) -> None:
    """An IPv6 address may stand in brackets, as it does in URLs."""
    assert opened("[::]", 0)[0].getsockname()[0] == "::"


def test_a_name_is_resolved(opened: Listen) -> None:
    """The name localhost is reached on 127.0.0.1."""
    assert reaches("127.0.0.1", port_of(opened("localhost", 0)))


def test_addresses_of_a_name_share_the_port(opened: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with two addresses gets two sockets with one port, also where the port is a free one."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1", "127.0.0.2", "127.0.0.2"))
    port = port_of(found := opened("two", 0))
    assert len(found) == 2
    assert reaches("127.0.0.1", port)
    assert reaches("127.0.0.2", port)


def test_all_addresses_of_both_families_as_two(opened: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name for 0.0.0.0 and :: gets a socket for each family, which do not collide."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver("0.0.0.0", "::"))
    assert len(opened("everywhere", 0)) == 2


@pytest.mark.parametrize("names", [("192.0.2.7", "127.0.0.1"), ("127.0.0.1", "192.0.2.7")])
def test_an_absent_address_is_passed_over(
    opened: Listen, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    """Of a name's addresses those that the machine lacks are left out while there are others."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver(*names))
    assert [found.getsockname()[0] for found in opened("some", 0)] == ["127.0.0.1"]


def test_no_port_free_on_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the free port of one address is always taken on another, that is said rather than tried for ever."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver("0.0.0.0", "127.0.0.1"))
    with pytest.raises(ListenError, match=r"no port is free on all addresses of odd: pass --port with a number"):
        listen("odd", 0)


def test_nothing_stays_open_after_a_failure(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second address fails, the first is released (an open socket would fail the test with a warning)."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.2", "127.0.0.1"))
    with pytest.raises(ListenError, match=f"port {held} of 127.0.0.1"):
        listen("two", held)
    socket.create_server(("127.0.0.2", held)).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "localhost"])
def test_a_taken_port_names_its_holder_and_a_free_one(host: str, held: int) -> None:
    """One line says what holds the port, with its pid, and which port is free."""
    with pytest.raises(ListenError) as caught:
        listen(host, held)
    message = str(caught.value)
    assert f"port {held} of " in message
    assert f"(pid {os.getpid()}): pass --port=" in message
    assert "\n" not in message
    free = int(message.partition("--port=")[2].partition(",")[0])
    socket.create_server(("127.0.0.1", free)).close()


def test_a_taken_port_names_the_flag_that_set_it(held: int) -> None:
    """For the ops port the flag to pass is its own."""
    with pytest.raises(ListenError, match="pass --ops-port="):
        listen("127.0.0.1", held, flag="--ops-port")


def test_a_socket_whose_holder_only_bound_it(opened: Listen) -> None:
    """A port that is bound without listening is no obstacle once its holder allowed reuse, as a restart needs."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        assert opened("127.0.0.1", bound.getsockname()[1])


def test_the_highest_port_has_no_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no port above is free, the message suggests none."""
    assert sockets._free_port((socket.AF_INET, ("127.0.0.1", 65535))) is None
    text = sockets._explanation(OSError(errno.EADDRINUSE, "x"), (socket.AF_INET, ("192.0.2.7", 65535)), "--port")
    assert text == "port 65535 of 192.0.2.7 is held by another process: pass another --port, or end that process"


@pytest.mark.parametrize(
    ("host", "pattern"),
    [
        ("192.0.2.7", r"--host=192\.0\.2\.7 is no address of this machine: give one that is; 0\.0\.0\.0 for every"),
        ("nosuch.invalid", r"--host=nosuch\.invalid cannot be resolved \(.+\): give an address of this machine"),
        ("a" * 70, r"cannot be resolved \(it is no host name\)"),
        ("", r"--host is empty: give an address or a name"),
        ("[]", r"--host is empty"),
    ],
)
def test_a_faulty_host_is_one_clear_line(host: str, pattern: str) -> None:
    """A host that is not this machine's, or is no host at all, is named with what to give instead."""
    with pytest.raises(ListenError, match=pattern) as caught:
        listen(host, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "host", "port", "expected"),
    [
        (errno.EACCES, "0.0.0.0", 80, "port 80 of 0.0.0.0 is not permitted to this user: pass --port=8080"),
        (errno.EACCES, "0.0.0.0", 5000, "port 5000 of 0.0.0.0 is not permitted to this user: pass --port=2024"),
        (errno.EAFNOSUPPORT, "::", 2024, "--host=:: needs IPv6, which is off on this machine: give 0.0.0.0"),
        (errno.EADDRNOTAVAIL, "::1", 2024, "--host=::1 needs IPv6, which is off on this machine"),
        (errno.EADDRNOTAVAIL, "2001:db8::1", 2024, "--host=2001:db8::1 is no address of this machine"),
        (errno.ENOBUFS, "::", 1, "port 1 of :: cannot be listened on: No buffer space available"),
    ],
)
def test_each_refusal_of_the_system_is_explained(number: int, host: str, port: int, expected: str) -> None:
    """What the system refuses comes as one line that says what to pass instead."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    fault = OSError(number, os.strerror(number))
    assert sockets._explanation(fault, (family, (host, port)), "--port").startswith(expected)


def close(listeners: Listeners) -> None:
    """Close every socket of a server."""
    for opened in [*listeners.main, *(listeners.ops or [])]:
        opened.close()


def test_a_taken_default_port_gives_the_next_free_one(held: int) -> None:
    """If no port is given and the default is taken, the next free port is used and the holder is named."""
    listeners = open_listeners("127.0.0.1", None, None, default_port=held)
    port = port_of(listeners.main)
    close(listeners)
    assert held < port <= held + 20
    assert f"port {held} is held by " in listeners.conflict
    assert f"(pid {os.getpid()}): using port {port}" in listeners.conflict


def test_a_free_default_port_is_used(held: int) -> None:
    """A default port that is free is used without a word about it."""
    free = sockets._free_port((socket.AF_INET, ("127.0.0.1", held)))
    assert free
    listeners = open_listeners("127.0.0.1", None, None, default_port=free)
    port = port_of(listeners.main)
    close(listeners)
    assert (port, listeners.conflict) == (free, "")


def test_the_next_free_port_is_never_the_ops_port(held: int) -> None:
    """The ops port is opened first, so that the search for a main port passes it over."""
    free = sockets._free_port((socket.AF_INET, ("127.0.0.1", held)))
    assert free
    listeners = open_listeners("127.0.0.1", None, free, default_port=held)
    assert listeners.ops
    ports = port_of(listeners.main), port_of(listeners.ops)
    close(listeners)
    assert ports[1] == free < ports[0]


def test_an_explicit_port_that_is_taken_is_an_error(held: int) -> None:
    """An explicit port is never replaced by another, and the ops port is released."""
    with pytest.raises(ListenError, match=f"port {held} of 127.0.0.1 is held by"):
        open_listeners("127.0.0.1", held, 0, default_port=2024)
