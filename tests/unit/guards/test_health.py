"""Health checks: the results of the probes, the heartbeat and the ready hook."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from askd.guards import health as health_module
from askd.guards.health import Health, Phase
from tests.support.fakes import Clock, cancelled_on_exit, wait_until


def make_health(stall_timeout: float = 30.0) -> tuple[Health, Clock]:
    """Return a Health and its clock."""
    clock = Clock()
    return Health(stall_timeout, clock=clock), clock


def probe_all(health: Health) -> tuple[bool, bool, bool]:
    """Return liveness, readiness and startup."""
    return health.check_liveness().ok, health.check_readiness().ok, health.check_startup().ok


def test_phases() -> None:
    """A starting server is only live; loading makes it ready and started; a drain ends only readiness."""
    health, _ = make_health()
    assert (health.phase, probe_all(health), health.is_loaded) == (Phase.STARTING, (True, False, False), False)
    health.answerers[""].set_loaded("the book")
    assert (health.phase, probe_all(health), health.is_loaded) == (Phase.READY, (True, True, True), True)
    health.drain_state.is_draining = True
    assert (health.phase, probe_all(health), health.is_loaded) == (Phase.DRAINING, (True, False, True), True)


def test_load_does_not_end_a_drain() -> None:
    """A server that begins to drain while it loads stays unready."""
    health, _ = make_health()
    health.drain_state.is_draining = True
    health.answerers[""].set_loaded("the book")
    assert (health.phase, probe_all(health)) == (Phase.DRAINING, (True, False, True))


def test_drain_before_load_is_not_loaded() -> None:
    """A drain that begins before the answerer is loaded does not make it look loaded."""
    health, _ = make_health()
    health.drain_state.is_draining = True
    assert health.is_loaded is False


@pytest.mark.parametrize(
    ("stall_timeout", "readiness", "liveness"), [(30.0, 5.0, 30.0), (6.0, 5.0, 6.0), (3.0, 3.0, 3.0)]
)
def test_stall_fails_readiness_then_liveness(stall_timeout: float, readiness: float, liveness: float) -> None:
    """Each probe fails just above its limit and not at it; startup never fails; a heartbeat restores both."""
    health, clock = make_health(stall_timeout)
    health.answerers[""].set_loaded("the book")
    clock.advance(readiness)
    assert health.check_readiness().ok
    clock.advance(0.01)
    assert not health.check_readiness().ok
    clock.advance(liveness - readiness - 0.01)
    assert health.check_liveness().ok
    clock.advance(0.02)
    assert (probe_all(health), health.check_liveness().reason) == (
        (False, False, True),
        f"event_loop: last heartbeat {liveness:.1f}s ago, limit {stall_timeout:g}s",
    )
    health.record_heartbeat()
    assert probe_all(health) == (True, True, True)


def test_detached_calls_fail_readiness() -> None:
    """Readiness fails when detached calls have held all slots for longer than the stall timeout."""
    health, clock = make_health()
    health.answerers[""].set_loaded("the book")
    health.answerers[""].set_exhausted(clock.now, 4)
    clock.advance(1.0)
    assert health.check_readiness().ok
    clock.advance(30.0)
    health.record_heartbeat()
    assert health.check_readiness().reason == "slots: all 4 held by detached calls for 31.0s, limit 30s"
    health.answerers[""].set_exhausted(None, 4)
    assert health.check_readiness().ok


def test_heartbeat_from_the_future() -> None:
    """A heartbeat that is later than the time that a probe's thread has read counts as now."""
    health, clock = make_health()
    clock.advance(-100.0)
    assert health.check_liveness().checks[0].detail.startswith("last heartbeat 0.0s ago")


def test_ready_hook_result() -> None:
    """The result of the ready hook counts for readiness, with its reason or a default."""
    health, _ = make_health()
    health.answerers[""].set_loaded("the book")
    health.answerers[""].set_ready_hook_result(ok=False, detail="")
    assert (health.check_readiness().ok, health.check_readiness().reason) == (False, "ready_hook: not ready")
    health.answerers[""].set_ready_hook_result(ok=True, detail="")
    assert (health.check_readiness().ok, health.check_readiness().reason) == (True, "")


def test_all_failed_checks_are_in_the_reason() -> None:
    """If several checks fail, the reason has each of them."""
    health, clock = make_health()
    health.answerers[""].set_progress("entry 1 of 2")
    health.drain_state.is_draining = True
    clock.advance(60)
    assert (
        health.check_readiness().reason
        == "event_loop: last heartbeat 60.0s ago, limit 5s; phase: draining; answerer: entry 1 of 2"
    )


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "HEARTBEAT_INTERVAL", 0.001)
    monkeypatch.setattr(health_module, "READY_HOOK_INTERVAL", 0.005)


async def test_heartbeat_and_lag() -> None:
    """Each wake-up records a heartbeat, and reports its lag, which is never negative."""
    clock = Clock()
    health = Health(30.0, clock=clock)
    lags: list[float] = []
    async with cancelled_on_exit(asyncio.create_task(health_module.run_heartbeat(health, lags.append))):
        clock.advance(100.0)
        assert not health.check_liveness().ok
        await wait_until(lambda: health.check_liveness().ok and len(lags) > 2)
    assert min(lags) >= 0.0


async def raises() -> tuple[bool, str]:
    """Raise an exception with internal details."""
    raise ValueError("a secret")


async def hangs() -> tuple[bool, str]:
    """Never return."""
    await asyncio.Event().wait()
    return True, ""


async def is_not_ready() -> tuple[bool, str]:
    """Return False with a reason."""
    return False, "the model is cold"


HOOKS = {
    raises: "ready_hook: raised ValueError",
    hangs: "ready_hook: timed out after 0.005s",
    is_not_ready: "ready_hook: the model is cold",
}


@pytest.mark.parametrize(("hook", "reason"), HOOKS.items())
async def test_hook_is_not_ready(hook: Callable[[], Awaitable[tuple[bool, str]]], reason: str) -> None:
    """False, an exception and a timeout mean not ready, with a reason that shows nothing internal."""
    health = Health(30.0)
    health.answerers[""].set_loaded("the code")
    async with cancelled_on_exit(asyncio.create_task(health_module.poll_ready_hook(health.answerers[""], hook))):
        await wait_until(lambda: not health.check_readiness().ok)
    assert health.check_readiness().reason == reason


async def test_hook_is_polled() -> None:
    """Readiness follows the results of the hook, also after an exception."""
    health = Health(30.0)
    health.answerers[""].set_loaded("the code")
    results: Iterator[ValueError | tuple[bool, str]] = iter([ValueError(), (True, ""), (False, "no"), (True, "")])
    readiness_before_call = []

    async def ready() -> tuple[bool, str]:
        readiness_before_call.append(health.check_readiness().ok)
        result = next(results, (True, ""))
        if isinstance(result, Exception):
            raise result
        return result

    async with cancelled_on_exit(asyncio.create_task(health_module.poll_ready_hook(health.answerers[""], ready))):
        await wait_until(lambda: len(readiness_before_call) >= 5)
    assert readiness_before_call[:5] == [True, False, True, False, True]
