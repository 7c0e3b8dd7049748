"""The pipeline: order of the guards, cached answers, recorded outcomes, permits and deadlines."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from askd.answerers.user_code.thread_pool import ThreadPool
from askd.errors import AnswererFailed, BadQuestion, DeadlineExceeded, NoAnswer, NotCached, Overloaded, Problem, Refused
from askd.guards import deadline
from askd.guards.cache import NO_DIRECTIVES, AnswerCache, CacheDirectives
from askd.guards.concurrency import ConcurrencyLimiter
from askd.guards.single_flight import SingleFlight
from askd.models import Answer, Answerer, Question
from askd.pipeline import Pipeline
from tests.support.fakes import ScriptedAnswerer, UppercaseAnswerer, wait_until


class PipelineClient:
    """A pipeline around an answerer, its cache and limiter, and the recorded outcomes."""

    def __init__(
        self,
        answerer: Answerer,
        *,
        deterministic: bool | None = None,
        cache_capacity: int = 1 << 20,
        concurrency: int = 100,
        queue_size: int = 0,
    ) -> None:
        self.answerer = answerer
        self.cache = AnswerCache(cache_capacity)
        self.limiter = ConcurrencyLimiter(concurrency, queue_size=queue_size, target_delay=0.1, max_concurrency=None)
        self.recorded: list[tuple[str, float]] = []
        self.pipeline = Pipeline(
            answerer,
            cache=self.cache,
            single_flight=SingleFlight(),
            limiter=self.limiter,
            record_outcome=lambda outcome, seconds: self.recorded.append((outcome, seconds)),
            deterministic=deterministic,
        )

    @property
    def outcomes(self) -> list[str]:
        """The recorded outcomes, without their durations."""
        return [outcome for outcome, _ in self.recorded]

    async def ask(
        self,
        text: str,
        *,
        cache_directives: CacheDirectives = NO_DIRECTIVES,
        thread_id: str | None = None,
        timeout: float | None = None,
        **parameters: object,
    ) -> Answer:
        """Ask as the HTTP handler does; `timeout` is in seconds."""
        now = monotonic()
        question = Question(
            text=text,
            parameters=parameters,
            thread_id=thread_id,
            received_at=now,
            deadline=None if timeout is None else now + timeout,
        )
        with self.pipeline.begin(question, cache_directives) as execution:
            return execution.immediate or await execution.answer()

    async def stream(self, text: str) -> list[str | Answer]:
        """Ask for a stream, and read it to its end."""
        with self.pipeline.begin(Question(text=text, received_at=monotonic())) as execution:
            return [event async for event in execution.stream()]

    async def wait_until_idle(self) -> None:
        """Wait until no permit is in use: some are released at the end of the loop iteration."""
        await wait_until(lambda: not self.limiter.is_busy)


async def test_immediate_answer_then_cache_then_answerer() -> None:
    """An immediate answer needs neither cache nor call; a cached one needs no call."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer)
    assert (await client.ask("hello")).text == "Hi"
    assert (client.cache.statistics().misses, answerer.questions, client.outcomes) == (0, [], [])
    assert [(await client.ask("abc")).text for _ in range(3)] == ["ABC"] * 3
    statistics = client.cache.statistics()
    assert (statistics.misses, statistics.hits) == (1, 2)
    assert (len(answerer.questions), client.outcomes) == (1, ["answered"])


async def test_stage_timings() -> None:
    """The question has the durations of the stages that it passed."""
    client = PipelineClient(UppercaseAnswerer())
    for text, uses_cache, calls_answerer in [("hello", False, False), ("abc", True, True), ("abc", True, False)]:
        question = Question(text=text, received_at=monotonic())
        with client.pipeline.begin(question) as execution:
            answer = execution.immediate or await execution.answer()
        assert answer.text == ("Hi" if text == "hello" else "ABC")
        stages = question.stages
        assert ((stages.cache or 0) > 0, (stages.answerer or 0) > 0) == (uses_cache, calls_answerer)


async def test_parameters_are_part_of_the_cache_key() -> None:
    """Other values and types have another cache key; the order of the parameters does not matter."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer)
    for parameters in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}, {"a": "1"}, {"a": 1.0}, {"a": True}, {}):
        await client.ask("abc", **parameters)
    assert len(answerer.questions) == 6


async def test_version_is_part_of_the_cache_key() -> None:
    """After a reload, the same question calls the answerer again."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer)
    await client.ask("abc")
    answerer.version = "v2"
    await client.ask("abc")
    assert len(answerer.questions) == 2


async def test_answer_during_a_reload_is_not_cached() -> None:
    """An answer is not cached if the version changed during the call."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer)
    task = asyncio.create_task(client.ask("wait"))
    await answerer.wait_started.wait()
    answerer.version = "v2"
    answerer.release.set()
    await task
    assert client.cache.statistics().entries == 0


@pytest.mark.parametrize(
    ("declared", "setting", "calls"), [(True, None, 1), (False, None, 2), (True, False, 2), (False, True, 1)]
)
async def test_only_deterministic_answers_are_cached(declared: bool, setting: bool | None, calls: int) -> None:  # noqa: FBT001 - a parametrized argument
    """The setting takes precedence over what the answerer declares."""
    answerer = UppercaseAnswerer(deterministic=declared)
    client = PipelineClient(answerer, deterministic=setting)
    for _ in range(2):
        await client.ask("abc")
    assert len(answerer.questions) == calls


OUTCOMES = {
    "answered": (Answer("a"), None),
    "no_answer": (NoAnswer(), NoAnswer),
    "refused": (Refused(402, "Pay first."), Refused),
    "failed": (ValueError("a secret"), AnswererFailed),
    "failed by itself": (AnswererFailed(), AnswererFailed),
    "failed with a problem": (BadQuestion("q", "no"), BadQuestion),
    "failed by its own cancellation": (asyncio.CancelledError(), AnswererFailed),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("event", "error_type"), OUTCOMES.values(), ids=OUTCOMES)
async def test_outcomes(
    event: Answer | BaseException, error_type: type[Exception] | None, *, stream: bool, request: pytest.FixtureRequest
) -> None:
    """Each call is recorded once with outcome and duration; failures are not cached; the permit is released."""
    client = PipelineClient(ScriptedAnswerer(event, deterministic=True))
    expected = request.node.callspec.id.split("-")[0].partition(" ")[0]
    with pytest.raises(error_type) if error_type else contextlib.nullcontext() as raised:
        await (client.stream("x") if stream else client.ask("x"))
    if raised and not isinstance(event, Problem):
        assert raised.value.__cause__ is event
    assert client.outcomes == [expected]
    assert client.recorded[0][1] >= 0
    assert client.cache.statistics().entries == (error_type in {None, NoAnswer})
    await client.wait_until_idle()
    assert client.limiter.in_flight == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_client_disconnect(*, stream: bool) -> None:
    """If the client disconnects, the call is cancelled, recorded as such, and its permit is released."""
    answerer = UppercaseAnswerer(supports_streaming=True)
    client = PipelineClient(answerer)
    task = asyncio.create_task(client.stream("wait") if stream else client.ask("wait"))
    await answerer.wait_started.wait()
    assert client.limiter.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_until(lambda: client.limiter.in_flight == 0)  # a shared call ends in its own task
    assert (answerer.cancelled.is_set(), client.outcomes) == (True, ["cancelled"])


async def test_closing_a_stream_closes_the_answerer() -> None:
    """A stream that is closed early closes the stream of the answerer, and is recorded as cancelled."""
    closed = []

    class EndlessAnswerer(ScriptedAnswerer):
        async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
            try:
                while True:
                    yield "again"
            finally:
                closed.append(question.text)

    client = PipelineClient(EndlessAnswerer())
    with client.pipeline.begin(Question(text="x", received_at=monotonic())) as execution:
        events = execution.stream()
        assert await anext(events) == "again"
        await events.aclose()  # type: ignore[attr-defined] # a generator
    await client.wait_until_idle()
    assert (closed, client.limiter.in_flight, client.outcomes) == (["x"], 0, ["cancelled"])


async def test_streams_and_the_cache() -> None:
    """A streamed answer is cached for both kinds of requests; a stream of a cached answer has one delta."""
    client = PipelineClient(UppercaseAnswerer(supports_streaming=True))
    assert await client.stream("a b") == ["a ", "b ", Answer("a b ")]
    assert await client.stream("a b") == ["a b ", Answer("a b ")]
    assert await client.ask("a b") == Answer("a b ")
    assert client.outcomes == ["answered"]


async def test_stream_without_an_answer_has_failed() -> None:
    """A stream that ends without an Answer is a failure of the answerer."""
    client = PipelineClient(ScriptedAnswerer("more"))
    with pytest.raises(AnswererFailed):
        await client.stream("x")
    assert client.outcomes == ["failed"]


async def test_cache_size_is_in_bytes() -> None:
    """Wide characters count with the bytes that they use in memory."""
    narrow, wide = PipelineClient(UppercaseAnswerer()), PipelineClient(UppercaseAnswerer())
    await narrow.ask("a" * 1000)
    await wide.ask("😀" * 1000)
    assert wide.cache.statistics().size > narrow.cache.statistics().size + 5000


async def test_single_flight() -> None:
    """A thousand concurrent requests for one question make one call with one permit, and none is shed."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer, concurrency=1)
    tasks = [asyncio.create_task(client.ask("wait")) for _ in range(1000)]
    await answerer.wait_started.wait()
    answerer.release.set()
    assert {answer.text for answer in await asyncio.gather(*tasks)} == {"WAIT"}
    await client.wait_until_idle()
    assert (len(answerer.questions), client.outcomes, client.limiter.in_flight) == (1, ["answered"], 0)


async def test_followers_know_their_leader() -> None:
    """Executions that join a call have the request id of its leader; the leader has none."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer)
    leader_ids = []

    async def ask(request_id: str) -> None:
        question = Question(text="wait", id=request_id, received_at=monotonic())
        with client.pipeline.begin(question) as execution:
            await execution.answer()
            leader_ids.append(execution.leader_id)

    tasks = [asyncio.create_task(ask(request_id)) for request_id in ("first", "second")]
    await answerer.wait_started.wait()
    answerer.release.set()
    await asyncio.gather(*tasks)
    assert leader_ids == [None, "first"]


async def test_shared_call_outlives_its_leader() -> None:
    """If the leader is cancelled, the call continues with the same permit for the followers."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer, concurrency=1)
    leader, follower = (asyncio.create_task(client.ask("wait")) for _ in range(2))
    await answerer.wait_started.wait()
    leader.cancel()
    await asyncio.wait({leader})
    assert (client.limiter.in_flight, answerer.cancelled.is_set()) == (1, False)
    answerer.release.set()
    await client.wait_until_idle()
    assert ((await follower).text, len(answerer.questions), client.limiter.in_flight) == ("WAIT", 1, 0)


async def test_cancellation_before_the_shared_call_runs() -> None:
    """A call that is cancelled before its first step releases its permit."""
    client = PipelineClient(UppercaseAnswerer(), concurrency=1)
    task = asyncio.create_task(client.ask("abc"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await client.wait_until_idle()
    assert (await client.ask("abc")).text == "ABC"


async def test_no_single_flight_for_other_answers() -> None:
    """Calls are not shared if the answerer is not deterministic, or in a conversation."""
    not_deterministic = UppercaseAnswerer(deterministic=False)
    client = PipelineClient(not_deterministic)
    await asyncio.gather(client.ask("abc"), client.ask("abc"))
    deterministic = UppercaseAnswerer()
    await asyncio.gather(*(PipelineClient(deterministic).ask("abc", thread_id="t") for _ in range(2)))
    assert (len(not_deterministic.questions), len(deterministic.questions)) == (2, 2)


async def test_load_shedding() -> None:
    """With one request running and one queued, the next is shed with a Retry-After; permits are released later."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = PipelineClient(answerer, concurrency=1, queue_size=1)
    tasks = [asyncio.create_task(client.ask("wait")) for _ in range(2)]
    await answerer.wait_started.wait()
    with pytest.raises(Overloaded) as raised:
        await client.ask("abc")
    assert raised.value.retry_after in {1, 2, 3}
    assert (client.limiter.in_flight, client.limiter.waiting) == (1, 1)
    answerer.release.set()
    await asyncio.gather(*tasks)
    await client.wait_until_idle()
    assert (client.limiter.in_flight, client.limiter.waiting) == (0, 0)


async def test_immediate_and_cached_answers_under_overload() -> None:
    """Immediate and cached answers need no permit."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer, concurrency=1)
    await client.ask("abc")
    task = asyncio.create_task(client.ask("wait"))
    await answerer.wait_started.wait()
    assert [(await client.ask(text)).text for text in ("hello", "abc")] == ["Hi", "ABC"]
    with pytest.raises(Overloaded):
        await client.ask("def")
    answerer.release.set()
    await task


@pytest.mark.parametrize("deterministic", [True, False])
async def test_deadline_cancels_the_answerer(*, deterministic: bool) -> None:
    """At the deadline the client gets DeadlineExceeded, the answerer is cancelled, and its permit is released."""
    answerer = UppercaseAnswerer(deterministic=deterministic)
    client = PipelineClient(answerer)
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.05 s"):
        await client.ask("wait", timeout=0.05)
    await asyncio.wait_for(answerer.cancelled.wait(), 5)
    await client.wait_until_idle()


async def test_timer_starts_close_to_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A distant deadline gets its timer when it comes close; a call that ends before that never has one."""
    monkeypatch.setattr(deadline, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(deadline, "TIMER_THRESHOLD", 0.04)
    answerer = UppercaseAnswerer(deterministic=False)
    client = PipelineClient(answerer)
    started_at = monotonic()
    task = asyncio.create_task(client.ask("wait", timeout=0.2))
    await answerer.wait_started.wait()
    timers = client.pipeline.deadline_timers
    assert len(timers._scopes) == 1
    assert (await client.ask("abc", timeout=60.0)).text == "ABC"
    assert len(timers._scopes) == 1
    with pytest.raises(DeadlineExceeded):
        await task
    assert monotonic() - started_at >= 0.2
    assert (timers._scopes, answerer.cancelled.is_set()) == (set(), True)
    await wait_until(lambda: not timers._check_scheduled)


async def test_cancellation_at_the_deadline() -> None:
    """A request that is cancelled from outside at its deadline raises CancelledError, not DeadlineExceeded."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = PipelineClient(answerer)
    task = asyncio.create_task(client.ask("wait", timeout=60.0))
    await answerer.wait_started.wait()
    (scope,) = client.pipeline.deadline_timers._scopes
    scope._expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_deadline_in_the_queue() -> None:
    """A request whose deadline passes in the queue never reaches the answerer."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = PipelineClient(answerer, concurrency=1, queue_size=1)
    first = asyncio.create_task(client.ask("wait"))
    await answerer.wait_started.wait()
    with pytest.raises(DeadlineExceeded):
        await client.ask("late", timeout=0.05)
    answerer.release.set()
    await first
    assert [question.text for question in answerer.questions] == ["wait"]
    assert client.pipeline.limiter.statistics().shed_late == 1


async def test_late_answer_is_discarded() -> None:
    """Code that ignores its cancellation keeps its permit until it stops, and its answer is discarded."""

    class StubbornAnswerer(UppercaseAnswerer):
        async def answer(self, question: Question) -> Answer:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            assert client.limiter.in_flight == 1
            return Answer("late")

    client = PipelineClient(StubbornAnswerer(deterministic=False))
    with pytest.raises(DeadlineExceeded):
        await client.ask("abc", timeout=0.02)
    await wait_until(lambda: client.limiter.in_flight == 0)


async def test_thread_keeps_its_permit_after_a_disconnect() -> None:
    """A synchronous call whose client has disconnected keeps its permit, as detached, until its thread ends."""

    class ThreadedAnswerer(UppercaseAnswerer):
        pool = ThreadPool(4)
        may_return = threading.Event()

        async def answer(self, question: Question) -> Answer:
            loop, started = asyncio.get_running_loop(), self.wait_started

            def work() -> Answer:
                loop.call_soon_threadsafe(started.set)
                self.may_return.wait()
                return Answer("done")

            return await self.pool.run(work)

    answerer = ThreadedAnswerer(deterministic=False)
    client = PipelineClient(answerer, concurrency=1)
    limiter = client.limiter
    task = asyncio.create_task(client.ask("abc"))
    await answerer.wait_started.wait()
    task.cancel()
    await asyncio.wait({task})
    assert (limiter.in_flight, limiter.detached, limiter.exhausted_since is None) == (1, 1, False)
    with pytest.raises(Overloaded):
        await client.ask("def")
    answerer.may_return.set()
    await wait_until(lambda: limiter.in_flight == 0)
    assert (limiter.detached, limiter.exhausted_since, (await client.ask("def")).text) == (0, None, "done")
    answerer.pool.close()


async def test_no_answer_is_cached() -> None:
    """A repeated question without an answer gets the same NoAnswer, with suggestions, without another call."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer)
    for _ in range(2):
        with pytest.raises(NoAnswer) as raised:
            await client.ask("nothing")
    assert (len(answerer.questions), raised.value.extensions) == (1, {"suggestions": ["hello"]})


async def test_cache_directives() -> None:
    """`no-cache` calls the answerer and caches the answer, `no-store` does not; `only-if-cached` makes no call."""
    answerer = UppercaseAnswerer()
    client = PipelineClient(answerer)
    await client.ask("abc")
    await client.ask("abc", cache_directives=CacheDirectives(no_cache=True))
    await client.ask("abc")
    await client.ask("def", cache_directives=CacheDirectives(no_store=True))
    await client.ask("def")
    assert [question.text for question in answerer.questions] == ["abc", "abc", "def", "def"]
    with pytest.raises(NotCached):
        await client.ask("ghi", cache_directives=CacheDirectives(only_if_cached=True))
