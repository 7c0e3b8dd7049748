"""Servers on free ports, and what asks them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from service.answerers.remote import LangGraph

from .fakes import FakeLangGraph, langgraph, quiet

Start = Callable[[web.Application], Awaitable[str]]
Load = Callable[..., Awaitable[LangGraph]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Serve an app on a free port, and give its URL without a slash at the end; as askd, it cancels who left."""
    servers: list[TestServer] = []

    async def start(app: web.Application) -> str:
        servers.append(TestServer(app, handler_cancellation=True))
        await servers[-1].start_server()
        return str(servers[-1].make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def fake() -> FakeLangGraph:
    """Give a LangGraph server's routes."""
    return FakeLangGraph()


@pytest.fixture
async def base(fake: FakeLangGraph, start: Start) -> str:
    """Serve the fake."""
    return await start(fake.app())


@pytest.fixture
async def load(base: str) -> AsyncIterator[Load]:
    """Load an answerer for the fake; closed after the test."""
    made: list[LangGraph] = []

    async def load(**more: Any) -> LangGraph:
        made.append(langgraph(base, **more))
        await made[-1].load(quiet)
        return made[-1]

    yield load
    for each in made:
        await each.close()


@pytest.fixture
def nowhere(unused_tcp_port: int) -> str:
    """Give the URL of a port that nobody listens on."""
    return str(URL.build(scheme="http", host="127.0.0.1", port=unused_tcp_port)).rstrip("/")
