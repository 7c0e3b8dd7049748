"""Writes of a connection that the event loop has not taken over yet."""

import socket
from collections.abc import Iterator

import pytest

from askd.httpserver.early_transport import EarlyTransport


class Client:
    """The client's end, and the transport of the other one."""

    def __init__(self) -> None:
        server, self._socket = socket.socketpair()
        for end in (server, self._socket):
            end.setblocking(False)
        self.closed = 0
        self.transport = EarlyTransport(server, ("192.0.2.1", 50000), self._on_closed)

    def read(self) -> bytes | None:
        """Return what has arrived: None without anything, empty at the end."""
        try:
            return self._socket.recv(1 << 16)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close both ends."""
        self.transport.abort()
        self._socket.close()

    def _on_closed(self) -> None:
        self.closed += 1


@pytest.fixture
def client() -> Iterator[Client]:
    """A connected client."""
    created = Client()
    yield created
    created.close()


def test_write_is_sent_at_once(client: Client) -> None:
    """Without `holds_writes`, bytes are sent as soon as they are written."""
    client.transport.write(b"one")
    assert client.read() == b"one"


@pytest.mark.parametrize("end", ["flush", "close", "can_write_eof"])
def test_kept_writes_are_sent_together(client: Client, end: str) -> None:
    """With `holds_writes`, bytes wait for `flush()`, `close()` or the question whether the end can be sent."""
    client.transport.holds_writes = True
    client.transport.write(b"one")
    client.transport.write(b"two")
    assert client.read() is None
    getattr(client.transport, end)()
    assert client.read() == b"onetwo"
    assert client.closed == (end == "close")
    assert client.read() == (b"" if end == "close" else None)


def test_writes_after_a_flush_are_sent_at_once(client: Client) -> None:
    """`flush()` ends the keeping."""
    client.transport.holds_writes = True
    client.transport.flush()
    client.transport.write(b"one")
    assert client.read() == b"one"


def test_unsent_bytes_stay_in_order(client: Client) -> None:
    """Bytes that the socket does not take are kept in order, and the connection stays open until they are sent."""
    data = b"x" * (4 << 20)
    client.transport.write(data)
    client.transport.write(b"end")
    client.transport.close()
    assert not client.closed
    received = client.read() or b""
    while (more := client.read()) is not None:
        received += more
    assert received + client.transport.unsent == data + b"end"


def test_address_of_the_client(client: Client) -> None:
    """The address is the one that `accept()` has returned."""
    assert client.transport.get_extra_info("peername") == ("192.0.2.1", 50000)
