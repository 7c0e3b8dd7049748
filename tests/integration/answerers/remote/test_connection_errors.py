"""Tests of connections that fail before a question is sent, and of deadlines."""

import asyncio
import socket
import time
from collections.abc import Iterator

import aiohttp
import pytest

from askd.answerers.remote import http_client
from askd.answerers.remote.response import EVENT_STREAM_MEDIA_TYPE
from askd.circuit_breaker import MIN_REQUESTS
from askd.errors import Unavailable, UpstreamFailed
from tests.integration.answerers.remote.conftest import LoadAnswerer
from tests.support.fake_langgraph_server import (
    FakeLangGraph,
    ignore_progress,
    langgraph_answerer,
    make_question,
    sse_event,
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


async def test_deadline_is_forwarded(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """The time left, or else the default deadline, is sent to the server, except for streams."""
    answerer = await load(deadline=30.0)
    await answerer.answer(make_question(deadline=time.monotonic() + 5.0))
    await answerer.answer(make_question())
    fake.respond_with_events(sse_event("values", {"messages": [{"type": "ai", "content": "Hi"}]}))
    assert [item async for item in answerer.stream(make_question())]
    timeouts = [headers.get("X-Request-Timeout") for headers in fake.request_headers]
    assert 4.0 < float(timeouts[0] or 0) <= 5.0
    assert timeouts[1:] == ["30.000", None]


async def test_stream_deadline_moves_with_events(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Each event of a stream moves its deadline."""
    answerer = await load(deadline=30.0)
    fake.respond_with_events(sse_event("a", 1), sse_event("b", 2))
    deadline_at = answerer.upstream.deadline_for(make_question())
    deadlines = []
    send = answerer.upstream.send(
        "POST",
        "/runs/stream",
        question=make_question(),
        accept=EVENT_STREAM_MEDIA_TYPE,
        deadline_at=deadline_at,
        json={},
    )
    async with await send as response:
        async for _ in response.iter_events():
            deadlines.append(response._deadline_at)  # noqa: PERF401 - the deadline changes during the loop
    assert deadlines[0] == deadline_at < deadlines[1]
    assert answerer.upstream.deadline_for(make_question(deadline=time.monotonic() + 100.0)) > deadline_at + 60.0


async def test_stream_timeout(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A stream whose next event does not arrive in time raises UpstreamFailed."""
    answerer = await load(deadline=0.1)
    fake.respond_with_events(sse_event("metadata", {}))
    fake.finish_body.clear()
    with pytest.raises(UpstreamFailed, match="too long"):
        await anext(aiter(answerer.stream(make_question())))
