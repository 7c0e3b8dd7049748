"""Fixtures that serve an app in this process over real sockets."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import BaseRunner

from askd.app import LOAD_TASK, create_app, create_runner
from askd.config import Settings
from askd.models import Answerer
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_capture import LogCapture
from tests.support.raw_http import StartServer, server_starter

Client = TestClient[Any, Any]
ServeApp = Callable[..., Awaitable[Client]]
Log = LogCapture


class AskdTestServer(TestServer):
    """aiohttp's test server with the runner of production: its connections, limits and fast path."""

    __test__ = False
    settings: Settings

    async def _make_runner(self, **_options: Any) -> BaseRunner:
        return create_runner(self.app, self.settings, shutdown_timeout=0.1)


@pytest.fixture
def serve(aiohttp_client: Callable[..., Awaitable[Client]]) -> ServeApp:
    """Serve an answerer as production does, with settings given as strings, and return an aiohttp client.

    With `loaded=False`, it does not wait until the answerer is loaded.
    """

    async def start(answerer: Answerer | None = None, *, loaded: bool = True, **settings: str) -> Client:
        loaded_settings = Settings.load(settings, {})
        app = create_app(loaded_settings, answerer=answerer or UppercaseAnswerer())
        server = AskdTestServer(app)
        server.settings = loaded_settings
        client = await aiohttp_client(server)
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
