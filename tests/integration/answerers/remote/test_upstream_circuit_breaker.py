"""Tests of the circuit breaker around upstream requests: which outcomes open and close it, and how clients see it."""

import asyncio
import time
from contextlib import aclosing

import pytest

from askd.answerers.remote import AskdAnswerer, LangGraphAnswerer
from askd.answerers.remote.base import RemoteAnswerer
from askd.circuit_breaker import INITIAL_BACKOFF, MIN_REQUESTS, CircuitBreaker, CircuitState
from askd.errors import Problem, Unavailable, UpstreamFailed
from tests.integration.answerers.remote.conftest import LoadAnswerer
from tests.support.fake_langgraph_server import (
    FakeLangGraph,
    askd_answerer,
    final_state,
    human_message,
    make_question,
    sse_event,
)
from tests.support.fakes import Clock, wait_until

PROBLEM = "application/problem+json"
JSON = "application/json"
UnreachableServer = tuple[LangGraphAnswerer, Clock, str]


def use_fake_clock(answerer: RemoteAnswerer) -> Clock:
    """Replace the answerer's circuit breaker by one with a fake clock."""
    clock = Clock()
    answerer.upstream.circuit_breaker = CircuitBreaker(clock=clock)
    return clock


def state_of(answerer: RemoteAnswerer) -> CircuitState:
    """Return the state of the circuit."""
    return answerer.upstream.circuit_breaker.state


async def fail(answerer: RemoteAnswerer, problem: type[Problem], times: int = MIN_REQUESTS) -> None:
    """Ask several questions, which must raise the problem."""
    for _ in range(times):
        with pytest.raises(problem):
            await answerer.answer(make_question())


@pytest.fixture
async def unreachable(load: LoadAnswerer, unreachable_url: str) -> UnreachableServer:
    """Return an answerer whose circuit was opened by an unreachable server, its clock, and the old URL."""
    answerer = await load()
    clock = use_fake_clock(answerer)
    base_url, answerer.upstream.base_url = answerer.upstream.base_url, unreachable_url
    await fail(answerer, Unavailable)
    return answerer, clock, base_url


async def test_refused_connections_open_the_circuit(unreachable: UnreachableServer, fake: FakeLangGraph) -> None:
    """While the circuit is open, no requests are sent, even if the server is back."""
    answerer, _, base_url = unreachable
    assert state_of(answerer) is CircuitState.OPEN
    answerer.upstream.base_url = base_url
    with pytest.raises(Unavailable, match="requests to it are paused") as caught:
        await answerer.answer(make_question())
    assert caught.value.retry_after in {1, 2, 3}
    with pytest.raises(Unavailable, match="requests to it are paused"):
        await anext(aiter(answerer.stream(make_question())))
    assert fake.paths == []
    assert answerer.statistics().upstream_requests == {
        "succeeded": 0,
        "failed": MIN_REQUESTS,
        "cancelled": 0,
        "refused": 2,
    }


async def test_start_of_a_response_closes_the_circuit(unreachable: UnreachableServer, fake: FakeLangGraph) -> None:
    """After the backoff one of several questions is the trial; the circuit closes when its response starts."""
    answerer, clock, base_url = unreachable
    answerer.upstream.base_url = base_url
    clock.advance(INITIAL_BACKOFF)
    fake.finish_body.clear()
    tasks = [asyncio.create_task(answerer.answer(make_question())) for _ in range(10)]
    await asyncio.wait_for(fake.body_started.wait(), 30)
    assert len(fake.paths) == 1
    await wait_until(lambda: state_of(answerer) is CircuitState.CLOSED)
    fake.finish_body.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 9
    assert await answerer.ready() == (True, "")


async def test_cancelled_trial_allows_another(unreachable: UnreachableServer, fake: FakeLangGraph) -> None:
    """After a trial was cancelled at any point, the next question is the trial."""
    answerer, clock, base_url = unreachable
    clock.advance(INITIAL_BACKOFF)
    for loop_iterations in range(8):
        trial = asyncio.create_task(answerer.answer(make_question()))
        for _ in range(loop_iterations):
            await asyncio.sleep(0)
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        clock.advance(60.0)
    answerer.upstream.base_url = base_url
    assert (await answerer.answer(make_question())).text == "Hi"


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


@pytest.mark.parametrize(("status", "media_type", "headers", "opens"), STATUSES)
async def test_statuses(
    fake: FakeLangGraph, load: LoadAnswerer, *, status: int, media_type: str, headers: dict[str, str], opens: bool
) -> None:
    """Server errors, as from a proxy, open the circuit; deliberate responses of the application do not."""
    answerer = await load(assistant="agent")
    fake.status, fake.headers = status, {"Content-Type": media_type, **headers}
    await fail(answerer, Problem)
    assert (state_of(answerer) is CircuitState.OPEN) is opens


async def test_failed_runs_do_not_open_the_circuit(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Failed runs and runs without an answer leave the circuit closed."""
    answerer = await load()
    for body in (
        b'{"__error__": {"error": "ValueError", "message": "x"}}',
        b"null",
        b"<html>",
        final_state(human_message("hi")),
    ):
        fake.body_parts = [body]
        await fail(answerer, Problem)
    assert state_of(answerer) is CircuitState.CLOSED


async def test_aborted_responses_open_the_circuit(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Aborted responses and streams open the circuit."""
    answerer = await load()
    fake.body_parts, fake.abort_connection = [b'{"messages": ['], True
    await fail(answerer, UpstreamFailed, MIN_REQUESTS - 1)
    assert state_of(answerer) is CircuitState.CLOSED
    fake.respond_with_events(sse_event("metadata", {}))
    with pytest.raises(UpstreamFailed):
        await anext(aiter(answerer.stream(make_question())))
    assert state_of(answerer) is CircuitState.OPEN
    assert "circuit open, next trial in" in (await answerer.ready())[1]


async def test_timeouts_open_the_circuit(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """If time-outs opened the circuit, only a complete response of the trial closes it."""
    answerer = await load(deadline=0.05)
    clock = use_fake_clock(answerer)
    fake.finish_body.clear()
    await fail(answerer, UpstreamFailed)
    assert state_of(answerer) is CircuitState.OPEN
    clock.advance(INITIAL_BACKOFF)
    fake.body_started.clear()
    answerer.upstream.deadline = 30.0
    trial = asyncio.create_task(answerer.answer(make_question()))
    await asyncio.wait_for(fake.body_started.wait(), 30)
    with pytest.raises(Unavailable, match="requests to it are paused"):
        await answerer.answer(make_question())
    fake.finish_body.set()
    assert (await trial).text == "Hi"
    assert state_of(answerer) is CircuitState.CLOSED


async def test_second_event_of_a_stream_closes_the_circuit(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A stream as the trial succeeds at its second event, because the first may only mean that the run is queued."""
    answerer = await load()
    clock = use_fake_clock(answerer)
    for _ in range(MIN_REQUESTS):
        attempt = answerer.upstream.circuit_breaker.try_acquire()
        assert attempt
        attempt.record_failure(timed_out=True)
    clock.advance(INITIAL_BACKOFF)
    chunk = [{"type": "AIMessageChunk", "content": "Hel", "id": "1"}, {}]
    fake.respond_with_events(sse_event("metadata", {}), sse_event("messages", chunk))
    fake.finish_body.clear()
    async with aclosing(answerer.stream(make_question())) as events:
        assert await anext(events) == "Hel"
        assert state_of(answerer) is CircuitState.CLOSED


async def test_short_client_deadlines_do_not_open_the_circuit(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Time-outs before half of the configured deadline do not count as failures."""
    answerer = await load(deadline=30.0)
    fake.finish_body.clear()
    for _ in range(2 * MIN_REQUESTS):
        with pytest.raises(TimeoutError):
            await ask_with_deadline(answerer, 0.02)
    assert state_of(answerer) is CircuitState.CLOSED
    assert answerer.statistics().upstream_requests == {
        "succeeded": 0,
        "failed": 0,
        "cancelled": 2 * MIN_REQUESTS,
        "refused": 0,
    }


async def test_cancellation_at_the_deadline_is_a_timeout(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A question that is cancelled at its deadline counts as a failure."""
    answerer = await load(deadline=0.02)
    fake.finish_body.clear()
    for _ in range(MIN_REQUESTS):
        with pytest.raises(TimeoutError):
            await ask_with_deadline(answerer, 0.02)
    assert state_of(answerer) is CircuitState.OPEN


async def ask_with_deadline(answerer: RemoteAnswerer, seconds: float) -> None:
    """Ask a question and cancel it at its deadline, as the server does."""
    async with asyncio.timeout(seconds):
        await answerer.answer(make_question(deadline=time.monotonic() + seconds))


async def test_thread_lookups_do_not_count_as_success(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Successful requests for the state of a thread do not keep the circuit closed if the runs fail."""
    answerer = await load()
    fake.status, fake.headers = 502, {"Content-Type": "text/html"}
    for number in range(MIN_REQUESTS):
        with pytest.raises(UpstreamFailed):
            await answerer.answer(make_question(thread_id=str(number)))
    assert state_of(answerer) is CircuitState.OPEN


async def test_discovery_bypasses_the_circuit(unreachable: UnreachableServer) -> None:
    """Discovery is neither counted nor rejected."""
    answerer, _, base_url = unreachable
    answerer.upstream.base_url = base_url
    await answerer.discover()
    assert state_of(answerer) is CircuitState.OPEN


async def test_readiness_with_open_circuit(unreachable: UnreachableServer) -> None:
    """Readiness reports the open circuit but does not fail."""
    ready, detail = await unreachable[0].ready()
    assert ready
    assert detail == "circuit open, next trial in 1.0s: The upstream server cannot be reached. Retry in a moment."


async def test_readiness_requires_upstream(fake: FakeLangGraph, unreachable: UnreachableServer) -> None:
    """If readiness requires the upstream, it fails while the circuit is open, and discovery is the trial."""
    answerer, clock, base_url = unreachable
    answerer._readiness_requires_upstream = True
    assert not (await answerer.ready())[0]
    clock.advance(INITIAL_BACKOFF)
    assert not (await answerer.ready())[0]
    assert answerer._discovery_task
    await answerer._discovery_task
    assert answerer.upstream.circuit_breaker.seconds_until_trial == 2 * INITIAL_BACKOFF
    answerer.upstream.base_url = base_url
    clock.advance(2 * INITIAL_BACKOFF)
    assert not (await answerer.ready())[0]
    await answerer._discovery_task
    assert await answerer.ready() == (True, answerer.upstream.last_error)
    assert fake.bodies == []


async def test_cancelled_discovery_allows_another_trial(unreachable: UnreachableServer) -> None:
    """If discovery was the trial and was cancelled, another trial is allowed."""
    answerer, clock, _ = unreachable
    answerer._readiness_requires_upstream = True
    clock.advance(INITIAL_BACKOFF)
    for loop_iterations in range(4):
        await answerer.ready()
        assert answerer._discovery_task
        for _ in range(loop_iterations):
            await asyncio.sleep(0)
        answerer._discovery_task.cancel()
        await asyncio.wait({answerer._discovery_task})
        assert answerer._discovery_task.cancelled()
    assert answerer.upstream.circuit_breaker.try_acquire()


async def test_circuit_of_another_askd(unreachable_url: str) -> None:
    """Requests to another askd have a circuit breaker too."""
    answerer: AskdAnswerer = askd_answerer(unreachable_url)
    answerer.upstream.open()
    answerer.is_discovered = True
    await fail(answerer, Unavailable)
    assert answerer.statistics().circuit_state == "open"
    assert answerer.statistics().circuit_openings == 1
    await answerer.close()
