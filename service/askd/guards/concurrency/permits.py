"""Permits and slots: a permit is one request's right to queue for a slot, and to run the answerer while it has one."""

import asyncio
import contextlib
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from askd.errors import Overloaded
from askd.guards.concurrency.codel import CoDel

IMMEDIATE_RELEASE_SECONDS: Final = 0.001
"""Seconds of calls per loop iteration after which slots are released only at the end of the iteration."""
_QUEUED: Final = 0
_ACQUIRED: Final = 1
_RELEASED: Final = 2


class Permit:
    """Holders await `acquire()`, run the answerer, and always call `release()`.

    Not thread-safe, except for the callback that `detach()` returns. A permit that is garbage-collected unreleased,
    with a task that was cancelled before its first step for example, is reclaimed when its slot is needed.
    """

    __slots__ = (
        "_deadline", "_detached_calls", "_generation", "_slots", "_started_at", "_state", "_waiter", "received_at"
    )  # fmt: skip

    def __init__(self, slots: "Slots", received_at: float) -> None:
        self._slots = slots
        self.received_at = received_at
        self._state = _QUEUED
        self._waiter: asyncio.Future[None] | None = None
        self._detached_calls = 0

    def __del__(self) -> None:
        if self._state is not _RELEASED:
            self._slots.leaked.append(self._state is _ACQUIRED)  # nothing else: this may run in any thread

    async def acquire(self, deadline: float | None) -> None:
        """Wait for a slot, first come, first served. After an error or a cancellation the permit is released.

        Args:
            deadline: Time of the limiter's clock from which on a slot is of no use. None means always. The caller
                cancels its task at the deadline; this check is for an event loop that is late to do so.

        Raises:
            TimeoutError: The deadline passed before a slot was free.
            Overloaded: The permit was released before it had a slot.
        """
        slots = self._slots
        now = slots.clock()
        if self._state is not _QUEUED:
            raise Overloaded(jittered_retry_after())
        if deadline is not None and now >= deadline:
            slots.shed_late += 1
            self.release()
            raise TimeoutError
        # Without a future if a slot is free, which saves the common case an iteration of the loop.
        if slots.in_flight >= slots.limit:
            now = await self._wait(deadline)
        else:
            self._state = _ACQUIRED
            slots.acquire(now)
        self._generation = slots.generation
        self._started_at = now
        slots.record_start(now - self.received_at)

    def release(self) -> None:
        """Release the slot, or leave the queue; an `acquire()` that still waits raises Overloaded. Idempotent."""
        if self._state is _ACQUIRED:
            self._state = _RELEASED
            # A thread cannot be cancelled. It uses its slot until it ends, whether or not anybody waits for the result.
            if not self._detached_calls:
                now = self._slots.clock()
                self._slots.release_after_run(self._generation, now - self._started_at, now)
        elif self._state is _QUEUED:
            self._state = _RELEASED
            self._slots.remove_waiter(self)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(Overloaded(jittered_retry_after()))

    def detach(self) -> Callable[[], None]:
        """Keep the slot for code that continues after its caller has left, such as a thread.

        Returns:
            A callback that reports the end of that code. It may be called from any thread; only the first call counts.
            The slot is released when the callbacks of all `detach()` calls and `release()` were called.
        """
        if self._state is not _ACQUIRED:
            return lambda: None
        loop = asyncio.get_running_loop()
        self._add_detached_calls(1)
        # Popping from a list is atomic: if two threads report the end, one of them gets an IndexError.
        pending_callback = [self._on_detached_call_stopped]

        def stopped() -> None:
            with contextlib.suppress(IndexError, RuntimeError):  # called before; the loop is closed
                loop.call_soon_threadsafe(pending_callback.pop())

        return stopped

    def grant(self, now: float) -> None:
        """Take a slot for the waiting `acquire()`, unless its deadline has passed. Called by Slots only."""
        waiter = self._waiter
        if waiter is None or waiter.done():  # cancelled in this loop iteration, `_abort_wait` follows
            self._slots.remove_waiter(self)
            self._state = _RELEASED
        elif self._deadline is not None and now >= self._deadline:
            self._slots.remove_waiter(self)
            self._state = _RELEASED
            waiter.set_exception(TimeoutError())
        else:
            self._state = _ACQUIRED
            self._started_at, self._generation = now, self._slots.generation
            self._slots.acquire(now)
            waiter.set_result(None)

    async def _wait(self, deadline: float | None) -> float:
        """Wait in the queue; return the time at which a slot was granted."""
        slots = self._slots
        self._deadline = deadline
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        slots.waiters[self] = None
        try:
            await waiter
            now = slots.clock()  # a busy loop may have taken long to get here
            if deadline is not None and now >= deadline:
                raise TimeoutError  # noqa: TRY301 - the slot is given back in one place for all errors
        except BaseException as error:
            if not isinstance(error, Overloaded) and deadline is not None and slots.clock() >= deadline:
                slots.shed_late += 1
            self._waiter = None
            self._abort_wait()
            raise
        return now

    def _abort_wait(self) -> None:
        if self._state is _ACQUIRED:  # granted in this loop iteration: the slot goes to the next waiter
            self._state = _RELEASED
            self._slots.release(1, self._slots.clock())
        else:
            self.release()

    def _on_detached_call_stopped(self) -> None:
        self._add_detached_calls(-1)
        if self._state is _RELEASED and not self._detached_calls:
            now = self._slots.clock()
            self._slots.release_after_run(self._generation, now - self._started_at, now)

    def _add_detached_calls(self, change: int) -> None:
        slots, had_detached_calls = self._slots, bool(self._detached_calls)
        self._detached_calls += change
        slots.detached += bool(self._detached_calls) - had_detached_calls
        slots.update_exhausted_since(slots.clock())


class Slots:
    """A resizable number of slots and their wait queue. Only permits and the limiter change it.

    The counters may be read from any thread. `call_soon` schedules a function for the next loop iteration. None uses
    the running loop.
    """

    __slots__ = (
        "_call_soon", "_run_seconds_in_iteration", "clock", "codel", "completed", "completed_since_resize", "detached",
        "exhausted_since", "generation", "in_flight", "in_flight_integral", "leaked", "limit", "limit_changed_at",
        "peak_in_flight", "pending_releases", "queue_delay_seconds", "shed_late", "started", "waiters", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        limit: int,
        codel: CoDel,
        clock: Callable[[], float],
        call_soon: Callable[[Callable[[], None]], object] | None,
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
            call_soon = self._call_soon or asyncio.get_running_loop().call_soon
            call_soon(self._release_pending)

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

    def remove_waiter(self, permit: Permit) -> None:
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


def jittered_retry_after(draw: Callable[[], float] = random.random) -> int:
    """Return 1, 2 or 3 seconds at random, so that shed clients do not all retry at the same time.

    `draw` returns random numbers in [0, 1).
    """
    return 1 + int(3 * draw())
