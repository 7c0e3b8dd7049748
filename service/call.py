"""One call of the code: timed, bounded by the deadline, its outcome recorded, its failures made presentable."""

import asyncio
from collections.abc import Callable
from time import monotonic, perf_counter

from service.errors import AnswererFailed, DeadlineExceeded, Interrupted, NoAnswer, Problem, Refused
from service.models import Question

Record = Callable[[str, float], None]
"""Takes the outcome of one call of the code (one of `OUTCOMES` in telemetry) and its seconds."""


class Call:
    """Stands around one call. What the code raises beyond a Problem of its own comes out as AnswererFailed."""

    def __init__(self, question: Question, record: Record) -> None:
        self._question = question
        self._record = record

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        seconds = self._question.stages.code = perf_counter() - self._started
        failed = _failed(error)
        self._record("failed" if failed else _outcome(error), seconds)
        if failed:
            raise AnswererFailed from error


class Bound:
    """Cancels what runs within it at the question's deadline, and raises DeadlineExceeded for it; none: it does not.

    An answer that comes too late, from code that went on in spite of its cancellation, is not given either.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        left = question.time_left
        self._timeout = asyncio.timeout(left)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type] # a traceback
        except TimeoutError:
            raise exceeded(self._question) from None
        if error is None and self._timeout.expired():
            raise exceeded(self._question)


def exceeded(question: Question) -> DeadlineExceeded:
    """Return the error for a question that was not answered in its time."""
    until = question.deadline if question.deadline is not None else monotonic()
    return DeadlineExceeded(max(round(until - question.arrived, 3), 0.0))


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
