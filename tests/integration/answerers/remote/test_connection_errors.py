"""Connections that fail before a question is sent, or before its response."""

import asyncio
import socket
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web

from askd.answerers.remote import http_client
from askd.circuit_breaker import MIN_REQUESTS
from askd.errors import Problem, Unavailable, UpstreamFailed
from tests.integration.answerers.remote.conftest import StartServer
from tests.support.fake_langgraph_server import (
    FakeLangGraph,
    ignore_progress,
    langgraph_answerer,
    make_question,
)


@pytest.fixture
def full_backlog_url() -> Iterator[str]:
    """Return the URL of a server that accepts no connections because its backlog is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for client in clients:
            client.close()


async def test_connect_timeout(full_backlog_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting has a short time-out; when it passes, questions raise Unavailable and the circuit opens."""
    assert http_client.CONNECT_TIMEOUT == 2.0
    monkeypatch.setattr(http_client, "CONNECT_TIMEOUT", 0.05)
    answerer = langgraph_answerer(full_backlog_url)
    await answerer.load(ignore_progress)
    answerer.is_discovered = True
    questions = [answerer.answer(make_question()) for _ in range(MIN_REQUESTS)]
    errors = await asyncio.wait_for(asyncio.gather(*questions, return_exceptions=True), 20)
    assert {str(error) for error in errors} == {"The upstream server cannot be reached. Retry in a moment."}
    with pytest.raises(Unavailable, match="requests to it are paused"):
        await answerer.answer(make_question())
    await answerer.close()


async def test_slow_discovery_does_not_block_questions(full_backlog_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a failed discovery took long, the next questions do not wait for another one."""
    monkeypatch.setattr(http_client, "CONNECT_TIMEOUT", 0.05)
    monkeypatch.setattr("askd.answerers.remote.base.MAX_DISCOVERY_WAIT", 0.01)
    answerer = langgraph_answerer(full_backlog_url)
    await answerer.load(ignore_progress)
    with pytest.raises(Unavailable):
        await answerer.answer(make_question())
    assert answerer._discovery_task
    assert not answerer._discovery_task.done()
    await answerer.close()


class FailingOnce:
    """Send function whose first call fails."""

    def __init__(self, error: OSError) -> None:
        self.calls = 0
        self._error = error

    async def __call__(self) -> object:
        """Raise the error at the first call."""
        self.calls += 1
        if self.calls == 1:
            key = aiohttp.client_reqrep.ConnectionKey("x", 1, False, True, None, None, None)
            raise aiohttp.ClientConnectorError(key, self._error)
        return self


async def test_refused_connection_is_retried() -> None:
    """After a refused connection, the question is sent again, because it cannot have reached a server."""
    send = FailingOnce(ConnectionRefusedError())
    await http_client._send_with_retry(send)  # type: ignore[arg-type] # the result is not a response
    assert send.calls == 2


async def test_other_connection_errors_are_not_retried() -> None:
    """After other connection errors, the question is not sent again."""
    send = FailingOnce(ConnectionResetError())
    with pytest.raises(aiohttp.ClientConnectorError):
        await http_client._send_with_retry(send)  # type: ignore[arg-type] # the result is not a response
    assert send.calls == 1


async def test_tls_failure(base: str) -> None:
    """A server without TLS at an https URL is a failure whose detail does not contain the address."""
    answerer = langgraph_answerer(base.replace("http:", "https:"))
    await answerer.load(ignore_progress)
    with pytest.raises(Problem) as caught:
        await answerer.answer(make_question())
    assert type(caught.value) in {UpstreamFailed, Unavailable}
    assert "127.0.0.1" not in caught.value.detail
    await answerer.close()


async def test_unknown_host() -> None:
    """A host name that cannot be resolved raises Unavailable."""
    answerer = langgraph_answerer("http://askd.invalid:1")
    await answerer.load(ignore_progress)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await answerer.answer(make_question())
    await answerer.close()


async def test_question_is_not_repeated_after_a_disconnect(fake: FakeLangGraph, start: StartServer) -> None:
    """A question is sent once, even if the server closes the connection after it received the request."""
    request_count = 0

    async def abort(request: web.Request) -> web.Response:
        nonlocal request_count
        request_count += 1
        assert request.transport
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_post("/runs/wait", abort)
    app.router.add_post("/assistants/search", fake._search)
    answerer = langgraph_answerer(await start(app))
    await answerer.load(ignore_progress)
    with pytest.raises(UpstreamFailed, match="closed the connection"):
        await answerer.answer(make_question())
    assert request_count == 1
    await answerer.close()
