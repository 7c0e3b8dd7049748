"""Tests of the circuit breaker with a fake clock."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from askd.circuit_breaker import (
    INITIAL_BACKOFF,
    MAX_BACKOFF,
    MIN_REQUESTS,
    WINDOW_SIZE,
    Attempt,
    CircuitBreaker,
    CircuitState,
)
from tests.support.fakes import Clock


def make_circuit() -> tuple[CircuitBreaker, Clock]:
    """Return a closed circuit and its clock."""
    clock = Clock()
    return CircuitBreaker(clock=clock), clock


def acquire(circuit: CircuitBreaker) -> Attempt:
    """Return an attempt, which must be allowed."""
    attempt = circuit.try_acquire()
    assert attempt
    return attempt


def state(circuit: CircuitBreaker) -> CircuitState:
    """Return the state. Unlike the property, mypy does not assume that it stays the same."""
    return circuit.state


def fail(circuit: CircuitBreaker, times: int = 1, *, timed_out: bool = False) -> None:
    """Record failures of several requests."""
    for _ in range(times):
        acquire(circuit).record_failure(timed_out=timed_out)


def make_open_circuit(*, timed_out: bool = False) -> tuple[CircuitBreaker, Clock]:
    """Return an open circuit and its clock."""
    circuit, clock = make_circuit()
    fail(circuit, MIN_REQUESTS, timed_out=timed_out)
    assert state(circuit) is CircuitState.OPEN
    return circuit, clock


def test_minimum_number_of_failures_opens_a_new_circuit() -> None:
    """The fifth failure in a row opens the circuit. Requests are rejected and counted from then on."""
    circuit, _ = make_circuit()
    fail(circuit, MIN_REQUESTS - 1)
    assert state(circuit) is CircuitState.CLOSED
    fail(circuit)
    assert (state(circuit), circuit.seconds_until_trial) == (CircuitState.OPEN, INITIAL_BACKOFF)
    assert [circuit.try_acquire(), circuit.try_acquire()] == [None, None]
    statistics = circuit.statistics()
    assert (statistics.state, statistics.openings) == (CircuitState.OPEN, 1)
    assert (statistics.failed, statistics.rejected) == (MIN_REQUESTS, 2)


def test_failures_of_half_the_window_open_the_circuit() -> None:
    """After a full window of successes, failures of half the window open the circuit; older requests do not count."""
    circuit, _ = make_circuit()
    for _ in range(3 * WINDOW_SIZE):
        acquire(circuit).record_success()
    fail(circuit, WINDOW_SIZE // 2 - 1)
    assert state(circuit) is CircuitState.CLOSED
    fail(circuit)
    assert state(circuit) is CircuitState.OPEN


def test_some_failures_keep_the_circuit_closed() -> None:
    """The circuit stays closed if one request in three fails."""
    circuit, _ = make_circuit()
    for _ in range(WINDOW_SIZE):
        acquire(circuit).record_success()
        acquire(circuit).record_success()
        fail(circuit)
    assert state(circuit) is CircuitState.CLOSED


def test_one_trial_at_a_time() -> None:
    """After the backoff one request is allowed at a time; its success closes the circuit."""
    circuit, clock = make_open_circuit()
    clock.advance(INITIAL_BACKOFF)
    assert state(circuit) is CircuitState.HALF_OPEN
    trial = acquire(circuit)
    assert circuit.try_acquire() is None
    clock.advance(1000.0)
    assert circuit.try_acquire() is None
    trial.record_success()
    assert state(circuit) is CircuitState.CLOSED
    fail(circuit, MIN_REQUESTS - 1)
    assert state(circuit) is CircuitState.CLOSED


def test_failed_trials_double_the_backoff() -> None:
    """Each failed trial doubles the backoff up to the maximum; the next opening starts with the initial backoff."""
    circuit, clock = make_open_circuit()
    backoffs = []
    for _ in range(6):
        backoffs.append(circuit.seconds_until_trial)
        clock.advance(circuit.seconds_until_trial)
        acquire(circuit).record_failure()
    assert backoffs == [1.0, 2.0, 4.0, 8.0, MAX_BACKOFF, MAX_BACKOFF]
    clock.advance(MAX_BACKOFF)
    acquire(circuit).record_success()
    fail(circuit, MIN_REQUESTS)
    assert (circuit.seconds_until_trial, circuit.statistics().openings) == (INITIAL_BACKOFF, 2)


def test_cancelled_trial_allows_another() -> None:
    """After a cancelled trial, the next request is a trial at once."""
    circuit, clock = make_open_circuit()
    clock.advance(INITIAL_BACKOFF)
    acquire(circuit).record_cancellation()
    assert (state(circuit), circuit.statistics().cancelled) == (CircuitState.HALF_OPEN, 1)
    acquire(circuit).record_success()
    assert state(circuit) is CircuitState.CLOSED


def test_start_of_a_response_closes_the_circuit() -> None:
    """The circuit closes when the trial's response starts; a later failure of the trial counts like any other."""
    circuit, clock = make_open_circuit()
    clock.advance(INITIAL_BACKOFF)
    trial = acquire(circuit)
    trial.record_response_started()
    assert state(circuit) is CircuitState.CLOSED
    trial.record_failure()
    fail(circuit, MIN_REQUESTS - 1)
    assert state(circuit) is CircuitState.OPEN


def test_complete_response_closes_the_circuit_after_timeouts() -> None:
    """If time-outs opened the circuit, only a complete response closes it."""
    circuit, clock = make_open_circuit(timed_out=True)
    clock.advance(INITIAL_BACKOFF)
    trial = acquire(circuit)
    trial.record_response_started()
    assert circuit.try_acquire() is None
    trial.record_success()
    assert state(circuit) is CircuitState.CLOSED


def test_requests_from_before_a_state_change_do_not_count() -> None:
    """Requests from before a state change neither change the state nor delay the trial."""
    circuit, clock = make_circuit()
    old_attempts = [acquire(circuit) for _ in range(3 * MIN_REQUESTS)]
    fail(circuit, MIN_REQUESTS)
    for attempt in old_attempts[:MIN_REQUESTS]:
        attempt.record_failure()
    old_attempts[MIN_REQUESTS].record_success()
    assert (state(circuit), circuit.seconds_until_trial, circuit.statistics().openings) == (
        CircuitState.OPEN,
        INITIAL_BACKOFF,
        1,
    )
    clock.advance(INITIAL_BACKOFF)
    acquire(circuit).record_success()
    for attempt in old_attempts[MIN_REQUESTS + 1 :]:
        attempt.record_failure()
    assert state(circuit) is CircuitState.CLOSED


def test_only_the_first_outcome_counts() -> None:
    """Outcomes that are recorded after the first are ignored."""
    circuit, _ = make_circuit()
    attempt = acquire(circuit)
    attempt.record_success()
    for record_late in (
        attempt.record_response_started,
        attempt.record_failure,
        attempt.record_cancellation,
        attempt.record_success,
    ):
        record_late()
    statistics = circuit.statistics()
    assert (statistics.succeeded, statistics.failed, statistics.cancelled) == (1, 0, 0)


class CircuitBreakerMachine(RuleBasedStateMachine):
    """Requests that start, end and are cancelled in any order while time passes."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.circuit, self.clock = make_circuit()
        self.trials: set[Attempt] = set()
        self.rejected = 0

    @rule(target=attempts)
    def acquire(self) -> Attempt | None:
        """Try to start a request: always allowed if the circuit is closed, never if it is open."""
        state_before = self.circuit.state
        attempt = self.circuit.try_acquire()
        self.rejected += attempt is None
        assert state_before is not CircuitState.CLOSED or attempt
        assert state_before is not CircuitState.OPEN or not attempt
        if attempt and state_before is CircuitState.HALF_OPEN:
            self.trials.add(attempt)
        return attempt

    @rule(attempt=attempts)
    def start_response(self, attempt: Attempt | None) -> None:
        """Start a response."""
        if attempt:
            attempt.record_response_started()
            if self.circuit.state is CircuitState.CLOSED:
                self.trials.discard(attempt)

    @rule(
        attempt=consumes(attempts),
        outcome=st.sampled_from(["record_success", "record_failure", "timed_out", "record_cancellation"]),
    )
    def finish(self, attempt: Attempt | None, outcome: str) -> None:
        """Record an outcome."""
        if attempt:
            self.trials.discard(attempt)
            attempt.record_failure(timed_out=True) if outcome == "timed_out" else getattr(attempt, outcome)()

    @rule(seconds=st.floats(0.0, 2 * MAX_BACKOFF))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @invariant()
    def at_most_one_trial(self) -> None:
        """At most one trial is in progress."""
        assert len(self.trials) <= 1

    @invariant()
    def bounded_backoff(self) -> None:
        """The time until the next trial never exceeds the maximum backoff, and rejections are counted."""
        assert 0.0 <= self.circuit.seconds_until_trial <= MAX_BACKOFF
        assert self.circuit.statistics().rejected == self.rejected

    def teardown(self) -> None:
        """The circuit always recovers: after the running trials, one backoff and one success, it is closed."""
        for trial in self.trials:
            trial.record_cancellation()
        self.clock.advance(MAX_BACKOFF)
        acquire(self.circuit).record_success()
        assert self.circuit.state is CircuitState.CLOSED


TestCircuitBreakerMachine = CircuitBreakerMachine.TestCase
