"""Named fakes: answerers whose doings a test decides, a clock that moves when told to, and ways to wait for events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from service.errors import NoAnswer
from service.models import Answer, Answerer, Contract, Progress, Question


class Clock:
    """Seconds that rise when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let seconds pass."""
        self.now += seconds


class Upper(Answerer):
    """Answers in capitals.

    Questions with a meaning of their own: `boom` raises, `nothing` has no answer, `wait` waits for `release`, `field`
    has an extra field.
    """

    kind = "fake"
    name = "upper"
    version = "v1"
    contract = Contract(examples=("hello",))

    def __init__(self, *, deterministic: bool = True, streams: bool = False, slow_load: bool = False) -> None:
        self.deterministic = deterministic
        self.streams = streams
        self.asked: list[Question] = []
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()
        self.load_now = asyncio.Event()
        self.stopped = asyncio.Event()
        self.closed = False
        if not slow_load:
            self.load_now.set()

    async def load(self, progress: Progress) -> None:
        """Wait for `load_now`."""
        progress("half way")
        await self.load_now.wait()

    async def close(self) -> None:
        """Note that it was called."""
        self.closed = True

    def bind(self, given: Mapping[str, Any], *, textual: bool) -> Mapping[str, Any]:
        """Take `lang`, unchecked."""
        return {name: value for name, value in given.items() if name == "lang"}

    def at_hand(self, question: Question) -> Answer | None:
        """Have hello at hand."""
        return Answer("Hi") if question.text == "hello" else None

    async def answer(self, question: Question) -> Answer:
        """Do as the question says."""
        self.asked.append(question)
        if question.text == "boom":
            raise ValueError("a secret of the code")
        if question.text == "nothing":
            raise NoAnswer(["hello"])
        if question.text == "wait":
            await self._wait()
        return Answer(question.text.upper(), {"more": 1} if question.text == "field" else {})

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Do as each word says, with a delta for each."""
        if not self.streams:
            async for event in super().stream(question):
                yield event
            return
        said = ""
        for word in question.text.split():
            if word == "boom":
                raise ValueError("a secret of the code")
            if word == "nothing":
                raise NoAnswer
            if word == "wait":
                await self._wait()
            said += word + " "
            yield word + " "
        yield Answer(said)

    async def _wait(self) -> None:
        self.waiting.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise


class Scripted(Answerer):
    """Streams the given events; one that is an error is raised. What `answer` does is the last of them."""

    kind = "fake"
    name = "scripted"
    streams = True

    def __init__(self, *events: str | Answer | BaseException, deterministic: bool = False) -> None:
        self.events = events
        self.deterministic = deterministic

    async def load(self, progress: Progress) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing was acquired."""

    async def answer(self, question: Question) -> Answer:
        """Return or raise the last event."""
        last = self.events[-1]
        if isinstance(last, BaseException):
            raise last
        return last if isinstance(last, Answer) else Answer(last)

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield the events up to the first error."""
        for event in self.events:
            if isinstance(event, BaseException):
                raise event
            yield event


def settled(task: "asyncio.Task[Any]") -> contextlib.AbstractAsyncContextManager[None]:
    """Cancel a task at the end of a block and wait for its end."""

    @contextlib.asynccontextmanager
    async def block() -> AsyncIterator[None]:
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    return block()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds; fails after five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for is in the code under test, which sets no event
            await asyncio.sleep(0)
