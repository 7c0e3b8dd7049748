"""Health checks: liveness, readiness and startup, and the tasks that feed them.

The event loop records a heartbeat and the phase of the server, and polls the answerer's ready hook. Probes read the
result from any thread, so they work while the event loop is blocked.
"""

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable

import msgspec

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


class Health:
    """State that probes read.

    Args:
        stall_timeout: Seconds without a heartbeat, or with all slots held by detached calls, until a probe fails.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, stall_timeout: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_timeout = stall_timeout
        self._clock = clock
        self._last_heartbeat = clock()
        self._answerer_check = CheckResult("answerer", ok=False, detail="not loaded yet")
        self._ready_hook_check = CheckResult("ready_hook", ok=True, detail="not defined")
        self._exhausted: tuple[float, int] | None = None
        self.phase = Phase.STARTING
        self.is_loaded = False
        """Whether the answerer has been loaded. The phase does not show it: a drain may begin before the load ends."""
        self.load_error = ""
        """One line about why the code cannot be loaded until it is changed. Only set under `--reload`."""

    def record_heartbeat(self) -> None:
        """Record that the event loop is running."""
        self._last_heartbeat = self._clock()

    @property
    def seconds_since_heartbeat(self) -> float:
        """Seconds since the last heartbeat."""
        return max(self._clock() - self._last_heartbeat, 0.0)

    def set_progress(self, line: str) -> None:
        """Set the progress of loading the answerer, for the startup probe."""
        self._answerer_check = CheckResult("answerer", ok=False, detail=line)

    def set_loaded(self, name: str) -> None:
        """Record that the answerer is loaded. A server that is draining keeps draining."""
        self._answerer_check = CheckResult("answerer", ok=True, detail=name)
        self.is_loaded = True
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def set_load_failed(self, message: str) -> None:
        """Record why the answerer could not be loaded, in one line."""
        self._answerer_check = CheckResult("answerer", ok=False, detail=message)
        self.load_error = message

    def set_ready_hook_result(self, *, ok: bool, detail: str) -> None:
        """Record the last result of the user's ready hook."""
        self._ready_hook_check = CheckResult("ready_hook", ok=ok, detail=detail or ("ready" if ok else "not ready"))

    def set_exhausted(self, since: float | None, slots: int) -> None:
        """Record since when (in seconds of the clock) detached calls hold all slots. None if they do not."""
        self._exhausted = None if since is None else (since, slots)

    def set_draining(self) -> None:
        """Record that the server is about to stop."""
        self.phase = Phase.DRAINING

    def check_liveness(self) -> ProbeResult:
        """Check only the event loop, because a restart fixes nothing else."""
        return ProbeResult((self._check_event_loop(self._stall_timeout),))

    def check_readiness(self) -> ProbeResult:
        """Check whether the server should receive requests."""
        phase = CheckResult("phase", ok=self.phase is not Phase.DRAINING, detail=self.phase.value)
        event_loop = self._check_event_loop(min(READINESS_STALL_TIMEOUT, self._stall_timeout))
        return ProbeResult((event_loop, phase, self._answerer_check, self._ready_hook_check, self._check_slots()))

    def check_startup(self) -> ProbeResult:
        """Check whether the answerer has been loaded. Still passes during the drain."""
        return ProbeResult((self._answerer_check,))

    def _check_slots(self) -> CheckResult:
        if self._exhausted is None:
            return CheckResult("slots", ok=True, detail="not blocked by detached calls")
        since, slots = self._exhausted
        seconds = max(self._clock() - since, 0.0)
        detail = f"all {slots} held by detached calls for {seconds:.1f}s, limit {self._stall_timeout:g}s"
        return CheckResult("slots", ok=seconds <= self._stall_timeout, detail=detail)

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


async def poll_ready_hook(health: Health, ready: Callable[[], Awaitable[tuple[bool, str]]]) -> None:
    """Call the ready hook every second until cancelled."""
    while True:
        await call_ready_hook(health, ready)
        await asyncio.sleep(READY_HOOK_INTERVAL)


async def call_ready_hook(health: Health, ready: Callable[[], Awaitable[tuple[bool, str]]]) -> None:
    """Call the ready hook once. A hook that raises or times out counts as not ready."""
    try:
        async with asyncio.timeout(READY_HOOK_INTERVAL):
            ok, detail = await ready()
    except TimeoutError:
        ok, detail = False, f"timed out after {READY_HOOK_INTERVAL:g}s"
    except Exception as error:
        ok, detail = False, f"raised {type(error).__name__}"
    health.set_ready_hook_result(ok=ok, detail=detail)
