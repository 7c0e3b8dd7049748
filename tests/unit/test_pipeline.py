"""The pipeline: the order of guards, what is kept, what is counted."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from service import call
from service.answerers.threads import Pool
from service.errors import (
    AnswererFailed,
    BadQuestion,
    DeadlineExceeded,
    NoAnswer,
    NotCached,
    Overloaded,
    Problem,
    Refused,
)
from service.guards.cache import Cache
from service.guards.flight import Flights
from service.guards.limiter import Limiter
from service.guards.wishes import NONE, Wishes
from service.models import Answer, Answerer, Question
from service.pipeline import Pipeline
from service.turn import Guards
from tests.fakes import Scripted, Upper, until


class Piped:
    """A pipeline, its cache, and the outcomes that it recorded."""

    def __init__(
        self,
        answerer: Answerer,
        *,
        deterministic: bool | None = None,
        capacity: int = 1 << 20,
        concurrency: int = 100,
        queue: int = 0,
    ) -> None:
        self.answerer = answerer
        self.cache = Cache(capacity)
        self.limiter = Limiter(concurrency, queue=queue, budget=0.1, ceiling=None)
        self.outcomes: list[tuple[str, float]] = []
        guards = Guards(
            answerer,
            cache=self.cache,
            flights=Flights(),
            limiter=self.limiter,
            record=lambda outcome, seconds: self.outcomes.append((outcome, seconds)),
        )
        self.pipeline = Pipeline(guards, deterministic=deterministic)

    @property
    def named(self) -> list[str]:
        """The outcomes, without their times."""
        return [outcome for outcome, _ in self.outcomes]

    async def ask(
        self, text: str, *, wishes: Wishes = NONE, thread: str | None = None, time: float | None = None, **more: object
    ) -> Answer:
        """Ask as the handler does; `time` is what the question has, in seconds."""
        now = monotonic()
        until = None if time is None else now + time
        question = Question(text=text, parameters=more, thread=thread, arrived=now, deadline=until)
        with self.pipeline.begin(question, wishes) as turn:
            return turn.at_hand or await turn.answer()

    async def stream(self, text: str) -> list[str | Answer]:
        """Ask for a stream, and read it to its end."""
        with self.pipeline.begin(Question(text=text, arrived=monotonic())) as turn:
            return [event async for event in turn.stream()]


async def test_at_hand_then_cache_then_code() -> None:
    """What the answerer has at hand needs neither cache nor code; what the cache has needs no code."""
    fake = Upper()
    it = Piped(fake)
    assert (await it.ask("hello")).text == "Hi"
    assert (it.cache.statistics().misses, fake.asked, it.outcomes) == (0, [], [])
    assert [(await it.ask("abc")).text for _ in range(3)] == ["ABC"] * 3
    seen = it.cache.statistics()
    assert (seen.misses, seen.hits, len(fake.asked), it.named) == (1, 2, 1, ["answered"])


async def test_stages_are_timed_where_passed() -> None:
    """The question carries the time of the cache and of the code, where it passed them."""
    it = Piped(Upper())
    for text, cache, code in [("hello", False, False), ("abc", True, True), ("abc", True, False)]:
        question = Question(text=text, arrived=monotonic())
        with it.pipeline.begin(question) as turn:
            assert (turn.at_hand or await turn.answer()).text == ("Hi" if text == "hello" else "ABC")
        assert ((question.stages.cache or 0) > 0, (question.stages.code or 0) > 0) == (cache, code)


async def test_parameters_make_another_question() -> None:
    """Other values or types are another question; the order in which they are given is not."""
    fake = Upper()
    it = Piped(fake)
    for parameters in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}, {"a": "1"}, {"a": 1.0}, {"a": True}, {}):
        await it.ask("abc", **parameters)
    assert len(fake.asked) == 6


async def test_another_version_has_no_old_answers() -> None:
    """After a reload the same question reaches the code again."""
    fake = Upper()
    it = Piped(fake)
    await it.ask("abc")
    fake.version = "v2"
    await it.ask("abc")
    assert len(fake.asked) == 2


async def test_an_answer_that_a_reload_overtook_is_not_kept() -> None:
    """An answer begun under one version and ended under another is kept under neither."""
    fake = Upper()
    it = Piped(fake)
    asking = asyncio.create_task(it.ask("wait"))
    await fake.waiting.wait()
    fake.version = "v2"
    fake.release.set()
    await asking
    assert it.cache.statistics().entries == 0


@pytest.mark.parametrize(
    ("declared", "setting", "asked"), [(True, None, 1), (False, None, 2), (True, False, 2), (False, True, 1)]
)
async def test_only_deterministic_answers_are_kept(declared: bool, setting: bool | None, asked: int) -> None:  # noqa: FBT001 - parameters of the test
    """The setting outranks what the answerer declares of itself."""
    fake = Upper(deterministic=declared)
    it = Piped(fake, deterministic=setting)
    for _ in range(2):
        await it.ask("abc")
    assert len(fake.asked) == asked


OUTCOMES = {
    "answered": (Answer("a"), None),
    "no_answer": (NoAnswer(), NoAnswer),
    "refused": (Refused(402, "Pay first."), Refused),
    "failed": (ValueError("a secret"), AnswererFailed),
    "failed by itself": (AnswererFailed(), AnswererFailed),
    "failed with a problem": (BadQuestion("q", "no"), BadQuestion),
    "failed by its own cancellation": (asyncio.CancelledError(), AnswererFailed),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("event", "raised"), OUTCOMES.values(), ids=OUTCOMES)
async def test_outcomes_are_recorded_and_failures_not_kept(
    event: Answer | BaseException, raised: type[Exception] | None, *, streamed: bool, request: pytest.FixtureRequest
) -> None:
    """Each call is recorded once with its outcome and time; nothing but an answer is kept; nothing stays in flight."""
    it = Piped(Scripted(event, deterministic=True))
    expected = request.node.callspec.id.split("-")[0].partition(" ")[0]
    with pytest.raises(raised) if raised else contextlib.nullcontext() as caught:
        await (it.stream("x") if streamed else it.ask("x"))
    if caught and not isinstance(event, Problem):
        assert caught.value.__cause__ is event
    assert it.named == [expected]
    assert it.outcomes[0][1] >= 0
    assert it.cache.statistics().entries == (raised in {None, NoAnswer})
    await until(lambda: not it.limiter.busy)  # a place is free at the end of its turn
    assert it.limiter.in_flight == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelled_calls_are_told_apart(*, streamed: bool) -> None:
    """A call whose client left is `cancelled`, reaches the code, and leaves nothing in flight."""
    fake = Upper(streams=True)
    it = Piped(fake)
    task = asyncio.create_task(it.stream("wait") if streamed else it.ask("wait"))
    await fake.waiting.wait()
    assert it.limiter.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: it.limiter.in_flight == 0)  # a call that may be shared stops in a task of its own
    assert (fake.stopped.is_set(), it.named) == (True, ["cancelled"])


async def test_closing_a_stream_early_closes_the_code() -> None:
    """A stream that is left after an event is closed down to the code, and counts as cancelled, not as an answer."""
    closed = []

    class Endless(Scripted):
        """Says the same for ever."""

        async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
            """Yield until closed."""
            try:
                while True:
                    yield "again"
            finally:
                closed.append(question.text)

    it = Piped(Endless())
    with it.pipeline.begin(Question(text="x", arrived=monotonic())) as turn:
        events = turn.stream()
        assert await anext(events) == "again"
        await events.aclose()  # type: ignore[attr-defined] # a generator
    await until(lambda: not it.limiter.busy)  # a place is free at the end of its turn
    assert (closed, it.limiter.in_flight, it.named) == (["x"], 0, ["cancelled"])


async def test_streams_are_kept_and_taken_from_the_cache() -> None:
    """A streamed deterministic answer is kept for both ways of asking, and comes back as one delta."""
    fake = Upper(streams=True)
    it = Piped(fake)
    assert await it.stream("a b") == ["a ", "b ", Answer("a b ")]
    assert await it.stream("a b") == ["a b ", Answer("a b ")]
    assert await it.ask("a b") == Answer("a b ")
    assert it.named == ["answered"]


async def test_a_stream_without_an_answer_has_failed() -> None:
    """A stream that ends before its Answer is the code's failure."""
    it = Piped(Scripted("more"))
    with pytest.raises(AnswererFailed):
        await it.stream("x")
    assert it.named == ["failed"]


async def test_memory_is_counted_in_bytes() -> None:
    """A text of wide characters takes the room that it needs in memory, not its number of characters."""
    narrow, wide = Piped(Upper()), Piped(Upper())
    await narrow.ask("a" * 1000)
    await wide.ask("😀" * 1000)
    assert wide.cache.statistics().size > narrow.cache.statistics().size + 5000


async def test_the_same_question_is_asked_once() -> None:
    """A thousand who ask the same at the same time make one call, which needs one place; none of them is refused."""
    fake = Upper()
    it = Piped(fake, concurrency=1)
    asking = [asyncio.create_task(it.ask("wait")) for _ in range(1000)]
    await fake.waiting.wait()
    fake.release.set()
    assert {answer.text for answer in await asyncio.gather(*asking)} == {"WAIT"}
    await until(lambda: not it.limiter.busy)  # a place is free at the end of its turn
    assert (len(fake.asked), it.named, it.limiter.in_flight) == (1, ["answered"], 0)


async def test_when_the_first_leaves_the_others_get_their_answer() -> None:
    """The call of one who leaves goes on for the others, in the same place."""
    fake = Upper()
    it = Piped(fake, concurrency=1)
    first, second = (asyncio.create_task(it.ask("wait")) for _ in range(2))
    await fake.waiting.wait()
    first.cancel()
    await asyncio.wait({first})
    assert (it.limiter.in_flight, fake.stopped.is_set()) == (1, False)
    fake.release.set()
    await until(lambda: not it.limiter.busy)  # a place is free at the end of its turn
    assert ((await second).text, len(fake.asked), it.limiter.in_flight) == ("WAIT", 1, 0)


async def test_who_leaves_before_the_call_began_takes_no_place_along() -> None:
    """A call that is cancelled in the turn in which it was begun gives its place back, although it never ran."""
    it = Piped(Upper(), concurrency=1)
    task = asyncio.create_task(it.ask("abc"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await until(lambda: not it.limiter.busy)
    assert (await it.ask("abc")).text == "ABC"


async def test_code_that_is_not_deterministic_is_called_for_each() -> None:
    """Nothing is shared where answers may differ, nor within a conversation."""
    fake = Upper(deterministic=False)
    it = Piped(fake)
    await asyncio.gather(it.ask("abc"), it.ask("abc"))
    other = Upper()
    await asyncio.gather(*(Piped(other).ask("abc", thread="t") for _ in range(2)))
    assert (len(fake.asked), len(other.asked)) == (2, 2)


async def test_beyond_the_limit_and_the_queue_questions_are_refused() -> None:
    """One is in the code, one waits, the next is refused at once with a whole number of seconds; places come back."""
    fake = Upper(deterministic=False)
    it = Piped(fake, concurrency=1, queue=1)
    asking = [asyncio.create_task(it.ask("wait")) for _ in range(2)]
    await fake.waiting.wait()
    with pytest.raises(Overloaded) as caught:
        await it.ask("abc")
    assert caught.value.retry_after in {1, 2, 3}
    assert (it.limiter.in_flight, it.limiter.waiting) == (1, 1)
    fake.release.set()
    await asyncio.gather(*asking)
    await until(lambda: not it.limiter.busy)  # a place is free at the end of its turn
    assert (it.limiter.in_flight, it.limiter.waiting) == (0, 0)


async def test_what_is_at_hand_is_given_under_overload() -> None:
    """The answerer's own and the kept answers need no place."""
    fake = Upper()
    it = Piped(fake, concurrency=1)
    await it.ask("abc")
    asking = asyncio.create_task(it.ask("wait"))
    await fake.waiting.wait()
    assert [(await it.ask(text)).text for text in ("hello", "abc")] == ["Hi", "ABC"]
    with pytest.raises(Overloaded):
        await it.ask("def")
    fake.release.set()
    await asking


@pytest.mark.parametrize("deterministic", [True, False])
async def test_the_deadline_cancels_the_code(*, deterministic: bool) -> None:
    """An answer that is not there in its time is 504; the code is cancelled, and its place is free."""
    fake = Upper(deterministic=deterministic)
    it = Piped(fake)
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.05 s"):
        await it.ask("wait", time=0.05)
    await asyncio.wait_for(fake.stopped.wait(), 5)
    await until(lambda: not it.limiter.busy)


async def test_a_far_deadline_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that is far from its deadline gets its timer when that comes close; one that ends before, none."""
    monkeypatch.setattr(call, "LOOK", 0.01)
    monkeypatch.setattr(call, "SOON", 0.04)
    fake = Upper(deterministic=False)
    it = Piped(fake)
    began = monotonic()
    asking = asyncio.create_task(it.ask("wait", time=0.2))
    await fake.waiting.wait()
    deadlines = it.pipeline.guards.deadlines
    assert len(deadlines._far) == 1
    assert (await it.ask("abc", time=60.0)).text == "ABC"
    assert len(deadlines._far) == 1
    with pytest.raises(DeadlineExceeded):
        await asking
    assert monotonic() - began >= 0.2
    assert (deadlines._far, fake.stopped.is_set()) == (set(), True)
    await until(lambda: not deadlines._looking)


async def test_a_deadline_is_not_taken_for_a_cancellation() -> None:
    """Who is cancelled from outside at the same time is cancelled, and gets no 504."""
    fake = Upper(deterministic=False)
    it = Piped(fake)
    asking = asyncio.create_task(it.ask("wait", time=60.0))
    await fake.waiting.wait()
    (bound,) = it.pipeline.guards.deadlines._far
    bound._end()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_expired_question_costs_no_work() -> None:
    """Who has waited in the queue beyond the deadline never reaches the code."""
    fake = Upper(deterministic=False)
    it = Piped(fake, concurrency=1, queue=1)
    first = asyncio.create_task(it.ask("wait"))
    await fake.waiting.wait()
    with pytest.raises(DeadlineExceeded):
        await it.ask("late", time=0.05)
    fake.release.set()
    await first
    assert [question.text for question in fake.asked] == ["wait"]


async def test_an_answer_from_beyond_the_deadline_is_not_given() -> None:
    """Code that goes on in spite of its cancellation holds its place until it stops; its answer counts for nothing."""

    class Stubborn(Upper):
        """Does not stop when told to."""

        async def answer(self, question: Question) -> Answer:
            """Go on."""
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            assert it.limiter.in_flight == 1
            return Answer("late")

    it = Piped(Stubborn(deterministic=False))
    with pytest.raises(DeadlineExceeded):
        await it.ask("abc", time=0.02)
    await until(lambda: it.limiter.in_flight == 0)


async def test_a_thread_that_nobody_waits_for_keeps_its_place() -> None:
    """A synchronous call whose client left holds its place, and is counted as abandoned, until its thread comes out."""

    class Threaded(Upper):
        """Answers in a thread, as functions do."""

        pool = Pool(4)
        gate = threading.Event()

        async def answer(self, question: Question) -> Answer:
            """Wait for the gate, in a thread."""
            loop, waiting = asyncio.get_running_loop(), self.waiting

            def work() -> Answer:
                loop.call_soon_threadsafe(waiting.set)
                self.gate.wait()
                return Answer("done")

            return await self.pool.run(work)

    fake = Threaded(deterministic=False)
    it = Piped(fake, concurrency=1)
    asking = asyncio.create_task(it.ask("abc"))
    await fake.waiting.wait()
    asking.cancel()
    await asyncio.wait({asking})
    assert (it.limiter.in_flight, it.limiter.abandoned, it.limiter.stuck_since is None) == (1, 1, False)
    with pytest.raises(Overloaded):
        await it.ask("def")
    fake.gate.set()
    await until(lambda: it.limiter.in_flight == 0)
    assert (it.limiter.abandoned, it.limiter.stuck_since, (await it.ask("def")).text) == (0, None, "done")
    fake.pool.close()


async def test_no_answer_is_kept_for_a_moment() -> None:
    """Who asks again what has no answer is told so without the code; suggestions come along."""
    fake = Upper()
    it = Piped(fake)
    for _ in range(2):
        with pytest.raises(NoAnswer) as caught:
            await it.ask("nothing")
    assert (len(fake.asked), caught.value.members) == (1, {"suggestions": ["hello"]})


async def test_a_client_may_go_round_the_cache() -> None:
    """Who wishes for no kept answer reaches the code, and what comes is kept for the others; or not, as wished."""
    fake = Upper()
    it = Piped(fake)
    await it.ask("abc")
    await it.ask("abc", wishes=Wishes(look=False))
    await it.ask("abc")
    await it.ask("def", wishes=Wishes(keep=False))
    await it.ask("def")
    assert [question.text for question in fake.asked] == ["abc", "abc", "def", "def"]
    with pytest.raises(NotCached):
        await it.ask("ghi", wishes=Wishes(call=False))
