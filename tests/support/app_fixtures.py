"""The app served in this process over real sockets: servers and fixtures."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import StrOrURL
from yarl import URL

from askd.app import ASK, CONNECTIONS, LOAD_TASK, METRICS, create_app, create_server
from askd.config import Settings
from askd.httpserver.connections import ConnectionLimits, ConnectionManager
from askd.httpserver.protocol import HttpConnection
from askd.httpserver.server import FastPathHandler, HttpServer
from askd.models import Answerer
from askd.telemetry.tracing import RequestTracer
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.log_capture import LogCapture
from tests.support.raw_http import RawConnection, RawResponse
from tests.support.request_metrics import request_count

Client = TestClient[Any, Any]
ServeApp = Callable[..., Awaitable[Client]]
StartServer = Callable[..., Awaitable["RawServer"]]
Log = LogCapture


class AskdTestServer(TestServer):
    """aiohttp's test server with the server of production: its connections, limits and fast path."""

    __test__ = False

    def __init__(self, app: web.Application) -> None:
        super().__init__(app)
        self._http_server: HttpServer | None = None

    async def start_server(self, loop: asyncio.AbstractEventLoop | None = None, **_options: Any) -> None:
        """Start the server on a free port."""
        if self._http_server is not None:
            return
        self._http_server = (
            create_server(self.app, shutdown_timeout=0.1)
            if ASK in self.app
            else HttpServer(self.app, ConnectionManager(ConnectionLimits()), on_malformed=lambda _status, _client: None)
        )
        self._http_server.half_close_window = 0.0  # a client that disconnects at once has left
        await self._http_server.start()
        listener = open_loopback_listener()
        self.host, self.port = listener.getsockname()
        self._http_server.listen(listener)

    def make_url(self, path: StrOrURL) -> URL:
        """Return the URL of a path."""
        return URL(f"http://{self.host}:{self.port}").join(URL(path))

    async def close(self) -> None:
        """Stop the server."""
        if self._http_server is not None:
            await self._http_server.close()
            self._http_server = None


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
        half_close_window: float = 0.0,
        **settings: str,
    ) -> RawServer:
        app = create_app(Settings.load(settings, {}), answerer=answerer or UppercaseAnswerer(), tracer=tracing)
        if clock is not None:
            clock.now = monotonic()  # deadlines are relative to the arrival time of the request
            app[CONNECTIONS].clock = clock
        server = create_server(app, shutdown_timeout=0.1, lingering_time=0.2, with_fast_path=not without_fast_path)
        server.fast_path = fast_path or server.fast_path
        server.half_close_window = half_close_window  # 0: a client that disconnects at once has left
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


@pytest.fixture
def serve(aiohttp_client: Callable[..., Awaitable[Client]]) -> ServeApp:
    """Serve an answerer as production does, with settings given as strings, and return an aiohttp client.

    With `loaded=False`, it does not wait until the answerer is loaded.
    """

    async def start(answerer: Answerer | None = None, *, loaded: bool = True, **settings: str) -> Client:
        app = create_app(Settings.load(settings, {}), answerer=answerer or UppercaseAnswerer())
        client = await aiohttp_client(AskdTestServer(app))
        if loaded:
            await app[LOAD_TASK]
        return client

    return start


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Serve an answerer behind the real connection classes, for clients that send and receive raw bytes."""
    async with server_starter() as start:
        yield start


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    """Capture the log of the test."""
    with LogCapture() as log_capture:
        yield log_capture
