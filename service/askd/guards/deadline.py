"""Deadline of a request: cancels the call of the answerer when it has passed."""

import asyncio
import math
from time import monotonic
from typing import Final

from askd.errors import DeadlineExceeded
from askd.models import Question

CHECK_INTERVAL: Final = 0.25
"""Seconds between two checks for deadlines that come close."""
TIMER_THRESHOLD: Final = 4 * CHECK_INTERVAL
"""Seconds before a deadline from which it gets its own timer. More than two checks, because the loop may be late."""


class DeadlineTimers:
    """Starts a timer for each scope whose deadline comes close.

    Most calls end long before their deadline. A shared check four times a second saves them a timer each.
    """

    def __init__(self) -> None:
        self._scopes: set[DeadlineScope] = set()
        self._check_scheduled = False

    def add(self, scope: "DeadlineScope") -> None:
        """Start the scope's timer in time, unless it is discarded before."""
        self._scopes.add(scope)
        if not self._check_scheduled:
            self._check_scheduled = True
            asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._check)

    def discard(self, scope: "DeadlineScope") -> None:
        """Forget a scope that has ended."""
        self._scopes.discard(scope)

    def _check(self) -> None:
        for scope in [scope for scope in self._scopes if scope.seconds_left < TIMER_THRESHOLD]:
            self._scopes.discard(scope)
            scope.start_timer()
        self._check_scheduled = bool(self._scopes)
        if self._check_scheduled:
            asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._check)


class DeadlineScope:
    """Context manager that cancels its body at the question's deadline, and raises DeadlineExceeded.

    It works like `asyncio.timeout`, with three differences: the timer starts late (see DeadlineTimers), the result of
    code that ignored its cancellation is discarded, and the body does not begin if the deadline has passed.
    """

    __slots__ = ("_cancelling_before", "_expired", "_question", "_task", "_timer", "_timers")

    def __init__(self, question: Question, timers: DeadlineTimers) -> None:
        self._question = question
        self._timers = timers
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; infinite if the question has no deadline."""
        deadline = self._question.deadline
        return math.inf if deadline is None else deadline - monotonic()

    def start_timer(self) -> None:
        """Start the timer that cancels the body at the deadline."""
        self._timer = asyncio.get_running_loop().call_later(max(self.seconds_left, 0.0), self._expire)

    def __enter__(self) -> None:
        seconds_left = self.seconds_left
        if seconds_left == math.inf:
            return
        if seconds_left <= 0.0:
            raise deadline_exceeded(self._question)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("DeadlineScope must be used inside a task")
        self._task, self._cancelling_before = task, task.cancelling()
        if seconds_left < TIMER_THRESHOLD:
            self.start_timer()
        else:
            self._timers.add(self)

    def __exit__(self, error_type: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        else:
            self._timers.discard(self)
        if self._expired:
            # As in asyncio.timeout: a cancellation from elsewhere at the same time takes precedence.
            also_cancelled_elsewhere = self._task.uncancel() > self._cancelling_before
            if error is None or (error_type is asyncio.CancelledError and not also_cancelled_elsewhere):
                raise deadline_exceeded(self._question) from None

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()


def deadline_exceeded(question: Question) -> DeadlineExceeded:
    """Return the error for a question without an answer at its deadline."""
    deadline = question.deadline if question.deadline is not None else monotonic()
    return DeadlineExceeded(max(round(deadline - question.received_at, 3), 0.0))
