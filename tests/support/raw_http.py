"""The app behind the real connection classes, and a client that sends and receives raw bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import NamedTuple

from aiohttp import web

from askd.app import CONNECTIONS, LOAD_TASK, METRICS, create_app, create_server
from askd.config import Settings
from askd.httpserver.protocol import HttpConnection
from askd.httpserver.server import FastPathHandler, HttpServer
from askd.models import Answerer
from askd.telemetry.tracing import RequestTracer
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.request_metrics import request_count

MALFORMED_REQUEST = b"GET /ask?q=x HTTP/1.1\r\nHost: askd\r\nHost: other\r\n\r\n"
HOST_HEADER = b"Host: askd\r\n"
StartServer = Callable[..., Awaitable["RawServer"]]


def get_request(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: askd", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post_request(body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    """Return a `POST /ask`, with a Content-Length unless the headers frame the body."""
    is_framed = any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers)
    length = () if is_framed else (f"Content-Length: {len(body)}",)
    return get_request("/ask", f"Content-Type: {content_type}", *headers, *length, method="POST") + body


class RawResponse(NamedTuple):
    """A response as received."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawConnection:
    """A client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Read the status line and the headers."""
        async with asyncio.timeout(5):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def read_response(self, *, head_request: bool = False) -> RawResponse:
        """Read one response; for HEAD, without a body."""
        status, headers = await self.read_head()
        length = 0 if head_request else int(headers.get("content-length", 0))
        async with asyncio.timeout(5):
            return RawResponse(status, headers, await self.reader.readexactly(length))

    async def read_until_closed(self) -> bytes:
        """Read until the server closes the connection."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        await self.writer.wait_closed()


def open_loopback_listener() -> socket.socket:
    """Return a listening socket on a free port of the loopback interface."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    return listener


class RawServer:
    """A running server."""

    def __init__(self, app: web.Application, http_server: HttpServer, port: int, started_at: float) -> None:
        self.app = app
        self.started_at = started_at
        """Start time by the clock of the connections."""
        self.http_server = http_server
        self.port = port

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[RawConnection]:
        """Connect; the connection is closed at the end of the block."""
        connection = RawConnection(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield connection
        finally:
            connection.writer.close()

    async def send_request(self, data: bytes) -> RawResponse:
        """Send bytes on a new connection and read one response."""
        async with self.connect() as connection:
            connection.send(data)
            return await connection.read_response()

    def sweep(self) -> None:
        """Sweep the connections now, as the server does every quarter of a second."""
        self.http_server.sweep()

    def server_connections(self) -> list[HttpConnection]:
        """Return the server side of all connections, oldest first."""
        return [item for item in self.app[CONNECTIONS].all() if isinstance(item, HttpConnection)]

    def close_counts(self) -> dict[str, int]:
        """Return the number of closed connections by reason, without zeros."""
        return {reason: count for reason, count in self.app[CONNECTIONS].statistics().closed_by_reason.items() if count}

    def request_count(self, *, route: str, method: str, status: int) -> float:
        """Return the number of finished requests with these labels."""
        return request_count(self.app[METRICS].registry, route=route, method=method, status=status) or 0.0


async def exchange(server: RawServer, *segments: bytes) -> bytes:
    """Send segments, each received before the next one is sent, and return everything that comes back."""
    async with server.connect() as client:
        await wait_until(server.server_connections)
        (connection,) = server.server_connections()
        for segment in segments:
            connection.data_received(segment)  # directly, because a socket may split or join segments
            await asyncio.sleep(0)
        return await client.read_until_closed()


def statuses(data: bytes) -> list[int]:
    """Return the statuses of several responses."""
    return [int(response[:3]) for response in data.split(b"HTTP/1.1 ")[1:]]


async def read_bodies(client: RawConnection, count: int) -> list[bytes]:
    """Read responses and return their bodies."""
    return [(await client.read_response()).body for _ in range(count)]


@asynccontextmanager
async def server_starter() -> AsyncIterator[StartServer]:
    """Yield a function that starts servers; they are stopped at the end of the block."""
    servers: list[HttpServer] = []

    async def start(
        answerer: Answerer | None = None,
        *,
        clock: Clock | None = None,
        fast_path: FastPathHandler | None = None,
        without_fast_path: bool = False,
        tracing: RequestTracer | None = None,
        **settings: str,
    ) -> RawServer:
        app = create_app(Settings.load(settings, {}), answerer=answerer or UppercaseAnswerer(), tracer=tracing)
        if clock is not None:
            clock.now = monotonic()  # deadlines are relative to the arrival time of the request
            app[CONNECTIONS].clock = clock
        server = create_server(app, shutdown_timeout=0.1, lingering_time=0.2, with_fast_path=not without_fast_path)
        server.fast_path = fast_path or server.fast_path
        await server.start()
        servers.append(server)
        listener = open_loopback_listener()
        port = listener.getsockname()[1]
        server.listen(listener)
        await app[LOAD_TASK]
        return RawServer(app, server, port, clock.now if clock else monotonic())

    yield start
    for server in servers:
        await server.close()
