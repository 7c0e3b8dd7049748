"""Concurrency slots: which are in use, which permits wait for one, and when a released slot becomes free."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from askd.guards.concurrency.codel import CoDel

if TYPE_CHECKING:
    from askd.guards.concurrency.permit import Permit

IMMEDIATE_RELEASE_SECONDS: Final = 0.001
"""Seconds of calls per loop iteration after which slots are released only at the end of the iteration."""


class Slots:
    """A resizable number of slots and their wait queue. Only permits and the limiter change it.

    The counters may be read from any thread. `call_soon` schedules a function for the next loop iteration.
    """

    __slots__ = (
        "_call_soon",
        "_run_seconds_in_iteration",
        "clock",
        "codel",
        "completed",
        "completed_since_resize",
        "detached",
        "exhausted_since",
        "generation",
        "in_flight",
        "in_flight_integral",
        "leaked",
        "limit",
        "limit_changed_at",
        "peak_in_flight",
        "pending_releases",
        "queue_delay_seconds",
        "shed_late",
        "started",
        "waiters",
        "waiting",
    )  # fmt: skip

    def __init__(
        self, limit: int, codel: CoDel, clock: Callable[[], float], call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self.clock = clock
        self._call_soon = call_soon
        self.codel = codel
        self.limit = limit
        self.limit_changed_at = clock()
        self.in_flight = 0
        self.waiting = 0
        """Permits that were neither granted nor released."""
        self.waiters: OrderedDict[Permit, None] = OrderedDict()
        """Permits that wait in `acquire()`, in order of that call."""
        self.leaked: deque[bool] = deque()
        """One entry per permit that was garbage-collected unreleased: whether it held a slot. Any thread may append."""
        self.detached = 0
        """Permits with detached calls."""
        self.exhausted_since: float | None = None
        self.peak_in_flight = 0
        """Most slots in use since the adaptive limit was last evaluated."""
        self.generation = 0
        """Number of changes of the limit."""
        self.completed_since_resize = False
        """Whether a call that started after the last change of the limit has completed."""
        self.completed = 0
        self.shed_late = 0
        self.started = 0
        self.queue_delay_seconds = 0.0
        self.in_flight_integral = (0.0, self.limit_changed_at, 0)
        """Slot-seconds until a time, that time, and the slots in use since then. One tuple: threads read it whole."""
        self._run_seconds_in_iteration = 0.0
        self.pending_releases = 0
        """Slots of completed calls that become free at the end of the loop iteration."""

    def acquire(self, now: float) -> None:
        """Take a free slot for a waiting permit. The caller checks that there is one."""
        total, since, in_flight = self.in_flight_integral
        self.in_flight = new_in_flight = self.in_flight + 1
        self.in_flight_integral = (total + in_flight * (now - since), now, new_in_flight)
        if new_in_flight > self.peak_in_flight:  # noqa: PLR1730 - max() costs four times as much, for each request
            self.peak_in_flight = new_in_flight
        self.waiting -= 1
        if not self.waiting:
            self.codel.was_empty = True

    def record_start(self, delay: float) -> None:
        """Record that a call starts, `delay` seconds after its request arrived."""
        self.started += 1
        self.queue_delay_seconds += delay
        if delay < self.codel.min_delay:  # noqa: PLR1730 - as above
            self.codel.min_delay = delay

    def release_after_run(self, generation: int, run_seconds: float, now: float) -> None:
        """Release the slot of a completed call, immediately or at the end of the loop iteration."""
        self.completed += 1
        if generation == self.generation:
            self.completed_since_resize = True
        self._run_seconds_in_iteration += run_seconds
        if self._run_seconds_in_iteration < IMMEDIATE_RELEASE_SECONDS:
            self.release(1, now)
            return
        # From here on released slots would let one iteration run calls without end, and the sockets starve.
        self.pending_releases += 1
        if self.pending_releases == 1:
            self._call_soon(self._release_pending)

    def release(self, count: int, now: float) -> None:
        """Free slots, and grant them to waiting permits."""
        total, since, in_flight = self.in_flight_integral
        self.in_flight -= count  # may stay above a limit that was lowered
        self.in_flight_integral = (total + in_flight * (now - since), now, self.in_flight)
        if self.waiters:
            self.grant_waiters(now)

    def grant_waiters(self, now: float) -> None:
        """Grant free slots in order of the queue."""
        while self.waiters and self.in_flight < self.limit:
            permit, _ = self.waiters.popitem(last=False)
            permit.grant(now)

    def remove_waiter(self, permit: "Permit") -> None:
        """Forget a permit without a slot, whether or not it waits in `acquire()`."""
        self.waiting -= 1
        self.waiters.pop(permit, None)
        if not self.waiting:
            self.codel.was_empty = True

    def reclaim_leaked(self, now: float) -> None:
        """Take back the slots and queue positions of leaked permits."""
        while self.leaked:
            if self.leaked.popleft():  # held a slot
                self.release(1, now)
            else:
                self.waiting -= 1

    def resize(self, limit: int, now: float) -> None:
        """Change the limit. If more calls are in flight, they continue, and their slots go when they complete."""
        if limit != self.limit:
            self.limit = limit
            self.limit_changed_at = now
            self.generation += 1
            self.completed_since_resize = False
            self.update_exhausted_since(now)
            self.grant_waiters(now)

    def update_exhausted_since(self, now: float) -> None:
        """Record since when detached calls hold all slots."""
        if self.detached < self.limit:
            self.exhausted_since = None
        elif self.exhausted_since is None:
            self.exhausted_since = now

    def in_flight_seconds(self, now: float) -> float:
        """Return the integral of slots in use over time."""
        total, since, in_flight = self.in_flight_integral
        return total + in_flight * max(now - since, 0.0)

    def _release_pending(self) -> None:
        self._run_seconds_in_iteration = 0.0
        count, self.pending_releases = self.pending_releases, 0
        self.release(count, self.clock())
