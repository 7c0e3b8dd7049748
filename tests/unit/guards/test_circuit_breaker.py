"""The circuit: when it opens, what it lets through then, and that it always closes again; in the test's own time."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from service.guards.circuit import LEAST, LONGEST_PAUSE, PAUSE, WINDOW, Attempt, Circuit, State
from tests.fakes import Clock


def made() -> tuple[Circuit, Clock]:
    """Return a circuit and the clock that it reads."""
    clock = Clock()
    return Circuit(clock=clock), clock


def entered(circuit: Circuit) -> Attempt:
    """Return an attempt that must be let through."""
    attempt = circuit.enter()
    assert attempt
    return attempt


def state(circuit: Circuit) -> State:
    """Return the state, as a value that the type checker takes to change."""
    return circuit.state


def fail(circuit: Circuit, times: int = 1, *, slow: bool = False) -> None:
    """Let so many requests fail, one after another."""
    for _ in range(times):
        entered(circuit).failed(slow=slow)


def opened(*, slow: bool = False) -> tuple[Circuit, Clock]:
    """Return a circuit that is open, and the clock that it reads."""
    circuit, clock = made()
    fail(circuit, LEAST, slow=slow)
    assert state(circuit) is State.OPEN
    return circuit, clock


def test_a_few_failures_open_a_new_one() -> None:
    """The fifth failure in a row opens it, none before; from then on nothing is let through, and that is counted."""
    circuit, _ = made()
    fail(circuit, LEAST - 1)
    assert state(circuit) is State.CLOSED
    fail(circuit)
    assert (state(circuit), circuit.wait) == (State.OPEN, PAUSE)
    assert [circuit.enter(), circuit.enter()] == [None, None]
    found = circuit.statistics()
    assert (found.state, found.openings, found.failed, found.refused) == (State.OPEN, 1, LEAST, 2)


def test_half_of_the_window_opens_it() -> None:
    """After a full window of successes it takes failures of half the window; what is older than that is forgotten."""
    circuit, _ = made()
    for _ in range(3 * WINDOW):
        entered(circuit).succeeded()
    fail(circuit, WINDOW // 2 - 1)
    assert state(circuit) is State.CLOSED
    fail(circuit)
    assert state(circuit) is State.OPEN


def test_some_failures_leave_it_closed() -> None:
    """A server that fails one request in three goes on being asked."""
    circuit, _ = made()
    for _ in range(WINDOW):
        entered(circuit).succeeded()
        entered(circuit).succeeded()
        fail(circuit)
    assert state(circuit) is State.CLOSED


def test_one_trial_at_a_time() -> None:
    """After the pause one request is let through, no other while it is under way; its success closes the circuit."""
    circuit, clock = opened()
    clock.advance(PAUSE)
    assert state(circuit) is State.HALF_OPEN
    trial = entered(circuit)
    assert circuit.enter() is None
    clock.advance(1000.0)
    assert circuit.enter() is None
    trial.succeeded()
    assert state(circuit) is State.CLOSED
    fail(circuit, LEAST - 1)
    assert state(circuit) is State.CLOSED


def test_trials_that_fail_double_the_pause() -> None:
    """Each trial that fails doubles the pause, up to a bound; the next time it opens the pause is short again."""
    circuit, clock = opened()
    pauses = []
    for _ in range(6):
        pauses.append(circuit.wait)
        clock.advance(circuit.wait)
        entered(circuit).failed()
    assert pauses == [1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE]
    clock.advance(LONGEST_PAUSE)
    entered(circuit).succeeded()
    fail(circuit, LEAST)
    assert (circuit.wait, circuit.statistics().openings) == (PAUSE, 2)


def test_a_trial_that_is_left_makes_room_for_the_next() -> None:
    """A trial that its client gave up tells nothing: the next request is a trial at once."""
    circuit, clock = opened()
    clock.advance(PAUSE)
    entered(circuit).left()
    assert (state(circuit), circuit.statistics().left) == (State.HALF_OPEN, 1)
    entered(circuit).succeeded()
    assert state(circuit) is State.CLOSED


def test_a_server_that_was_away_is_back_when_it_begins_to_answer() -> None:
    """A long answer keeps nobody waiting for the trial's end; where it breaks off after all that counts as any does."""
    circuit, clock = opened()
    clock.advance(PAUSE)
    trial = entered(circuit)
    trial.begun()
    assert state(circuit) is State.CLOSED
    trial.failed()
    fail(circuit, LEAST - 1)
    assert state(circuit) is State.OPEN


def test_a_server_that_was_slow_is_back_when_it_has_answered() -> None:
    """Where answers came to no end, only the end of one closes the circuit."""
    circuit, clock = opened(slow=True)
    clock.advance(PAUSE)
    trial = entered(circuit)
    trial.begun()
    assert circuit.enter() is None
    trial.succeeded()
    assert state(circuit) is State.CLOSED


def test_what_began_before_does_not_count_after() -> None:
    """Requests from before it opened or closed neither close nor open it, nor put off the trial."""
    circuit, clock = made()
    old = [entered(circuit) for _ in range(3 * LEAST)]
    fail(circuit, LEAST)
    for attempt in old[:LEAST]:
        attempt.failed()
    old[LEAST].succeeded()
    assert (state(circuit), circuit.wait, circuit.statistics().openings) == (State.OPEN, PAUSE, 1)
    clock.advance(PAUSE)
    entered(circuit).succeeded()
    for attempt in old[LEAST + 1 :]:
        attempt.failed()
    assert state(circuit) is State.CLOSED


def test_the_end_is_heard_once() -> None:
    """Whatever is said of an attempt after its end changes nothing."""
    circuit, _ = made()
    attempt = entered(circuit)
    attempt.succeeded()
    for late in (attempt.begun, attempt.failed, attempt.left, attempt.succeeded):
        late()
    found = circuit.statistics()
    assert (found.succeeded, found.failed, found.left) == (1, 0, 0)


class Interleavings(RuleBasedStateMachine):
    """Requests that begin, end and are cancelled in any order, while time goes by."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.circuit, self.clock = made()
        self.trials: set[Attempt] = set()
        self.refused = 0

    @rule(target=attempts)
    def enter(self) -> Attempt | None:
        """Ask to be let through: always where it is closed, never where it is open."""
        before = self.circuit.state
        attempt = self.circuit.enter()
        self.refused += attempt is None
        assert before is not State.CLOSED or attempt
        assert before is not State.OPEN or not attempt
        if attempt and before is State.HALF_OPEN:
            self.trials.add(attempt)
        return attempt

    @rule(attempt=attempts)
    def begin(self, attempt: Attempt | None) -> None:
        """Begin to answer."""
        if attempt:
            attempt.begun()
            if self.circuit.state is State.CLOSED:
                self.trials.discard(attempt)

    @rule(attempt=consumes(attempts), how=st.sampled_from(["succeeded", "failed", "slow", "left"]))
    def end(self, attempt: Attempt | None, how: str) -> None:
        """End in one of the ways."""
        if attempt:
            self.trials.discard(attempt)
            attempt.failed(slow=True) if how == "slow" else getattr(attempt, how)()

    @rule(seconds=st.floats(0.0, 2 * LONGEST_PAUSE))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.advance(seconds)

    @invariant()
    def one_trial(self) -> None:
        """There is never more than one trial that has neither ended nor closed the circuit."""
        assert len(self.trials) <= 1

    @invariant()
    def a_bounded_wait(self) -> None:
        """Nobody is told to wait for longer than the longest pause, and refusals are counted."""
        assert 0.0 <= self.circuit.wait <= LONGEST_PAUSE
        assert self.circuit.statistics().refused == self.refused

    def teardown(self) -> None:
        """It is never stuck: once what is under way has been left, a pause and one answer later it is closed."""
        for trial in self.trials:
            trial.left()
        self.clock.advance(LONGEST_PAUSE)
        entered(self.circuit).succeeded()
        assert self.circuit.state is State.CLOSED


TestInterleavings = Interleavings.TestCase
"""Hypothesis makes a unittest of it."""
