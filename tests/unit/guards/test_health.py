"""Health checks: the results of the probes, on the test's clock."""

import pytest

from askd.guards.health import Health, Phase
from tests.support.fakes import Clock


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
    health.set_loaded("the book")
    assert (health.phase, probe_all(health), health.is_loaded) == (Phase.READY, (True, True, True), True)
    health.set_draining()
    assert (health.phase, probe_all(health), health.is_loaded) == (Phase.DRAINING, (True, False, True), True)


def test_load_does_not_end_a_drain() -> None:
    """A server that begins to drain while it loads stays unready."""
    health, _ = make_health()
    health.set_draining()
    health.set_loaded("the book")
    assert (health.phase, probe_all(health)) == (Phase.DRAINING, (True, False, True))


def test_drain_before_load_is_not_loaded() -> None:
    """A drain that begins before the answerer is loaded does not make it look loaded."""
    health, _ = make_health()
    health.set_draining()
    assert health.is_loaded is False


@pytest.mark.parametrize(
    ("stall_timeout", "readiness", "liveness"), [(30.0, 5.0, 30.0), (6.0, 5.0, 6.0), (3.0, 3.0, 3.0)]
)
def test_stall_fails_readiness_then_liveness(stall_timeout: float, readiness: float, liveness: float) -> None:
    """Each probe fails just above its limit and not at it; startup never fails; a heartbeat restores both."""
    health, clock = make_health(stall_timeout)
    health.set_loaded("the book")
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
    health.set_loaded("the book")
    health.set_exhausted(clock.now, 4)
    clock.advance(1.0)
    assert health.check_readiness().ok
    clock.advance(30.0)
    health.record_heartbeat()
    assert health.check_readiness().reason == "slots: all 4 held by detached calls for 31.0s, limit 30s"
    health.set_exhausted(None, 4)
    assert health.check_readiness().ok


def test_heartbeat_from_the_future() -> None:
    """A heartbeat that is later than the time that a probe's thread has read counts as now."""
    health, clock = make_health()
    clock.advance(-100.0)
    assert health.check_liveness().checks[0].detail.startswith("last heartbeat 0.0s ago")


def test_ready_hook_result() -> None:
    """The result of the ready hook counts for readiness, with its reason or a default."""
    health, _ = make_health()
    health.set_loaded("the book")
    health.set_ready_hook_result(ok=False, detail="")
    assert (health.check_readiness().ok, health.check_readiness().reason) == (False, "ready_hook: not ready")
    health.set_ready_hook_result(ok=True, detail="")
    assert (health.check_readiness().ok, health.check_readiness().reason) == (True, "")


def test_all_failed_checks_are_in_the_reason() -> None:
    """If several checks fail, the reason has each of them."""
    health, clock = make_health()
    health.set_progress("entry 1 of 2")
    health.set_draining()
    clock.advance(60)
    assert (
        health.check_readiness().reason
        == "event_loop: last heartbeat 60.0s ago, limit 5s; phase: draining; answerer: entry 1 of 2"
    )
