"""Fixtures that serve an app in this process over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import StrOrURL
from yarl import URL

from askd.app import ASK, LOAD_TASK, create_app, create_server
from askd.config import Settings
from askd.httpserver.connections import ConnectionLimits, ConnectionManager
from askd.httpserver.server import HttpServer
from askd.models import Answerer
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_capture import LogCapture
from tests.support.raw_http import StartServer, open_loopback_listener, server_starter

Client = TestClient[Any, Any]
ServeApp = Callable[..., Awaitable[Client]]
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
