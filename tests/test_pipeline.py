"""The pipeline: the order of guards, what is kept, what is counted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from service.errors import AnswererFailed, BadQuestion, NoAnswer, Problem, Refused
from service.guards.cache import Cache
from service.models import Answer, Answerer, Question
from service.pipeline import Pipeline
from tests.fakes import Scripted, Upper


class Piped:
    """A pipeline, its cache, and the outcomes that it recorded."""

    def __init__(self, answerer: Answerer, *, deterministic: bool | None = None, capacity: int = 1 << 20) -> None:
        self.answerer = answerer
        self.cache = Cache(capacity)
        self.outcomes: list[tuple[str, float]] = []
        self.pipeline = Pipeline(
            answerer,
            deterministic=deterministic,
            cache=self.cache,
            record=lambda outcome, seconds: self.outcomes.append((outcome, seconds)),
        )

    @property
    def named(self) -> list[str]:
        """The outcomes, without their times."""
        return [outcome for outcome, _ in self.outcomes]

    async def ask(self, text: str, **parameters: object) -> Answer:
        """Ask as the handler does: what is at hand first."""
        question = Question(text=text, parameters=parameters)
        return self.pipeline.at_hand(question) or await self.pipeline.answer(question)

    async def stream(self, text: str) -> list[str | Answer]:
        """Ask for a stream, and read it to its end."""
        return [event async for event in self.pipeline.stream(Question(text=text))]


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
        question = Question(text=text)
        if it.pipeline.at_hand(question) is None:
            await it.pipeline.answer(question)
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
    assert it.cache.statistics().entries == (raised is None)
    assert it.pipeline.in_flight == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelled_calls_are_told_apart(*, streamed: bool) -> None:
    """A call whose client left is `cancelled`, reaches the code, and leaves nothing in flight."""
    fake = Upper(streams=True)
    it = Piped(fake)
    task = asyncio.create_task(it.stream("wait") if streamed else it.ask("wait"))
    await fake.waiting.wait()
    assert it.pipeline.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (fake.stopped.is_set(), it.pipeline.in_flight, it.named) == (True, 0, ["cancelled"])


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
    events = it.pipeline.stream(Question(text="x"))
    assert await anext(events) == "again"
    await events.aclose()  # type: ignore[attr-defined] # a generator
    assert (closed, it.pipeline.in_flight, it.named) == (["x"], 0, ["cancelled"])


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
