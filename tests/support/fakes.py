"""Fake answerers and a fake clock, and ways to wait for events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from askd.errors import NoAnswer
from askd.models import Answer, Answerer, Contract, ProgressCallback, Question


class Clock:
    """A clock that only `advance` moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the current time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds


class UppercaseAnswerer(Answerer):
    """Answers with the question in upper case.

    Some questions are special: `hello` is answered immediately, `boom` raises, `nothing` raises NoAnswer, `wait` waits
    for `release`, and `field` adds an extra field.
    """

    kind = "fake"
    name = "upper"
    version = "v1"
    contract = Contract(examples=("hello",))

    def __init__(
        self, *, deterministic: bool = True, supports_streaming: bool = False, slow_load: bool = False
    ) -> None:
        self.deterministic = deterministic
        self.supports_streaming = supports_streaming
        self.questions: list[Question] = []
        self.wait_started = asyncio.Event()
        self.release = asyncio.Event()
        self.load_allowed = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.closed = False
        if not slow_load:
            self.load_allowed.set()

    async def load(self, progress: ProgressCallback) -> None:
        """Wait for `load_allowed`."""
        progress("half way")
        await self.load_allowed.wait()

    async def close(self) -> None:
        """Set `closed`."""
        self.closed = True

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Accept `lang` without validation."""
        return {name: value for name, value in values.items() if name == "lang"}

    def try_immediate(self, question: Question) -> Answer | None:
        """Answer `hello`."""
        return Answer("Hi") if question.text == "hello" else None

    async def answer(self, question: Question) -> Answer:
        """Answer as the class describes."""
        self.questions.append(question)
        if question.text == "boom":
            raise ValueError("a secret of the code")
        if question.text == "nothing":
            raise NoAnswer(["hello"])
        if question.text == "wait":
            await self._wait()
        return Answer(question.text.upper(), {"more": 1} if question.text == "field" else {})

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield a delta for each word; the special words work as in `answer`."""
        if not self.supports_streaming:
            async for event in super().stream(question):
                yield event
            return
        text = ""
        for word in question.text.split():
            if word == "boom":
                raise ValueError("a secret of the code")
            if word == "nothing":
                raise NoAnswer
            if word == "wait":
                await self._wait()
            text += word + " "
            yield word + " "
        yield Answer(text)

    async def _wait(self) -> None:
        self.wait_started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class ScriptedAnswerer(Answerer):
    """Streams the given events and raises those that are exceptions. `answer` returns or raises the last event."""

    kind = "fake"
    name = "scripted"
    supports_streaming = True

    def __init__(self, *events: str | Answer | BaseException, deterministic: bool = False) -> None:
        self.events = events
        self.deterministic = deterministic

    async def answer(self, question: Question) -> Answer:
        """Return or raise the last event."""
        last = self.events[-1]
        if isinstance(last, BaseException):
            raise last
        return last if isinstance(last, Answer) else Answer(last)

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield the events up to the first exception."""
        for event in self.events:
            if isinstance(event, BaseException):
                raise event
            yield event


@contextlib.asynccontextmanager
async def cancelled_on_exit(task: "asyncio.Task[Any]") -> AsyncIterator[None]:
    """Cancel a task at the end of a block and wait for its end."""
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def wait_until(condition: Callable[[], object]) -> None:
    """Run the event loop until the condition holds; fails after five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is in the code under test, which sets no event
            await asyncio.sleep(0)
