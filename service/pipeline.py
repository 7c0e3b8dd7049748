"""The pipeline: the only place where the order of guards around the answerer is written.

    at hand (the answerer's own, then the cache) → answerer

Outermost first: an answer at hand costs neither waiting nor work, so nothing may stand before it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from time import perf_counter

from service.errors import AnswererFailed, Interrupted, NoAnswer, Problem, Refused
from service.guards.cache import Cache, Kept
from service.models import Answer, Answerer, Question

Record = Callable[[str, float], None]
"""Takes the outcome of one call of the code (one of `OUTCOMES` in telemetry) and its seconds."""


class Pipeline:
    """Passes questions through the guards to one answerer.

    `deterministic` overrides what the answerer declares of itself; None leaves it.
    """

    def __init__(self, answerer: Answerer, *, deterministic: bool | None, cache: Cache, record: Record) -> None:
        self.answerer = answerer
        self.cache = cache
        self._declared = deterministic
        self.in_flight = 0
        self._record = record

    @property
    def deterministic(self) -> bool:
        """Whether answers may be kept and validated: what the settings say, else what the answerer declares."""
        return self.answerer.deterministic if self._declared is None else self._declared

    def keeps(self, question: Question) -> bool:
        """Whether the answer may be given again: never within a conversation, which has a past."""
        return self.deterministic and question.thread is None

    def at_hand(self, question: Question) -> Answer | None:
        """Return the answer if it needs no waiting and no work, else None."""
        answer = self.answerer.at_hand(question)
        if answer is not None or not self.keeps(question):
            return answer
        started = perf_counter()
        found = self.cache.get(self._key(question))
        question.stages.cache = perf_counter() - started
        return found.answer if isinstance(found, Kept) else None

    async def answer(self, question: Question) -> Answer:
        """Ask the answerer. Raises NoAnswer, Refused, or AnswererFailed from whatever else the code raised."""
        key = self._key(question)
        with _Call(self, question):
            answer = await self.answerer.answer(question)
        self._keep(question, key, answer)
        return answer

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield deltas, then the whole Answer; one that is at hand is a single delta. Closing it stops the code."""
        if (kept := self.at_hand(question)) is not None:
            yield kept.text
            yield kept
            return
        key, answer = self._key(question), None
        with _Call(self, question):
            async with aclosing(self.answerer.stream(question)) as events:  # type: ignore[type-var] # generators have aclose
                async for event in events:
                    yield event
                    answer = event if isinstance(event, Answer) else answer
            if answer is None:
                raise TypeError("the stream ended without an Answer")
        self._keep(question, key, answer)

    def _key(self, question: Question) -> tuple[str, str, str]:
        """Taken before the call: an answer is kept under the version that was asked, or not found again."""
        parameters = question.parameters
        return self.answerer.version, question.text, repr(sorted(parameters.items())) if parameters else ""

    def _keep(self, question: Question, key: tuple[str, str, str], answer: Answer) -> None:
        if self.keeps(question) and self.answerer.version == key[0]:
            self.cache.put(key, answer)


class _Call:
    """One call of the code: counted in flight, timed, its outcome recorded."""

    def __init__(self, pipeline: Pipeline, question: Question) -> None:
        self._pipeline = pipeline
        self._question = question

    def __enter__(self) -> None:
        self._pipeline.in_flight += 1
        self._started = perf_counter()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        seconds = self._question.stages.code = perf_counter() - self._started
        self._pipeline.in_flight -= 1
        failed = _failed(error)
        self._pipeline._record("failed" if failed else _outcome(error), seconds)  # noqa: SLF001 - the same file's other half
        if failed:
            raise AnswererFailed from error


def _failed(error: BaseException | None) -> bool:
    """Whether the code did what it should not; cancelling itself, where nobody cancelled it, is that too."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(error, Exception) and not isinstance(error, Problem)


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "answered"
    if isinstance(error, NoAnswer):
        return "no_answer"
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, Interrupted):
        return "interrupted"
    return "cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "failed"
