"""HTTP client of the commands, with servers that send prepared bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from yarl import URL

from askd.client.errors import RequestFailed
from askd.client.http_client import Session
from askd.client.target import OutgoingRequest, ServerTarget

HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"answer":"a"}'
QUESTION = OutgoingRequest("x")


class RawServer:
    """Server that sends a fixed response to each request. Closes the connection after it unless it keeps alive."""

    def __init__(self, response: bytes, *, keep_alive: bool = False, pause: threading.Event | None = None) -> None:
        self._response = response
        self._keep_alive = keep_alive
        self._pause = pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0

    def run(self) -> None:
        """Serve one connection after another, until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while connection.recv(1 << 16):
                    connection.sendall(self._response)
                    if self._pause:
                        self._pause.wait(10)
                    if not self._keep_alive:
                        break

    def close(self) -> None:
        """Stop accepting."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def serving(response: bytes, *, keep_alive: bool = False, pause: threading.Event | None = None) -> Iterator[RawServer]:
    """Run a server in a thread."""
    server = RawServer(response, keep_alive=keep_alive, pause=pause)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    if pause:
        pause.set()
    server.close()
    thread.join(10)


def target(port: int, host: str = "127.0.0.1", timeout: float = 10.0) -> ServerTarget:
    """Return the target on this machine."""
    return ServerTarget(URL(f"http://{host}:{port}"), timeout=timeout)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (HELLO[:-1], "closed the connection before the response was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed the connection before"),
        (b"", "closed the connection before the response was complete"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "does not speak HTTP"),
    ],
    ids=["length", "chunked", "nothing", "not-http", "many-headers"],
)
def test_broken_response(response: bytes, error: str) -> None:
    """An incomplete response and one that is not HTTP fail with different errors."""
    with serving(response) as server, Session(target(server.port)) as session, pytest.raises(RequestFailed) as caught:
        session.ask(QUESTION).read()
    assert error in caught.value.error


@pytest.mark.parametrize("response", [b"HTTP/1.1 200 OK\r\n", HELLO[:-1]], ids=["headers", "body"])
def test_time_limit_includes_the_response(response: bytes) -> None:
    """A response that does not end within the time limit fails."""
    with (
        serving(response, pause=threading.Event()) as server,
        Session(target(server.port, timeout=0.2)) as session,
        pytest.raises(RequestFailed, match=r"no complete response within 0\.2 s"),
    ):
        session.ask(QUESTION).read()


def test_sizes_are_those_on_the_wire() -> None:
    """The response is counted with its headers and the framing of its chunks."""
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n2\r\nfg\r\n0\r\n\r\n"
    with serving(response) as server, Session(target(server.port)) as session:
        answer = session.ask(QUESTION)
        assert (answer.read(), answer.received_bytes) == (b"abcdefg", len(response))
    assert list(session.stopwatch.spans) == ["connect", "request", "waiting", "answer"]


@pytest.mark.parametrize(("header", "connections"), [(b"", 1), (b"Connection: close\r\n", 3)])
def test_connection_is_reused(header: bytes, connections: int) -> None:
    """With keep_alive, requests share a connection unless the server closes it."""
    response = HELLO.replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n")
    with serving(response, keep_alive=True) as server, Session(target(server.port), keep_alive=True) as session:
        for _ in range(3):
            assert session.ask(QUESTION).read() == b'{"answer":"a"}'
    assert server.connections == connections


def test_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing listens on the first address of a host, the next one is used."""
    with serving(HELLO) as server:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, server.port)) for host in ("127.0.0.2", "127.0.0.1")
        ]

        def resolve(_host: str, _port: int, **options: int) -> object:
            if options.get("flags"):
                raise socket.gaierror
            return addresses

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with Session(target(server.port, "two.example")) as session:
            assert session.ask(QUESTION).status == 200
    assert (session.addresses, session.peer_address) == (["127.0.0.2", "127.0.0.1"], f"127.0.0.1:{server.port}")
    assert next(iter(session.stopwatch.spans)) == "name"
