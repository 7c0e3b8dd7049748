"""One call of the code: timed, bounded by the deadline, its outcome recorded, its failures made presentable."""

import asyncio
import math
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Final

from service.errors import AnswererFailed, DeadlineExceeded, Interrupted, NoAnswer, Problem, Refused
from service.models import Question

LOOK: Final = 0.25
"""Seconds between two looks for deadlines that come close."""
SOON: Final = 4 * LOOK
"""Seconds before a deadline from which it has a timer of its own; more than two looks, as the loop may be late."""

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


class Deadlines:
    """Keeps the deadlines of questions. Most end long before theirs, so that only those close to it get a timer."""

    def __init__(self) -> None:
        self._far: set[Bound] = set()
        self._looking = False

    def add(self, bound: "Bound") -> None:
        """Give it a timer in time, unless it has ended by then."""
        self._far.add(bound)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK, self._look)

    def discard(self, bound: "Bound") -> None:
        """Forget one that has ended."""
        self._far.discard(bound)

    def _look(self) -> None:
        for bound in [each for each in self._far if each.left < SOON]:
            self._far.discard(bound)
            bound.arm()
        self._looking = bool(self._far)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK, self._look)


class Bound:
    """Cancels what runs within it at the question's deadline, and raises DeadlineExceeded for it; none: it does not.

    An answer that comes too late, from code that went on in spite of its cancellation, is not given either. Cancels as
    `asyncio.timeout` does.
    """

    __slots__ = ("_before", "_deadlines", "_handle", "_over", "_question", "_task")

    def __init__(self, question: Question, deadlines: Deadlines) -> None:
        self._question = question
        self._deadlines = deadlines
        self._handle: asyncio.TimerHandle | None = None
        self._over = False

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        left = self._question.time_left
        return math.inf if left is None else left

    def arm(self) -> None:
        """Have it end in time."""
        self._handle = asyncio.get_running_loop().call_later(max(self.left, 0.0), self._end)

    def __enter__(self) -> None:
        left = self.left
        if left == math.inf:
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline must be kept within a task")
        self._task, self._before = task, task.cancelling()
        if left < SOON:
            self.arm()
        else:
            self._deadlines.add(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
        else:
            self._deadlines.discard(self)
        if self._over:
            others = self._task.uncancel() > self._before  # somebody else cancels it, too
            if error is None or (kind is asyncio.CancelledError and not others):
                raise exceeded(self._question) from None

    def _end(self) -> None:
        self._over = True
        self._task.cancel()


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
