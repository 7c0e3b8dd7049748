"""The queue's controlled delay: whether a queue passes or stands, and how many may wait then."""

import enum
import math
from typing import Final

INTERVAL: Final = 0.1
"""Seconds over which the smallest delay is looked at: CoDel's, and folly's."""
MEMORY: Final = 0.8
"""What counts of the past with each interval, for the rate: about half a second in all."""
FAR_OVER: Final = 2.0
"""Budgets for which the first in line has waited when nobody more is let in, whatever the interval says."""


class Shed(enum.Enum):
    """Why a question is turned away at the door."""

    QUEUE_FULL = "queue_full"
    OVERLOADED = "overloaded"


class Standing:
    """Judges the queue. At most `queue` may wait, no matter what; `budget` is in seconds."""

    __slots__ = (
        "_budget",
        "_calls",
        "_done",
        "_ends",
        "_refused",
        "_seconds",
        "bound",
        "emptied",
        "least",
        "queue",
        "stands",
    )

    def __init__(self, queue: int, budget: float) -> None:
        self.queue = queue
        self._budget = budget
        self.bound = queue
        """How many may wait now."""
        self.stands = False
        self.least = math.inf
        """Smallest delay of what began since the interval did; the owner keeps it."""
        self.emptied = False
        """Whether nobody waited at some time since the interval began; the owner keeps it."""
        self._ends = -math.inf
        self._refused = -math.inf
        self._done = 0
        self._calls = self._seconds = 0.0

    def judge(self, waiting: int, head: float | None, done: int, now: float, *, patient: bool = False) -> Shed | None:
        """Say whether one more may wait, None: it may.

        `waiting` beyond free places; `head`: when the first in line arrived, None: nobody is in line; `done`: calls
        that have ended so far; `patient`: the queue may stand, as there will be more places soon.
        """
        age = 0.0 if head is None else now - head
        if now >= self._ends:
            self._close(age, done, now)
        shed = None
        if waiting >= self.queue:
            shed = Shed.QUEUE_FULL
        elif waiting and not patient and (waiting >= self.bound or age > FAR_OVER * self._budget):
            shed = Shed.OVERLOADED
        if shed:
            self._refused = now
        return shed

    def over(self, now: float) -> bool:
        """Whether nobody has been turned away for an interval."""
        return now - self._refused >= INTERVAL

    def _close(self, age: float, done: int, now: float) -> None:
        """End an interval and begin the next; what began nothing is judged by who waits longest."""
        self._measure(done, now)
        least = self.least if self.least < math.inf else age
        if least > self._budget:
            self.stands = True
        elif self.stands and self.emptied and self.over(now):
            self.stands = False
        self.bound = min(self.queue, max(1, int(self._budget * self._rate))) if self.stands else self.queue
        self.least, self.emptied, self._ends, self._done = math.inf, False, now + INTERVAL, done

    def _measure(self, done: int, now: float) -> None:
        """Take the rate of calls that end, from intervals in a row: one that lasted had nobody waiting in between."""
        lasted = now - self._ends + INTERVAL
        if lasted < 2 * INTERVAL:
            self._calls = MEMORY * self._calls + (done - self._done)
            self._seconds = MEMORY * self._seconds + lasted

    @property
    def _rate(self) -> float:
        """Calls that end in a second while some wait."""
        return self._calls / self._seconds if self._seconds else 0.0
