"""Circuit breaker: stops requests to a failing server, and lets one trial request at a time test whether it is back.

    closed ── half of the last requests failed ──▶ open ── after the backoff ──▶ half-open ── trial succeeds ──▶ closed
                                                    ◀── trial fails, the backoff doubles ──────┘

After M. Nygard, "Release It!", 2nd edition, "Circuit Breaker". It opens by the count-based sliding window of
resilience4j, at 50 % failures. The window is smaller than resilience4j's 100 requests, which would take a slow model
minutes. Requests that began before the last state change do not count, because they may not reflect the current
state of the server.

The circuit breaker does no I/O and does not decide which outcomes are failures. It must be used from a single thread,
except for `state` and `statistics`.
"""

import enum
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

WINDOW_SIZE: Final = 20
"""Number of most recent requests that are considered."""
MIN_REQUESTS: Final = 5
"""Minimum number of requests in the window before the circuit can open."""
FAILURE_RATE_THRESHOLD: Final = 0.5
"""Share of failed requests in the window at which the circuit opens."""
INITIAL_BACKOFF: Final = 1.0
"""Seconds until the first trial; doubles with each failed trial. One request per second is a negligible load."""
MAX_BACKOFF: Final = 8.0
"""Maximum seconds between two trials: the delay after which a server that is back is used again."""


class CircuitState(enum.StrEnum):
    """State of the circuit: all requests, no requests, or one trial request at a time are allowed."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreakerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """State and counters since the start."""

    state: CircuitState
    openings: int
    """Number of changes from closed to open."""
    succeeded: int
    failed: int
    cancelled: int
    """Requests that the caller gave up."""
    rejected: int
    """Requests that were not allowed."""


class Attempt:
    """An allowed request. Its holder must record exactly one outcome; further outcomes are ignored."""

    def __init__(self, circuit: "CircuitBreaker", generation: int) -> None:
        self._circuit = circuit
        self._finished = False
        self.generation = generation
        """Number of state changes before the request began."""

    def record_response_started(self) -> None:
        """Record that the server has begun to respond. Closes the circuit unless it was opened by a time-out."""
        if not self._finished:
            self._circuit._on_response_started(self)  # noqa: SLF001 - Attempt and CircuitBreaker belong together

    def record_success(self) -> None:
        """Record a complete response."""
        if self._finish():
            self._circuit._on_success(self)  # noqa: SLF001 - Attempt and CircuitBreaker belong together

    def record_failure(self, *, timed_out: bool = False) -> None:
        """Record a failure.

        Args:
            timed_out: The response was not complete in time. If this opens the circuit, only a complete response of
                the trial closes it.
        """
        if self._finish():
            self._circuit._on_failure(self, timed_out=timed_out)  # noqa: SLF001 - Attempt and CircuitBreaker belong together

    def record_cancellation(self) -> None:
        """Record that the caller did not wait for the end. This neither opens nor closes the circuit."""
        if self._finish():
            self._circuit._on_cancellation(self)  # noqa: SLF001 - Attempt and CircuitBreaker belong together

    def _finish(self) -> bool:
        was_finished, self._finished = self._finished, True
        return not was_finished


class CircuitBreaker:
    """Decides which requests to one server are allowed.

    Args:
        on_state_change: Called when the circuit opens or closes, with the new state and the backoff in seconds.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        *,
        on_state_change: Callable[[CircuitState, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_state_change = on_state_change or (lambda _state, _backoff: None)
        self._clock = clock
        self._recent_failures: deque[bool] = deque(maxlen=WINDOW_SIZE)
        self._generation = 0
        self._retry_at: float | None = None  # time of the next trial; None if the circuit is closed
        self._backoff = INITIAL_BACKOFF
        self._opened_by_timeout = False
        self._trial: Attempt | None = None
        self._openings = 0
        self._counts = dict.fromkeys(("succeeded", "failed", "cancelled", "rejected"), 0)

    @property
    def state(self) -> CircuitState:
        """The current state. Safe to read from any thread."""
        retry_at = self._retry_at
        if retry_at is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if self._clock() < retry_at else CircuitState.HALF_OPEN

    @property
    def seconds_until_trial(self) -> float:
        """Seconds until a trial is allowed; 0 if it is allowed now or already running."""
        retry_at = self._retry_at
        return 0.0 if retry_at is None else max(retry_at - self._clock(), 0.0)

    def try_acquire(self) -> Attempt | None:
        """Return an attempt if a request is allowed, else None. The caller must record the attempt's outcome."""
        state = self.state
        if state is CircuitState.OPEN or (state is CircuitState.HALF_OPEN and self._trial):
            self._counts["rejected"] += 1
            return None
        attempt = Attempt(self, self._generation)
        if state is CircuitState.HALF_OPEN:
            self._trial = attempt
        return attempt

    def statistics(self) -> CircuitBreakerStatistics:
        """Return the state and the counters. Safe to call from any thread."""
        return CircuitBreakerStatistics(state=self.state, openings=self._openings, **self._counts)

    def _on_response_started(self, attempt: Attempt) -> None:
        if attempt is self._trial and not self._opened_by_timeout:
            self._close()
            attempt.generation = self._generation  # from now on it counts like any other request

    def _on_success(self, attempt: Attempt) -> None:
        self._counts["succeeded"] += 1
        if attempt is self._trial:
            self._close()
        elif attempt.generation == self._generation:
            self._recent_failures.append(False)

    def _on_failure(self, attempt: Attempt, *, timed_out: bool) -> None:
        self._counts["failed"] += 1
        if attempt is self._trial:
            self._open(min(2 * self._backoff, MAX_BACKOFF), timed_out=timed_out)
        elif attempt.generation == self._generation:
            self._recent_failures.append(True)
            request_count = len(self._recent_failures)
            failure_count = sum(self._recent_failures)
            if request_count >= MIN_REQUESTS and failure_count >= FAILURE_RATE_THRESHOLD * request_count:
                self._openings += 1
                self._open(INITIAL_BACKOFF, timed_out=timed_out)

    def _on_cancellation(self, attempt: Attempt) -> None:
        self._counts["cancelled"] += 1
        if attempt is self._trial:
            self._trial = None

    def _open(self, backoff: float, *, timed_out: bool) -> None:
        self._backoff, self._opened_by_timeout = backoff, timed_out
        self._retry_at = self._clock() + backoff
        self._change_state(CircuitState.OPEN, backoff)

    def _close(self) -> None:
        self._retry_at = None
        self._change_state(CircuitState.CLOSED, 0.0)

    def _change_state(self, state: CircuitState, backoff: float) -> None:
        self._generation += 1
        self._trial = None
        self._recent_failures.clear()
        self._on_state_change(state, backoff)
