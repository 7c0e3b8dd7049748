"""Fuzz targets that pass bytes to a connection of a running app: nothing may fail, and no request may get a 500."""

import asyncio
import functools
import re
from typing import Final

from askd.app import LOAD_TASK, create_app, create_server
from askd.config import Settings
from askd.httpserver.protocol import HttpConnection
from askd.httpserver.server import HttpServer
from tests.support.fake_transport import FakeTransport
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_capture import LogCapture

_ITERATIONS: Final = 40
"""Iterations of the event loop after the last byte, in which every request of a fake answerer ends."""
_FAILURES: Final = frozenset(
    {"internal_error", "connection_error", "fast_path_failed", "response_write_failed", "uncaught_event_loop_exception"}
)
"""Log events of bugs."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] [1-5]\d\d [A-Z]")


class RecordingTransport(FakeTransport):
    """Records the writes, and ends when the connection is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._is_closing = False

    def is_closing(self) -> bool:
        """Return whether the connection has been closed."""
        return self._is_closing

    def close(self) -> None:
        """Close the connection."""
        self._is_closing = True

    abort = write_eof = close

    def can_write_eof(self) -> bool:
        """Return True, as a connection without TLS does."""
        return True

    def pause_reading(self) -> None:
        """Do nothing: all bytes are passed at once."""

    resume_reading = pause_reading


class ServedApp:
    """An app and its server in an event loop that runs while an input is handled."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._start())

    async def _start(self) -> HttpServer:
        web_app = create_app(Settings.load({"trusted_proxies": "127.0.0.1"}, {}), answerer=UppercaseAnswerer())
        server = create_server(web_app, shutdown_timeout=0.1)
        await server.start()
        await web_app[LOAD_TASK]
        return server

    def handle(self, data: bytes) -> bytes:
        """Return the bytes that a connection sends in response."""
        with LogCapture() as log:
            sent = self._loop.run_until_complete(self._handle(data))
            errors = [line for line in log.lines() if line["event"] in _FAILURES]
        assert not errors, errors
        assert not sent or _STATUS.match(sent), sent[:100]
        return sent

    def close(self) -> None:
        """Stop the server."""
        self._loop.run_until_complete(self._server.close())
        self._loop.close()

    async def _handle(self, data: bytes) -> bytes:
        transport = RecordingTransport()
        connection = HttpConnection(self._server)
        connection.connection_made(transport)
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            connection.data_received(part)
            await asyncio.sleep(0)
        for _ in range(_ITERATIONS):
            await asyncio.sleep(0)
            if not connection.is_busy and not connection.received_bytes and not connection.has_deferred_response:
                break
        connection.connection_lost(None)
        for _ in range(4):
            await asyncio.sleep(0)
        return b"".join(transport.written)


@functools.cache
def app() -> ServedApp:
    """Return the app of all inputs."""
    return ServedApp()


def _post(path: bytes, data: bytes, *headers: bytes) -> bytes:
    lines = (b"POST " + path + b" HTTP/1.1", b"Host: a", b"Content-Type: application/json", *headers)
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(data), b"", b"")) + data


def connection(data: bytes) -> None:
    """Any bytes on a connection are answered, or the connection waits for more."""
    app().handle(data)


def ask_body(data: bytes) -> None:
    """Any JSON body of /ask has a response."""
    assert app().handle(_post(b"/ask", data))


def mcp_body(data: bytes) -> None:
    """Any message to /mcp has a response."""
    assert app().handle(_post(b"/mcp", data, b"Accept: application/json, text/event-stream"))


def openai_body(data: bytes) -> None:
    """Any body of /v1/chat/completions has a response."""
    assert app().handle(_post(b"/v1/chat/completions", data))
