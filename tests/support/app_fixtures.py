"""The app over a real socket, with an answerer of the test's choice."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from service.app import LOADED, create_app
from service.models import Answerer
from service.settings import Settings
from tests.fakes import Upper
from tests.telemetry.captured import Captured
from tests.web.wire import Wired, wiring

Client = TestClient[Any, Any]
Serve = Callable[..., Awaitable[Client]]
Log = Captured


@pytest.fixture
def serve(aiohttp_client: Callable[..., Awaitable[Client]]) -> Serve:
    """Serve an answerer with settings given as strings, loaded unless it is told to load slowly."""

    async def start(answerer: Answerer | None = None, *, loaded: bool = True, **settings: str) -> Client:
        app = create_app(Settings.load(settings, {}), answerer=answerer or Upper())
        client = await aiohttp_client(TestServer(app, handler_cancellation=True))
        if loaded:
            await app[LOADED]
        return client

    return start


@pytest.fixture
async def wire() -> AsyncIterator[Wired]:
    """Serve an answerer behind the real connections, for clients that write and read bytes."""
    async with wiring() as start:
        yield start


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    """Take the log; what was set up before is put back."""
    with Captured() as taken:
        yield taken
