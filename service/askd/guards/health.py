"""Health checks: liveness, readiness and startup, and the tasks that feed them.

The event loop records a heartbeat and the phase of the server, and polls the answerer's ready hook. Probes read the
result from any thread, so they work while the event loop is blocked.
"""

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from askd.drain_state import DrainState

READINESS_STALL_TIMEOUT = 5.0
"""Seconds without a heartbeat after which readiness fails: longer than load causes."""
HEARTBEAT_INTERVAL = 0.25
"""Seconds between heartbeats: short enough to detect a stall of half a second, at negligible cost."""
READY_HOOK_INTERVAL = 1.0
"""Seconds between calls of the ready hook, and their timeout."""


class Phase(enum.StrEnum):
    """Phase of the server's life cycle."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class CheckResult(msgspec.Struct, frozen=True):
    """Result of one health check."""

    name: str
    ok: bool
    detail: str


class ProbeResult(msgspec.Struct, frozen=True):
    """Result of a probe, which passes if all of its checks pass."""

    checks: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether all checks passed."""
        return all(check.ok for check in self.checks)

    @property
    def reason(self) -> str:
        """The failed checks in one line; empty if all passed."""
        return "; ".join(f"{check.name}: {check.detail}" for check in self.checks if not check.ok)


class AnswererHealth:
    """State of one answerer that probes read.

    Args:
        name: Name of the answerer if the server has several; it is part of the names of the checks.
        stall_timeout: Seconds with all slots held by detached calls until readiness fails.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, name: str, stall_timeout: float, clock: Callable[[], float]) -> None:
        self._suffix = f":{name}" if name else ""
        self._stall_timeout = stall_timeout
        self._clock = clock
        self._ready_hook_check = CheckResult(f"ready_hook{self._suffix}", ok=True, detail="not defined")
        self._exhausted: tuple[float, int] | None = None
        self.load_check = CheckResult(f"answerer{self._suffix}", ok=False, detail="not loaded yet")
        self.is_loaded = False
        """Whether the answerer has been loaded."""
        self.load_error = ""
        """One line about why the code cannot be loaded until it is changed. Only set under `--reload`."""

    def set_progress(self, line: str) -> None:
        """Set the progress of loading the answerer, for the startup probe."""
        self._set_load_check(line, ok=False)

    def set_loaded(self, name: str) -> None:
        """Record that the answerer is loaded; `name` is shown by the probes."""
        self._set_load_check(name, ok=True)
        self.is_loaded = True

    def set_load_failed(self, message: str) -> None:
        """Record why the answerer could not be loaded, in one line."""
        self._set_load_check(message, ok=False)
        self.load_error = message

    def set_ready_hook_result(self, *, ok: bool, detail: str) -> None:
        """Record the last result of the user's ready hook."""
        detail = detail or ("ready" if ok else "not ready")
        self._ready_hook_check = CheckResult(f"ready_hook{self._suffix}", ok=ok, detail=detail)

    def set_exhausted(self, since: float | None, slots: int) -> None:
        """Record since when (in seconds of the clock) detached calls hold all slots. None if they do not."""
        self._exhausted = None if since is None else (since, slots)

    def check_readiness(self) -> tuple[CheckResult, ...]:
        """Check whether the answerer is loaded, its ready hook succeeds, and it has slots left."""
        return self.load_check, self._ready_hook_check, self._check_slots()

    def _set_load_check(self, detail: str, *, ok: bool) -> None:
        self.load_check = CheckResult(self.load_check.name, ok=ok, detail=detail)

    def _check_slots(self) -> CheckResult:
        name = f"slots{self._suffix}"
        if self._exhausted is None:
            return CheckResult(name, ok=True, detail="not blocked by detached calls")
        since, slots = self._exhausted
        seconds = max(self._clock() - since, 0.0)
        detail = f"all {slots} held by detached calls for {seconds:.1f}s, limit {self._stall_timeout:g}s"
        return CheckResult(name, ok=seconds <= self._stall_timeout, detail=detail)


class Health:
    """State of the server that probes read. It is ready if all its answerers are.

    Args:
        stall_timeout: Seconds without a heartbeat, or with all slots held by detached calls, until a probe fails.
        names: Names of the answerers. The only one may have an empty name.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self, stall_timeout: float, names: Iterable[str] = ("",), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stall_timeout = stall_timeout
        self._clock = clock
        self._last_heartbeat = clock()
        self.drain_state = DrainState()
        """Whether the server is about to stop."""
        self.answerers = {name: AnswererHealth(name, stall_timeout, clock) for name in names}
        """State of each answerer, by its name."""

    @property
    def phase(self) -> Phase:
        """Phase of the server."""
        if self.drain_state.is_draining:
            return Phase.DRAINING
        return Phase.READY if self.is_loaded else Phase.STARTING

    @property
    def is_loaded(self) -> bool:
        """Whether all answerers are loaded. The phase does not show it: a drain may begin before the load ends."""
        return all(answerer.is_loaded for answerer in self.answerers.values())

    def record_heartbeat(self) -> None:
        """Record that the event loop is running."""
        self._last_heartbeat = self._clock()

    @property
    def seconds_since_heartbeat(self) -> float:
        """Seconds since the last heartbeat."""
        return max(self._clock() - self._last_heartbeat, 0.0)

    def check_liveness(self) -> ProbeResult:
        """Check only the event loop, because a restart fixes nothing else."""
        return ProbeResult((self._check_event_loop(self._stall_timeout),))

    def check_readiness(self) -> ProbeResult:
        """Check whether the server should receive requests."""
        phase = self.phase
        phase_check = CheckResult("phase", ok=phase is not Phase.DRAINING, detail=phase.value)
        event_loop = self._check_event_loop(min(READINESS_STALL_TIMEOUT, self._stall_timeout))
        answerers = [check for answerer in self.answerers.values() for check in answerer.check_readiness()]
        return ProbeResult((event_loop, phase_check, *answerers))

    def check_startup(self) -> ProbeResult:
        """Check whether the answerers have been loaded. Still passes during the drain."""
        return ProbeResult(tuple(answerer.load_check for answerer in self.answerers.values()))

    def _check_event_loop(self, limit: float) -> CheckResult:
        seconds = self.seconds_since_heartbeat
        detail = f"last heartbeat {seconds:.1f}s ago, limit {limit:g}s"
        return CheckResult("event_loop", ok=seconds <= limit, detail=detail)


async def run_heartbeat(health: Health, observe_lag: Callable[[float], None]) -> None:
    """Record heartbeats until cancelled, and pass the event-loop lag of each in seconds to `observe_lag`."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + HEARTBEAT_INTERVAL
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        observe_lag(max(loop.time() - due, 0.0))
        health.record_heartbeat()


async def poll_ready_hook(health: AnswererHealth, ready: Callable[[], Awaitable[tuple[bool, str]]]) -> None:
    """Call the ready hook every second until cancelled."""
    while True:
        await call_ready_hook(health, ready)
        await asyncio.sleep(READY_HOOK_INTERVAL)


async def call_ready_hook(health: AnswererHealth, ready: Callable[[], Awaitable[tuple[bool, str]]]) -> None:
    """Call the ready hook once. A hook that raises or times out counts as not ready."""
    try:
        async with asyncio.timeout(READY_HOOK_INTERVAL):
            ok, detail = await ready()
    except TimeoutError:
        ok, detail = False, f"timed out after {READY_HOOK_INTERVAL:g}s"
    except Exception as error:
        ok, detail = False, f"raised {type(error).__name__}"
    health.set_ready_hook_result(ok=ok, detail=detail)
