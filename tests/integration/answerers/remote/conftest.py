"""Fixtures that start servers on free ports and load answerers for them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from askd.answerers.remote import LangGraphAnswerer
from askd.app import ASK
from tests.support.app_fixtures import AskdTestServer
from tests.support.fake_langgraph_server import FakeLangGraph, ignore_progress, langgraph_answerer

StartServer = Callable[[web.Application], Awaitable[str]]
LoadAnswerer = Callable[..., Awaitable[LangGraphAnswerer]]


@pytest.fixture
async def start() -> AsyncIterator[StartServer]:
    """Return a function that serves an app on a free port and returns its URL without a trailing slash.

    Like askd, the server cancels the handler when the client disconnects.
    """
    servers: list[TestServer] = []

    async def start(app: web.Application) -> str:
        servers.append(AskdTestServer(app) if ASK in app else TestServer(app, handler_cancellation=True))
        await servers[-1].start_server()
        return str(servers[-1].make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def fake() -> FakeLangGraph:
    """Return a fake LangGraph server, which `base` starts."""
    return FakeLangGraph()


@pytest.fixture
async def base(fake: FakeLangGraph, start: StartServer) -> str:
    """Start the fake LangGraph server and return its URL."""
    return await start(fake.app())


@pytest.fixture
async def load(base: str) -> AsyncIterator[LoadAnswerer]:
    """Return a function that loads an answerer for the fake server; all are closed after the test."""
    answerers: list[LangGraphAnswerer] = []

    async def load(**options: Any) -> LangGraphAnswerer:
        answerers.append(langgraph_answerer(base, **options))
        await answerers[-1].load(ignore_progress)
        return answerers[-1]

    yield load
    for answerer in answerers:
        await answerer.close()


@pytest.fixture
def unreachable_url(unused_tcp_port: int) -> str:
    """Return the URL of a port without a listener."""
    return str(URL.build(scheme="http", host="127.0.0.1", port=unused_tcp_port)).rstrip("/")
