"""Adaptive concurrency limit: slow start, then additive increase and multiplicative decrease by event-loop lag.

The lag is sampled every 10 ms. The limit grows if less than 60 % of the samples of 100 ms are late and a request found
all slots taken; it shrinks if 80 % of the samples of 500 ms are late. While the process uses a whole CPU, these shares
are 25 % and 50 %. A change needs time to take effect: the next decision waits until a call that started after the
change has completed, at most a second, and a decrease also waits until no more calls are in flight than the limit.
Time in which the thread of the loop has no CPU, because of other processes or a CPU limit, counts neither as lag nor as
unused CPU: with fewer calls the others would not use less.
Slow start doubles the limit without waiting for a completion while the calls only wait: nearly no sample is late, and
the CPU is idle.

Growing, the limit moves half the way to where the loop was last late, then on by 1, 2, 4 and so on, each step at least
3 % of the limit. Shrinking, it loses 10 %, then 20 %, 40 % and 50 %. So it needs few steps to reach the right value
from anywhere, and makes small ones once it is there.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from askd.guards.concurrency.limiter import ConcurrencyLimiter

INITIAL_LIMIT: Final = 8
"""Initial limit: more than CPU-bound code needs, and seven doublings from a thousand."""
DEFAULT_MAX_LIMIT: Final = 1000
"""Maximum limit by default: with so many calls, handling the requests alone uses one CPU."""
DECISION_INTERVAL: Final = 0.1
"""Minimum seconds of samples for a decision: CoDel's interval."""
MIN_SAMPLES: Final = 4
"""Minimum samples for a decision: a single pause, such as garbage collection, proves nothing."""
INCREASE_THRESHOLD: Final = 0.6
"""Share of late samples below which the limit may grow: some are late whenever the CPU is used at all."""
DECREASE_THRESHOLD: Final = 0.8
"""Share of late samples from which the limit shrinks. Not 1: with threads contending for the interpreter, the loop is
on time now and then."""
CPU_SATURATION: Final = 0.95
"""Share of one CPU from which more slots bring no more throughput, because there is one interpreter lock."""
SATURATED_INCREASE_THRESHOLD: Final = 0.25
"""As INCREASE_THRESHOLD, with a saturated CPU. Not 0: code that releases the interpreter lock may use other CPUs."""
IDLE_CPU: Final = 0.5
"""Share of one CPU below which the calls in flight only wait, if the loop is on time as well."""
SATURATED_DECREASE_THRESHOLD: Final = 0.5
"""As DECREASE_THRESHOLD, with a saturated CPU. Threads that contend for the interpreter delay the loop by one switch
interval, which equals the target lag, however many they are. Measured with threads that use 4 ms of CPU each: a third
of the samples is late with 4 threads, two thirds with 8 and five sixths with 16, at the same throughput."""
TARGET_LAG: Final = 0.005
"""Seconds of event-loop lag above which a sample is late: folly's target."""
DECREASE_INTERVAL: Final = 0.5
"""Minimum seconds of samples for a decrease. Simulated, code that alternates between waiting and CPU work reaches two
thirds of its capacity with shorter intervals, and nine tenths with this one. Two samples suffice if loop iterations
are that long."""
MAX_SETTLE_TIME: Final = 1.0
"""Seconds after which a change is assumed to have taken effect, even if no call has completed."""
MIN_INCREASE: Final = 1 / 32
"""Smallest share by which the limit grows, rounded down, but at least 1. Simulated, code that waits half a second and
then uses the CPU spends several seconds below its best limit of about 120 after each decrease if it grows by 1."""
MIN_DECREASE: Final = 0.1
"""Smallest share by which the limit shrinks; doubled by each further decrease, up to a half."""

SAMPLE_INTERVAL: Final = 0.01
"""Seconds between lag samples while the limiter is busy: ten per DECISION_INTERVAL, for about 0.3 % of a CPU."""
IDLE_POLL_INTERVAL: Final = 0.1
"""Seconds between checks whether the limiter is busy again."""
IDLE_AFTER_SAMPLES: Final = 50
"""Samples that are still taken after the limiter was busy: the loop is on time between calls, which must count."""
LONG_LAG: Final = 0.05
"""Seconds of timer lag from which the following iterations are not measured, because each may take as long."""


class AdaptiveLimit:
    """A limit between 1 and `max_limit`."""

    __slots__ = (
        "_cpu_seconds",
        "_cpu_seconds_at_first_sample",
        "_cpu_wait",
        "_cpu_wait_at_first_sample",
        "_decrease_factor",
        "_first_sample_at",
        "_in_slow_start",
        "_last_congested_limit",
        "_last_sample_at",
        "_late_samples",
        "_limit_changed_at",
        "_sample_count",
        "_step",
        "_window_started_at",
        "is_late",
        "limit",
        "max_limit",
    )

    def __init__(self, max_limit: int) -> None:
        self.max_limit = max_limit
        self.limit = min(INITIAL_LIMIT, max_limit)
        self._in_slow_start = True
        self.is_late = False
        """Whether too many of the latest samples are late for the limit to grow."""
        self._last_congested_limit = 0
        self._step = 1
        self._decrease_factor = MIN_DECREASE
        self._limit_changed_at = self._window_started_at = self._last_sample_at = 0.0
        self._sample_count = self._late_samples = 0
        self._first_sample_at = self._cpu_seconds = self._cpu_seconds_at_first_sample = 0.0
        self._cpu_wait = self._cpu_wait_at_first_sample = 0.0

    @property
    def expected_growth(self) -> int:
        """Number of slots that are about to be added: those up to the maximum in slow start, afterwards none."""
        return self.max_limit - self.limit if self._in_slow_start else 0

    def add_sample(
        self, lag: float, accept_seconds: float, now: float, cpu_seconds: float = 0.0, cpu_wait: float = 0.0
    ) -> bool:
        """Record a sample. Returns True if there are enough samples for a call of `adjust()`.

        Args:
            lag: Event-loop lag in seconds.
            accept_seconds: Part of the lag that the loop spent accepting and shedding requests. The answerer may delay
                the loop by as much again; otherwise a flood of shed requests would count as slow code.
            now: Current time in seconds.
            cpu_seconds: CPU seconds that the process has used so far.
            cpu_wait: Seconds for which the thread has waited for a CPU so far.
        """
        waited, self._cpu_wait = cpu_wait - self._cpu_wait, cpu_wait
        if not self._sample_count or now - lag - self._last_sample_at > DECISION_INTERVAL:  # first, or after a pause
            self._sample_count = self._late_samples = 0
            self._window_started_at = now - lag
            self._first_sample_at, self._cpu_seconds_at_first_sample = now, cpu_seconds
            self._cpu_wait_at_first_sample = cpu_wait
        self._last_sample_at, self._cpu_seconds = now, cpu_seconds
        self._sample_count += 1
        self._late_samples += lag - waited - accept_seconds > max(TARGET_LAG, accept_seconds)
        window = now - self._window_started_at
        return window >= DECISION_INTERVAL and (
            self._sample_count >= MIN_SAMPLES or (self._sample_count > 1 and window >= DECREASE_INTERVAL)
        )

    def adjust(
        self, *, in_flight: int, peak_in_flight: int, saturated: bool, completed_since_resize: bool, now: float
    ) -> None:
        """Evaluate the samples, and change the limit if needed.

        Args:
            in_flight: Calls in flight now.
            peak_in_flight: Most calls in flight since the last evaluation.
            saturated: Whether a request found all slots taken.
            completed_since_resize: Whether a call that started after the last change of the limit has completed.
            now: Current time in seconds.
        """
        late_share = self._late_samples / self._sample_count
        waited = self._cpu_wait - self._cpu_wait_at_first_sample
        seconds = self._last_sample_at - self._first_sample_at - waited
        cpu_share = (self._cpu_seconds - self._cpu_seconds_at_first_sample) / seconds if seconds > 0.0 else 0.0
        cpu_saturated = cpu_share >= CPU_SATURATION
        self.is_late = late_share >= (SATURATED_INCREASE_THRESHOLD if cpu_saturated else INCREASE_THRESHOLD)
        # In slow start, calls that only wait say enough before the first of them completes.
        settled = completed_since_resize or (
            self._in_slow_start and late_share < SATURATED_INCREASE_THRESHOLD and cpu_share < IDLE_CPU
        )
        # Samples from before the last change took effect would lead to the same change again.
        if not settled and now - self._limit_changed_at < MAX_SETTLE_TIME:
            self._sample_count = self._late_samples = 0
        elif not self.is_late:
            self._sample_count = self._late_samples = 0
            self._decrease_factor = MIN_DECREASE
            self._increase(now) if saturated else self._reset_step()
        elif now - self._window_started_at >= DECREASE_INTERVAL:
            self._sample_count = self._late_samples = 0
            threshold = SATURATED_DECREASE_THRESHOLD if cpu_saturated else DECREASE_THRESHOLD
            # Calls beyond the limit are still completing: the last decrease has not taken effect.
            if late_share >= threshold and in_flight <= self.limit:
                self._decrease(peak_in_flight, now)

    def _reset_step(self) -> None:
        self._step = 1

    def _increase(self, now: float) -> None:
        """Double in slow start; later go half the way to the last congested limit, then on by 1, 2, 4 and so on."""
        step = self.limit
        if not self._in_slow_start:
            distance, smallest = self._last_congested_limit - self.limit, max(int(MIN_INCREASE * self.limit), 1)
            step = max(distance // 2, smallest) if distance > 0 else min(max(self._step, smallest), self.limit)
            self._step = 1 if distance > 0 else 2 * step
        self._set_limit(self.limit + step, now)

    def _decrease(self, peak_in_flight: int, now: float) -> None:
        # Slow start has just doubled the limit, and the value before was not too high.
        factor = 0.5 if self._in_slow_start else self._decrease_factor
        self._decrease_factor = min(2 * factor, 0.5)
        self._in_slow_start, self._step, self._last_congested_limit = False, 1, self.limit
        # Unused slots go first: if the limit was not reached, it shrinks no further than to the peak.
        lower_bound = peak_in_flight if peak_in_flight < self.limit else 1
        self._set_limit(max(lower_bound, self.limit - max(1, round(factor * self.limit))), now)

    def _set_limit(self, limit: int, now: float) -> None:
        self._limit_changed_at = now
        self.limit = max(1, min(limit, self.max_limit))


async def sample_loop_lag(limiter: "ConcurrencyLimiter", *, clock: Callable[[], float] = time.monotonic) -> None:
    """Report event-loop lag to the limiter until cancelled. Returns immediately if the limit is fixed.

    Two things count as lag: a timer that fires late, because a thread holds the interpreter or an iteration is long;
    and long iterations among the next two, because a long one is always followed by a short one in which slots change
    hands.
    """
    idle_samples = IDLE_AFTER_SAMPLES
    while limiter.is_adaptive:
        idle_samples = 0 if limiter.is_busy else idle_samples + 1
        due = clock() + (SAMPLE_INTERVAL if idle_samples < IDLE_AFTER_SAMPLES else IDLE_POLL_INTERVAL)
        await asyncio.sleep(due - clock())
        if idle_samples >= IDLE_AFTER_SAMPLES:
            continue
        accept_seconds_before, iteration_started = limiter.accept_seconds, clock()
        lag = max(iteration_started - due, 0.0)
        for _ in range(2 if lag < LONG_LAG else 0):
            await asyncio.sleep(0)
            now = clock()
            lag, iteration_started = max(lag, now - iteration_started), now
        limiter.record_loop_lag(lag, accept_seconds=limiter.accept_seconds - accept_seconds_before)
