"""The circuit around the requests to a server: what opens it, what closes it, and what the client and probes see."""

import asyncio
import time
from contextlib import aclosing

import pytest

from service.answerers.remote import Askd, LangGraph
from service.answerers.remote.base import Remote
from service.errors import Problem, Unavailable, UpstreamFailed
from service.guards.circuit import LEAST, PAUSE, Circuit, State
from tests.fakes import Clock, until

from .conftest import Load
from .fakes import FakeLangGraph, askd, asked, event, human, state

PROBLEM = "application/problem+json"
JSON = "application/json"
Down = tuple[LangGraph, Clock, str]


def timed(answerer: Remote) -> Clock:
    """Give the answerer's circuit a clock that moves when it is told to."""
    clock = Clock()
    answerer.upstream.circuit = Circuit(clock=clock)
    return clock


def state_of(answerer: Remote) -> State:
    """The circuit's state."""
    return answerer.upstream.circuit.state


async def fail(answerer: Remote, kind: type[Problem], times: int = LEAST) -> None:
    """Ask so many questions that fail."""
    for _ in range(times):
        with pytest.raises(kind):
            await answerer.answer(asked())


@pytest.fixture
async def down(load: Load, nowhere: str) -> Down:
    """Give an answerer whose server has gone away, the circuit's clock, and where the server was."""
    answerer = await load()
    clock = timed(answerer)
    was, answerer.upstream.base = answerer.upstream.base, nowhere
    await fail(answerer, Unavailable)
    return answerer, clock, was


async def test_a_server_that_is_down(down: Down, fake: FakeLangGraph) -> None:
    """Refused connections open the circuit: 503 at once and nothing is sent, not even where the server is back."""
    answerer, _, was = down
    assert state_of(answerer) is State.OPEN
    answerer.upstream.base = was
    with pytest.raises(Unavailable, match="left alone") as caught:
        await answerer.answer(asked())
    assert caught.value.retry_after in {1, 2, 3}
    with pytest.raises(Unavailable, match="left alone"):
        await anext(aiter(answerer.stream(asked())))
    assert fake.paths == []
    assert answerer.statistics().requests == {"succeeded": 0, "failed": LEAST, "left": 0, "refused": 2}


async def test_back_again(down: Down, fake: FakeLangGraph) -> None:
    """After the pause one question of many is the trial; it closes the circuit when the server begins to answer."""
    answerer, clock, base = down
    answerer.upstream.base = base
    clock.advance(PAUSE)
    fake.hold.clear()
    asking = [asyncio.create_task(answerer.answer(asked())) for _ in range(10)]
    await asyncio.wait_for(fake.begun.wait(), 30)
    assert len(fake.paths) == 1
    await until(lambda: state_of(answerer) is State.CLOSED)
    fake.hold.set()
    done = await asyncio.gather(*asking, return_exceptions=True)
    assert sum(isinstance(each, Unavailable) for each in done) == 9
    assert await answerer.ready() == (True, "")


async def test_a_trial_whose_client_leaves(down: Down, fake: FakeLangGraph) -> None:
    """A trial that is cancelled, wherever it is, gives its place to the next question."""
    answerer, clock, _ = down
    clock.advance(PAUSE)
    for turns in range(8):
        trial = asyncio.create_task(answerer.answer(asked()))
        for _ in range(turns):
            await asyncio.sleep(0)
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        clock.advance(60.0)
    answerer.upstream.base = down[2]
    assert (await answerer.answer(asked())).text == "Hi"


STATUSES = [
    (500, JSON, {}, True),
    (502, "text/html", {}, True),
    (503, "text/html", {}, True),
    (504, "text/html", {}, True),
    (503, JSON, {"Retry-After": "7"}, False),
    (429, JSON, {}, False),
    (500, PROBLEM, {}, False),
    (502, PROBLEM, {}, False),
    (409, JSON, {}, False),
    (401, JSON, {}, False),
]


@pytest.mark.parametrize(("status", "kind", "headers", "opens"), STATUSES)
async def test_statuses(
    fake: FakeLangGraph, load: Load, *, status: int, kind: str, headers: dict[str, str], opens: bool
) -> None:
    """What a proxy says of a server that is gone opens the circuit; what a server says on purpose does not."""
    answerer = await load(assistant="agent")
    fake.status, fake.headers = status, {"Content-Type": kind, **headers}
    await fail(answerer, Problem)
    assert (state_of(answerer) is State.OPEN) is opens


async def test_failed_runs_do_not_count(fake: FakeLangGraph, load: Load) -> None:
    """A graph that fails on a question, and one without an answer, leave the circuit closed."""
    answerer = await load()
    for body in (b'{"__error__": {"error": "ValueError", "message": "x"}}', b"null", b"<html>", state(human("hi"))):
        fake.parts = [body]
        await fail(answerer, Problem)
    assert state_of(answerer) is State.CLOSED


async def test_broken_off(fake: FakeLangGraph, load: Load) -> None:
    """Connections that are cut within the answer open it, streams too."""
    answerer = await load()
    fake.parts, fake.abort = [b'{"messages": ['], True
    await fail(answerer, UpstreamFailed, LEAST - 1)
    assert state_of(answerer) is State.CLOSED
    fake.stream(event("metadata", {}))
    with pytest.raises(UpstreamFailed):
        await anext(aiter(answerer.stream(asked())))
    assert state_of(answerer) is State.OPEN
    assert "circuit open, next trial in" in (await answerer.ready())[1]


async def test_a_server_that_is_slow(fake: FakeLangGraph, load: Load) -> None:
    """Time-outs open it; then the trial must come to its end before another question is let through."""
    answerer = await load(deadline=0.05)
    clock = timed(answerer)
    fake.hold.clear()
    await fail(answerer, UpstreamFailed)
    assert state_of(answerer) is State.OPEN
    clock.advance(PAUSE)
    fake.begun.clear()
    answerer.upstream.deadline = 30.0
    trial = asyncio.create_task(answerer.answer(asked()))
    await asyncio.wait_for(fake.begun.wait(), 30)
    with pytest.raises(Unavailable, match="left alone"):
        await answerer.answer(asked())
    fake.hold.set()
    assert (await trial).text == "Hi"
    assert state_of(answerer) is State.CLOSED


async def test_a_stream_as_the_trial_of_a_slow_server(fake: FakeLangGraph, load: Load) -> None:
    """A stream has shown that the server works by its second event, not by the first, which may only be a queue's."""
    answerer = await load()
    clock = timed(answerer)
    for _ in range(LEAST):
        attempt = answerer.upstream.circuit.enter()
        assert attempt
        attempt.failed(slow=True)
    clock.advance(PAUSE)
    chunk = [{"type": "AIMessageChunk", "content": "Hel", "id": "1"}, {}]
    fake.stream(event("metadata", {}), event("messages", chunk))
    fake.hold.clear()
    async with aclosing(answerer.stream(asked())) as events:
        assert await anext(events) == "Hel"
        assert state_of(answerer) is State.CLOSED


async def test_short_deadlines_of_clients(fake: FakeLangGraph, load: Load) -> None:
    """Clients that wait for less than half of the server's deadline shut nobody out, however many they are."""
    answerer = await load(deadline=30.0)
    fake.hold.clear()
    for _ in range(2 * LEAST):
        with pytest.raises(TimeoutError):
            await soon(answerer, 0.02)
    assert state_of(answerer) is State.CLOSED
    assert answerer.statistics().requests == {"succeeded": 0, "failed": 0, "left": 2 * LEAST, "refused": 0}


async def test_deadlines_that_others_keep(fake: FakeLangGraph, load: Load) -> None:
    """A question that is cancelled when its time is over was one that the server did not answer."""
    answerer = await load(deadline=0.02)
    fake.hold.clear()
    for _ in range(LEAST):
        with pytest.raises(TimeoutError):
            await soon(answerer, 0.02)
    assert state_of(answerer) is State.OPEN


async def soon(answerer: Remote, seconds: float) -> None:
    """Ask, and cancel when so many seconds are over, as whoever keeps deadlines does."""
    async with asyncio.timeout(seconds):
        await answerer.answer(asked(deadline=time.monotonic() + seconds))


async def test_the_state_of_a_thread_shows_nothing(fake: FakeLangGraph, load: Load) -> None:
    """That a thread can be read is no sign that runs come to an end: the run is what counts."""
    answerer = await load()
    fake.status, fake.headers = 502, {"Content-Type": "text/html"}
    for number in range(LEAST):
        with pytest.raises(UpstreamFailed):
            await answerer.answer(asked(thread=str(number)))
    assert state_of(answerer) is State.OPEN


async def test_looks_go_past_it(down: Down) -> None:
    """Askd's own looks at the server are neither counted nor stopped."""
    answerer, _, base = down
    answerer.upstream.base = base
    await answerer.find()
    assert state_of(answerer) is State.OPEN


async def test_readiness_stays(down: Down) -> None:
    """Readiness says how the circuit is and does not fail, for that would help nobody."""
    ready, detail = await down[0].ready()
    assert ready
    assert (
        detail == "circuit open, next trial in 1.0s: The server that answers cannot be reached. Ask again in a moment."
    )


async def test_readiness_that_needs_it(fake: FakeLangGraph, down: Down) -> None:
    """Where the setting says so readiness fails; a look is the trial then, as no question will come."""
    answerer, clock, was = down
    answerer._needed = True
    assert not (await answerer.ready())[0]
    clock.advance(PAUSE)
    assert not (await answerer.ready())[0]
    assert answerer._look
    await answerer._look
    assert answerer.upstream.circuit.wait == 2 * PAUSE
    answerer.upstream.base = was
    clock.advance(2 * PAUSE)
    assert not (await answerer.ready())[0]
    await answerer._look
    assert await answerer.ready() == (True, answerer.upstream.trouble)
    assert fake.bodies == []


async def test_a_look_that_is_cancelled(down: Down) -> None:
    """A look that was the trial and was cancelled keeps no other trial away."""
    answerer, clock, _ = down
    answerer._needed = True
    clock.advance(PAUSE)
    for turns in range(4):
        await answerer.ready()
        assert answerer._look
        for _ in range(turns):
            await asyncio.sleep(0)
        answerer._look.cancel()
        await asyncio.wait({answerer._look})
        assert answerer._look.cancelled()
    assert answerer.upstream.circuit.enter()


async def test_another_askd_has_it_too(nowhere: str) -> None:
    """The circuit is the client's, whatever server it asks."""
    answerer: Askd = askd(nowhere)
    answerer.upstream.open()
    answerer.found = True
    await fail(answerer, Unavailable)
    assert answerer.statistics().circuit == "open"
    assert answerer.statistics().circuit_openings == 1
    await answerer.close()
