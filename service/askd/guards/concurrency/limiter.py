"""Concurrency limiter: admits requests, sheds load, and reports statistics."""

import time
from collections.abc import Callable
from typing import Final, Literal

from askd.guards.concurrency.adaptive import DEFAULT_MAX_LIMIT, AdaptiveLimit
from askd.guards.concurrency.codel import CoDel, ShedReason
from askd.guards.concurrency.cpu_wait import thread_cpu_wait
from askd.guards.concurrency.limiter_statistics import ConcurrencyLimiterStatistics
from askd.guards.concurrency.permits import Permit, Slots

MAX_ARRIVAL_GAP: Final = 0.001
"""If two requests arrive within this many seconds, the loop is assumed to have only accepted requests in between."""


class ConcurrencyLimiter:
    """Limits the number of calls of the answerer that are in flight.

    Args:
        concurrency: Number of slots, or "auto" for an adaptive limit.
        queue_size: Maximum number of queued requests. 0 disables the queue.
        target_delay: If even the shortest wait in the queue stays above this many seconds, the queue is shortened
            (CoDel).
        max_concurrency: Upper bound for the number of slots, such as the size of the thread pool. None bounds an
            adaptive limit by 1000, and leaves a fixed one as it is.
        clock: Monotonic clock, in seconds.
        cpu_time: CPU seconds that the process has used so far.
        cpu_wait: Seconds for which the thread of the loop has waited for a CPU so far.
        call_soon: Schedules a function for the next loop iteration. None uses the running loop.
    """

    def __init__(
        self,
        concurrency: int | Literal["auto"],
        *,
        queue_size: int,
        target_delay: float,
        max_concurrency: int | None,
        clock: Callable[[], float] = time.monotonic,
        cpu_time: Callable[[], float] = time.process_time,
        cpu_wait: Callable[[], float] = thread_cpu_wait,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._concurrency = concurrency
        self._adaptive_limit = AdaptiveLimit(max_concurrency or DEFAULT_MAX_LIMIT) if concurrency == "auto" else None
        self._codel = CoDel(queue_size, target_delay)
        self._clock, self._cpu_time, self._cpu_wait = clock, cpu_time, cpu_wait
        self._slots = Slots(self._configured_limit(max_concurrency), self._codel, clock, call_soon)
        self._admitted = self._shed_queue_full = self._shed_overloaded = 0
        self._saturated = False
        self._last_arrival = clock()
        self.accept_seconds = 0.0
        """Seconds that the loop has spent on consecutive arrivals, mostly on shedding them."""

    def admit(self, received_at: float) -> Permit | None:
        """Return a permit for a request, or None if it is shed.

        Until it is acquired or released, a permit counts as waiting.

        Args:
            received_at: Arrival time of the request, in seconds of the limiter's clock.
        """
        slots, now = self._slots, self._clock()
        gap = now - self._last_arrival
        self._last_arrival = now
        # Count the time spent accepting. Otherwise a flood of requests would look like an answerer that blocks the
        # loop.
        if 0.0 < gap < MAX_ARRIVAL_GAP:
            self.accept_seconds += gap
        # CoDel is only asked if no slot is free, so that an idle server does not pay for it.
        if slots.waiting + slots.in_flight - slots.pending_releases >= slots.limit and self._shed_if_overloaded(now):
            return None
        self._admitted += 1
        slots.waiting += 1
        return Permit(slots, received_at)

    def record_loop_lag(self, seconds: float, *, accept_seconds: float = 0.0) -> None:
        """Record a sample of event-loop lag, and adjust an adaptive limit.

        `accept_seconds` is the part of the lag that the loop spent accepting and shedding requests.
        """
        adaptive_limit, slots, now = self._adaptive_limit, self._slots, self._clock()
        # Otherwise a leaked permit would keep its slot until a request finds none free, and would look like load.
        if slots.leaked:
            slots.reclaim_leaked(now)
        self._shed_excess()
        if adaptive_limit is None or not adaptive_limit.add_sample(
            seconds, accept_seconds, now, self._cpu_time(), self._cpu_wait()
        ):
            return
        adaptive_limit.adjust(
            in_flight=slots.in_flight,
            peak_in_flight=slots.peak_in_flight,
            saturated=self._saturated or bool(slots.waiters) or slots.detached >= slots.limit,
            completed_since_resize=slots.completed_since_resize,
            now=now,
        )
        self._saturated, slots.peak_in_flight = False, slots.in_flight
        slots.resize(adaptive_limit.limit, now)

    def set_max_concurrency(self, max_concurrency: int | None) -> None:
        """Change the upper bound, once the answerer is loaded and it is known whether it needs threads."""
        limit = self._configured_limit(max_concurrency)
        if self._adaptive_limit:
            self._adaptive_limit.max_limit = max_concurrency or DEFAULT_MAX_LIMIT
            self._adaptive_limit.limit = limit = min(self._adaptive_limit.limit, self._adaptive_limit.max_limit)
        self._slots.resize(limit, self._clock())

    @property
    def is_adaptive(self) -> bool:
        """Whether the limit is adaptive."""
        return self._adaptive_limit is not None

    @property
    def is_busy(self) -> bool:
        """Whether any request is queued or in flight."""
        return self._slots.in_flight + self._slots.waiting > 0

    @property
    def limit(self) -> int:
        """Number of slots."""
        return self._slots.limit

    @property
    def in_flight(self) -> int:
        """Number of slots in use."""
        return self._slots.in_flight

    @property
    def waiting(self) -> int:
        """Number of permits that were neither acquired nor released."""
        return self._slots.waiting

    @property
    def detached(self) -> int:
        """Number of slots held by code that still runs although its caller has left."""
        return self._slots.detached

    @property
    def exhausted_since(self) -> float | None:
        """When detached calls took the last slot, in seconds of the limiter's clock. None if a slot is left."""
        return self._slots.exhausted_since

    def statistics(self) -> ConcurrencyLimiterStatistics:
        """Return the current statistics. Safe to call from any thread: it only reads numbers."""
        slots, now = self._slots, self._clock()
        return ConcurrencyLimiterStatistics(
            limit=slots.limit,
            seconds_since_resize=max(now - slots.limit_changed_at, 0.0),
            in_flight=slots.in_flight,
            waiting=slots.waiting,
            queue_limit=self._codel.queue_limit,
            detached=slots.detached,
            admitted=self._admitted,
            shed_queue_full=self._shed_queue_full,
            shed_overloaded=self._shed_overloaded,
            shed_late=slots.shed_late,
            in_flight_seconds=slots.in_flight_seconds(now),
            started=slots.started,
            queue_delay_seconds=slots.queue_delay_seconds,
        )

    def _shed_if_overloaded(self, now: float) -> bool:
        """Return whether a request that found no free slot is shed, and count it."""
        slots = self._slots
        if slots.leaked:
            slots.reclaim_leaked(now)
        queue_length = self._queue_length()
        if queue_length < 0:  # reclaiming has freed a slot
            return False
        self._saturated = True  # the adaptive limit only grows if a request found no slot
        reason = self._codel.check_admission(
            queue_length,
            next(iter(slots.waiters)).received_at if slots.waiters else None,
            slots.completed,
            now,
            expected_slots=self._expected_slots(),
        )
        self._shed_queue_full += reason is ShedReason.QUEUE_FULL
        self._shed_overloaded += reason is ShedReason.OVERLOADED
        return reason is not None

    def _queue_length(self) -> int:
        """Return the number of waiting requests that exceed the free slots; negative if slots are left."""
        slots = self._slots
        excess = slots.waiting + slots.in_flight - slots.pending_releases - slots.limit
        return min(excess, slots.waiting)  # after the limit was lowered, the excess includes calls in flight

    def _expected_slots(self) -> int:
        """Return the number of slots that are about to be added, so that as many requests are worth keeping.

        No more than fit into the queue if the loop is late, or if no call is in flight while requests arrive: such code
        never awaits. Nothing is known yet if all requests have arrived in this iteration of the loop.
        """
        slots, adaptive_limit, queue_size = self._slots, self._adaptive_limit, self._codel.queue_size
        if adaptive_limit is None or not queue_size:
            return 0
        calls_wait = not adaptive_limit.is_late and (slots.started > slots.completed or not slots.waiters)
        growth = adaptive_limit.expected_growth
        return growth if calls_wait else min(growth, queue_size)

    def _shed_excess(self) -> None:
        """Shed the newest requests that have queued for slots which will not be added after all."""
        slots = self._slots
        limit = max(self._codel.queue_size, self._expected_slots())
        while slots.waiters and self._queue_length() > limit:
            slots.waiters.popitem()[0].release()
            self._shed_queue_full += 1

    def _configured_limit(self, max_concurrency: int | None) -> int:
        if self._concurrency == "auto":
            return self._adaptive_limit.limit if self._adaptive_limit else 1
        return min(self._concurrency, max_concurrency or self._concurrency)
