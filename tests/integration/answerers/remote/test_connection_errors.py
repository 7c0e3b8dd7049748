"""Connections that fail before a question is sent, and how long a question and a stream may take."""

import asyncio
import socket
import time
from collections.abc import Iterator

import aiohttp
import pytest

from service.answerers.remote import upstream
from service.answerers.remote.reply import STREAM
from service.errors import Unavailable, UpstreamFailed
from service.guards.circuit import LEAST

from .conftest import Load
from .fakes import FakeLangGraph, asked, event, langgraph, quiet


@pytest.fixture
def full() -> Iterator[str]:
    """Give the URL of a server that takes no connection any more: its backlog is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for each in waiting:
            each.close()


async def test_a_server_that_takes_no_connection(full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection has its own short time; past it the question is 503, and such failures open the circuit."""
    assert upstream.CONNECT == 2.0
    monkeypatch.setattr(upstream, "CONNECT", 0.05)
    answerer = langgraph(full)
    await answerer.load(quiet)
    answerer.found = True
    asking = [answerer.answer(asked()) for _ in range(LEAST)]
    failed = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 20)
    assert {str(each) for each in failed} == {"The server that answers cannot be reached. Ask again in a moment."}
    with pytest.raises(Unavailable, match="left alone"):
        await answerer.answer(asked())
    await answerer.close()


async def test_looks_in_vain_that_take_long(full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a look for a server that was never found takes long, the next questions do not wait for another one."""
    monkeypatch.setattr(upstream, "CONNECT", 0.05)
    monkeypatch.setattr("service.answerers.remote.base.QUICK", 0.01)
    answerer = langgraph(full)
    await answerer.load(quiet)
    with pytest.raises(Unavailable):
        await answerer.answer(asked())
    assert answerer._look
    assert not answerer._look.done()
    await answerer.close()


class Refusing:
    """Sends, but fails the first time as it is told to."""

    def __init__(self, error: OSError) -> None:
        self.calls = 0
        self._error = error

    async def __call__(self) -> object:
        """Send."""
        self.calls += 1
        if self.calls == 1:
            key = aiohttp.client_reqrep.ConnectionKey("x", 1, False, True, None, None, None)
            raise aiohttp.ClientConnectorError(key, self._error)
        return self


async def test_a_refused_connection_is_tried_twice() -> None:
    """Where nobody took the connection the question has not been sent, and is sent to whoever takes it now."""
    send = Refusing(ConnectionRefusedError())
    await upstream._sent(send)  # type: ignore[arg-type] # what comes back does not matter
    assert send.calls == 2


async def test_other_failures_are_not_tried_twice() -> None:
    """What took its time, or may have got through, is not tried again."""
    send = Refusing(ConnectionResetError())
    with pytest.raises(aiohttp.ClientConnectorError):
        await upstream._sent(send)  # type: ignore[arg-type] # what comes back does not matter
    assert send.calls == 1


async def test_the_server_is_told_the_time_that_is_left(fake: FakeLangGraph, load: Load) -> None:
    """It gets the question's time, or all that there is here; a stream none, whose bound is between its events."""
    answerer = await load(deadline=30.0)
    await answerer.answer(asked(deadline=time.monotonic() + 5.0))
    await answerer.answer(asked())
    fake.stream(event("values", {"messages": [{"type": "ai", "content": "Hi"}]}))
    assert [each async for each in answerer.stream(asked())]
    told = [each.get("X-Request-Timeout") for each in fake.requests]
    assert 4.0 < float(told[0] or 0) <= 5.0
    assert told[1:] == ["30.000", None]


async def test_a_stream_has_its_time_between_events(fake: FakeLangGraph, load: Load) -> None:
    """Each event of a stream gives it its time anew; an answer in one piece has one time for all."""
    answerer = await load(deadline=30.0)
    fake.stream(event("a", 1), event("b", 2))
    until = answerer.upstream.due(asked())
    ends = []
    send = answerer.upstream.send("POST", "/runs/stream", question=asked(), accept=STREAM, until=until, json={})
    async with await send as reply:
        async for _ in reply.events():
            ends.append(reply._until)  # noqa: PERF401 - each as it is then
    assert ends[0] == until < ends[1]
    assert answerer.upstream.due(asked(deadline=time.monotonic() + 100.0)) > until + 60.0


async def test_a_stream_that_falls_silent(fake: FakeLangGraph, load: Load) -> None:
    """A stream whose next event does not come in time is 502."""
    answerer = await load(deadline=0.1)
    fake.stream(event("metadata", {}))
    fake.hold.clear()
    with pytest.raises(UpstreamFailed, match="too long"):
        await anext(aiter(answerer.stream(asked())))
