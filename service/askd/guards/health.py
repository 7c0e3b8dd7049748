"""Health: whether the process is alive, ready and started, as probes ask it.

The main loop writes a heartbeat and its phase; probes read them from any thread. Time is injected.
"""

import enum
import time
from collections.abc import Callable

import msgspec

READINESS_STALL = 5.0
"""Seconds without a heartbeat after which readiness fails: a stall, not load."""


class Phase(enum.StrEnum):
    """Where the server is between its start and its end."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at, and what was seen."""

    name: str
    ok: bool
    detail: str


class Verdict(msgspec.Struct, frozen=True):
    """The answer to one probe: it is `ok` when each of its checks is."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return all(check.ok for check in self.checks)

    @property
    def reason(self) -> str:
        """What is wrong, in one line; empty when all is well."""
        return "; ".join(f"{check.name}: {check.detail}" for check in self.checks if not check.ok)


class Health:
    """What probes read. `stall_limit` is in seconds; `clock` returns seconds that only rise."""

    def __init__(self, stall_limit: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_limit = stall_limit
        self._clock = clock
        self._beat = clock()
        self._answerer = Check("answerer", ok=False, detail="not loaded yet")
        self._code = Check("code", ok=True, detail="has no ready hook")
        self._stuck: tuple[float, int] | None = None
        self.phase = Phase.STARTING
        self.answers = False
        """Whether the answerer has been loaded: the phase alone does not tell, a start may be cut short by a drain."""
        self.fault = ""
        """Why nothing is answered until the code has been changed, in one line; only ever set under `--reload`."""

    def beat(self) -> None:
        """Say that the main loop moves."""
        self._beat = self._clock()

    @property
    def still(self) -> float:
        """Seconds since the main loop moved last."""
        return max(self._clock() - self._beat, 0.0)

    def progress(self, line: str) -> None:
        """Say how far the load of the answerer is."""
        self._answerer = Check("answerer", ok=False, detail=line)

    def loaded(self, name: str) -> None:
        """Say that the answerer is loaded; a server that is already draining goes on draining."""
        self._answerer = Check("answerer", ok=True, detail=name)
        self.answers = True
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def broken(self, fault: str) -> None:
        """Say, in one line for the developer, why the answerer could not be loaded."""
        self._answerer = Check("answerer", ok=False, detail=fault)
        self.fault = fault

    def code_ready(self, *, ok: bool, detail: str) -> None:
        """Say what the code's own `ready` hook returned last."""
        self._code = Check("code", ok=ok, detail=detail or ("ready" if ok else "not ready"))

    def stuck(self, since: float | None, places: int) -> None:
        """Say since when (of the clock) calls that nobody waits for any more hold all `places`; None: they do not."""
        self._stuck = None if since is None else (since, places)

    def draining(self) -> None:
        """Say that the server is about to stop."""
        self.phase = Phase.DRAINING

    def liveness(self) -> Verdict:
        """Only whether the main loop moves: a restart mends nothing else."""
        return Verdict((self._loop(self._stall_limit),))

    def readiness(self) -> Verdict:
        """Whether questions should be sent here."""
        phase = Check("phase", ok=self.phase is not Phase.DRAINING, detail=self.phase.value)
        loop = self._loop(min(READINESS_STALL, self._stall_limit))
        return Verdict((loop, phase, self._answerer, self._code, self._places()))

    def startup(self) -> Verdict:
        """Whether the answerer has been loaded; stays so during the drain."""
        return Verdict((self._answerer,))

    def _places(self) -> Check:
        if self._stuck is None:
            return Check("places", ok=True, detail="some are free, or soon will be")
        since, places = self._stuck
        held = max(self._clock() - since, 0.0)
        detail = f"calls that nobody waits for any more have held all {places} for {held:.1f}s"
        return Check("places", ok=held <= self._stall_limit, detail=f"{detail}, limit {self._stall_limit:g}s")

    def _loop(self, limit: float) -> Check:
        still = self.still
        return Check("loop", ok=still <= limit, detail=f"moved {still:.1f}s ago, limit {limit:g}s")
