"""Health: what probes read, with the test's own clock."""

import pytest

from service.guards.health import Health, Phase
from tests.fakes import Clock


def health(stall_limit: float = 30.0) -> tuple[Health, Clock]:
    """Return a health and the clock that it reads."""
    clock = Clock()
    return Health(stall_limit, clock=clock), clock


def oks(health: Health) -> tuple[bool, bool, bool]:
    """Return liveness, readiness and startup."""
    return health.liveness().ok, health.readiness().ok, health.startup().ok


def test_the_phases() -> None:
    """A start is live alone; a loaded answerer makes ready and started; a drain ends readiness alone."""
    it, _ = health()
    assert (it.phase, oks(it), it.answers) == (Phase.STARTING, (True, False, False), False)
    it.loaded("the book")
    assert (it.phase, oks(it), it.answers) == (Phase.READY, (True, True, True), True)
    it.draining()
    assert (it.phase, oks(it), it.answers) == (Phase.DRAINING, (True, False, True), True)


def test_a_load_that_ends_in_the_drain_does_not_end_the_drain() -> None:
    """A server that is told to stop while it loads stays unready."""
    it, _ = health()
    it.draining()
    it.loaded("the book")
    assert (it.phase, oks(it)) == (Phase.DRAINING, (True, False, True))


def test_a_drain_during_the_load_does_not_answer() -> None:
    """A stop that comes before the answerer is loaded does not make it look loaded."""
    it, _ = health()
    it.draining()
    assert it.answers is False


@pytest.mark.parametrize(("limit", "readiness", "liveness"), [(30.0, 5.0, 30.0), (6.0, 5.0, 6.0), (3.0, 3.0, 3.0)])
def test_a_stall_fails_readiness_then_liveness(limit: float, readiness: float, liveness: float) -> None:
    """Each probe fails just beyond its own limit and not at it; startup never does; a beat mends both."""
    it, clock = health(limit)
    it.loaded("the book")
    clock.advance(readiness)
    assert it.readiness().ok
    clock.advance(0.01)
    assert not it.readiness().ok
    clock.advance(liveness - readiness - 0.01)
    assert it.liveness().ok
    clock.advance(0.02)
    assert (oks(it), it.liveness().reason) == (
        (False, False, True),
        f"loop: moved {liveness:.1f}s ago, limit {limit:g}s",
    )
    it.beat()
    assert oks(it) == (True, True, True)


def test_a_clock_that_steps_back_is_no_stall() -> None:
    """A beat from the future, as another thread may read it, counts as now."""
    it, clock = health()
    clock.advance(-100.0)
    assert it.liveness().checks[0].detail.startswith("moved 0.0s ago")


def test_the_codes_own_word() -> None:
    """What the code says of itself counts for readiness, with its reason or a plain one."""
    it, _ = health()
    it.loaded("the book")
    it.code_ready(ok=False, detail="")
    assert (it.readiness().ok, it.readiness().reason) == (False, "code: not ready")
    it.code_ready(ok=True, detail="")
    assert (it.readiness().ok, it.readiness().reason) == (True, "")


def test_all_reasons_are_given() -> None:
    """Where several checks fail, each is named."""
    it, clock = health()
    it.progress("entry 1 of 2")
    it.draining()
    clock.advance(60)
    assert it.readiness().reason == "loop: moved 60.0s ago, limit 5s; phase: draining; answerer: entry 1 of 2"
