"""CoDel: detects a standing queue, and bounds the queue while there is one."""

import enum
import math
from typing import Final

INTERVAL: Final = 0.1
"""Seconds over which the minimum delay is taken: the default of CoDel and folly."""
QUIET_TIME: Final = 0.5
"""Seconds without a shed request after which overload may end. Not one interval: under a CPU limit the kernel stops the
process for most of each 100 ms, in which nothing is shed, and a full queue would be allowed again."""
RATE_DECAY: Final = 0.8
"""Weight of earlier intervals in the completion rate, per interval: a window of about half a second."""
MAX_HEAD_DELAY_FACTOR: Final = 2.0
"""Multiple of the target delay. While the head of the queue has waited longer, requests are shed even mid-interval."""


class ShedReason(enum.Enum):
    """Why a request is shed on arrival."""

    QUEUE_FULL = "queue_full"
    OVERLOADED = "overloaded"


class CoDel:
    """Decides whether one more request may queue.

    Args:
        queue_size: Maximum queue length in any state.
        target_delay: Acceptable standing queue delay, in seconds.
    """

    __slots__ = (
        "_completed_at_interval_start",
        "_decayed_completions",
        "_decayed_seconds",
        "_interval_end",
        "_last_shed_at",
        "_target_delay",
        "is_dropping",
        "min_delay",
        "queue_limit",
        "queue_size",
        "was_empty",
    )

    def __init__(self, queue_size: int, target_delay: float) -> None:
        self.queue_size = queue_size
        self._target_delay = target_delay
        self.queue_limit = queue_size
        """Current maximum queue length."""
        self.is_dropping = False
        self.min_delay = math.inf
        """Smallest queue delay of the calls started in this interval. Updated by the owner."""
        self.was_empty = False
        """Whether the queue was empty at some time in this interval. Updated by the owner."""
        self._interval_end = -math.inf
        self._last_shed_at = -math.inf
        self._completed_at_interval_start = 0
        self._decayed_completions = self._decayed_seconds = 0.0

    def check_admission(
        self,
        queue_length: int,
        head_arrival: float | None,
        completed: int,
        now: float,
        *,
        expected_slots: int = 0,
    ) -> ShedReason | None:
        """Return why a request must be shed, or None if it may queue.

        Args:
            queue_length: Waiting requests that exceed the free slots.
            head_arrival: Arrival time of the first request in the queue. None if nobody is waiting.
            completed: Total number of completed calls.
            now: Current time in seconds, of the same clock as `head_arrival`.
            expected_slots: Slots that are about to be added. As many requests may queue in any state.
        """
        head_delay = 0.0 if head_arrival is None else now - head_arrival
        if now >= self._interval_end:
            self._end_interval(head_delay, completed, now)
        reason = None
        if queue_length < expected_slots:
            return None
        if queue_length >= self.queue_size:
            reason = ShedReason.QUEUE_FULL
        # The first request of a queue is never shed: it gets the next free slot.
        elif queue_length and (
            queue_length >= self.queue_limit or head_delay > MAX_HEAD_DELAY_FACTOR * self._target_delay
        ):
            reason = ShedReason.OVERLOADED
        if reason:
            self._last_shed_at = now
        return reason

    def no_recent_shed(self, now: float) -> bool:
        """Whether no request was shed for QUIET_TIME."""
        return now - self._last_shed_at >= QUIET_TIME

    def _end_interval(self, head_delay: float, completed: int, now: float) -> None:
        self._update_completion_rate(completed, now)
        # If no call started, no delay was measured: the head of the queue has waited at least this long.
        min_delay = self.min_delay if self.min_delay < math.inf else head_delay
        if min_delay > self._target_delay:
            self.is_dropping = True
        # An empty queue is not enough: with a queue limit of 1 it is empty often.
        elif self.is_dropping and self.was_empty and self.no_recent_shed(now):
            self.is_dropping = False
        self.queue_limit = (
            min(self.queue_size, max(1, int(self._target_delay * self._completion_rate)))
            if self.is_dropping
            else self.queue_size
        )
        self.min_delay, self.was_empty, self._interval_end, self._completed_at_interval_start = (
            math.inf,
            False,
            now + INTERVAL,
            completed,
        )

    def _update_completion_rate(self, completed: int, now: float) -> None:
        """Measure the rate over consecutive intervals only: a longer one had times when no request was waiting."""
        seconds = now - self._interval_end + INTERVAL
        if seconds < 2 * INTERVAL:
            self._decayed_completions = RATE_DECAY * self._decayed_completions + (
                completed - self._completed_at_interval_start
            )
            self._decayed_seconds = RATE_DECAY * self._decayed_seconds + seconds

    @property
    def _completion_rate(self) -> float:
        """Completed calls per second while requests are waiting."""
        return self._decayed_completions / self._decayed_seconds if self._decayed_seconds else 0.0
