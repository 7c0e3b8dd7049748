"""The circuit: leaves a server alone that fails, and tries with one question at a time whether it is back.

    closed ── half of the last requests failed ──▶ open ── after a pause ──▶ half-open ── the trial succeeds ──▶ closed
                                                    ◀── the trial fails, the pause doubles ──┘

After M. Nygard, "Release It!", 2nd edition, "Circuit Breaker". What opens it is the count-based sliding window of
resilience4j, 50 % of the last requests, in a smaller window: its 100 would be minutes of a slow model. What was begun
before the circuit last opened or closed says nothing of the server as it is now and is not counted.

Pure: it knows neither what is sent nor what a failure is. Not for several threads, but for `state` and `statistics`.
"""

import enum
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

WINDOW: Final = 20
"""Requests that are looked back on."""
LEAST: Final = 5
"""Requests in the window before anything is concluded from them."""
SHARE: Final = 0.5
"""Share of the window that has failed when the circuit opens."""
PAUSE: Final = 1.0
"""Seconds until the first trial; doubled by each that fails: one question a second costs a server next to nothing."""
LONGEST_PAUSE: Final = 8.0
"""Seconds: a server that is back is found after this at the latest, once somebody asks."""


class State(enum.StrEnum):
    """Whether requests are let through: all, none, or one at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all requests until now. `left` were given up by who made them; `refused` were never made."""

    state: State
    openings: int
    succeeded: int
    failed: int
    left: int
    refused: int


class Attempt:
    """One request that was let through. Whoever has it says how it ended, once; what is said later is not heard."""

    def __init__(self, circuit: "Circuit", era: int) -> None:
        self._circuit = circuit
        self._over = False
        self.era = era

    def begun(self) -> None:
        """Say that the server answers, if not yet what: a trial of a server that was away has succeeded by that."""
        if not self._over:
            self._circuit._began(self)  # noqa: SLF001 - the same file's other half

    def succeeded(self) -> None:
        """Say that the whole answer has come."""
        if self._ends():
            self._circuit._succeeded(self)  # noqa: SLF001 - the same file's other half

    def failed(self, *, slow: bool = False) -> None:
        """Say that there was no answer. `slow`: it came to no end, so that only a whole answer ends the next trial."""
        if self._ends():
            self._circuit._failed(self, slow=slow)  # noqa: SLF001 - the same file's other half

    def left(self) -> None:
        """Say that nobody waited for the end, which tells nothing of the server."""
        if self._ends():
            self._circuit._left(self)  # noqa: SLF001 - the same file's other half

    def _ends(self) -> bool:
        ended, self._over = self._over, True
        return not ended


class Circuit:
    """Lets requests to one server through, or not.

    `turned` is told of each opening and closing, and of the pause in seconds; None: nobody is. `clock` returns seconds
    that only rise.
    """

    def __init__(
        self, *, turned: Callable[[State, float], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._turned = turned or (lambda _state, _pause: None)
        self._clock = clock
        self._failures: deque[bool] = deque(maxlen=WINDOW)
        self._era = 0
        self._again: float | None = None  # when a trial may be made; None: closed
        self._pause = PAUSE
        self._slow = False
        self._trial: Attempt | None = None
        self._openings = 0
        self._counts = dict.fromkeys(("succeeded", "failed", "left", "refused"), 0)

    @property
    def state(self) -> State:
        """The state by now; safe from any thread."""
        again = self._again
        if again is None:
            return State.CLOSED
        return State.OPEN if self._clock() < again else State.HALF_OPEN

    @property
    def wait(self) -> float:
        """Seconds until a trial may be made; 0 where it may be now, also while another one is under way."""
        again = self._again
        return 0.0 if again is None else max(again - self._clock(), 0.0)

    def enter(self) -> Attempt | None:
        """Let a request through; None: it must not be made. The attempt's end must be said whatever happens."""
        state = self.state
        if state is State.OPEN or (state is State.HALF_OPEN and self._trial):
            self._counts["refused"] += 1
            return None
        attempt = Attempt(self, self._era)
        if state is State.HALF_OPEN:
            self._trial = attempt
        return attempt

    def statistics(self) -> CircuitStatistics:
        """Return what is counted now; safe from any thread."""
        return CircuitStatistics(state=self.state, openings=self._openings, **self._counts)

    def _began(self, attempt: Attempt) -> None:
        if attempt is self._trial and not self._slow:
            self._close()
            attempt.era = self._era  # how it ends counts as that of any other

    def _succeeded(self, attempt: Attempt) -> None:
        self._counts["succeeded"] += 1
        if attempt is self._trial:
            self._close()
        elif attempt.era == self._era:
            self._failures.append(False)

    def _failed(self, attempt: Attempt, *, slow: bool) -> None:
        self._counts["failed"] += 1
        if attempt is self._trial:
            self._open(min(2 * self._pause, LONGEST_PAUSE), slow=slow)
        elif attempt.era == self._era:
            self._failures.append(True)
            seen = len(self._failures)
            if seen >= LEAST and sum(self._failures) >= SHARE * seen:
                self._openings += 1
                self._open(PAUSE, slow=slow)

    def _left(self, attempt: Attempt) -> None:
        self._counts["left"] += 1
        if attempt is self._trial:
            self._trial = None

    def _open(self, pause: float, *, slow: bool) -> None:
        self._pause, self._slow = pause, slow
        self._again = self._clock() + pause
        self._turn(State.OPEN, pause)

    def _close(self) -> None:
        self._again = None
        self._turn(State.CLOSED, 0.0)

    def _turn(self, state: State, pause: float) -> None:
        self._era += 1
        self._trial = None
        self._failures.clear()
        self._turned(state, pause)
