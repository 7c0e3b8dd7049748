"""Heartbeat and ready hook: the tasks that feed the health checks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from askd.guards import health as health_module
from askd.guards.health import Health
from tests.support.fakes import Clock, cancelled_on_exit, wait_until


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
    health.set_loaded("the code")
    async with cancelled_on_exit(asyncio.create_task(health_module.poll_ready_hook(health, hook))):
        await wait_until(lambda: not health.check_readiness().ok)
    assert health.check_readiness().reason == reason


async def test_hook_is_polled() -> None:
    """Readiness follows the results of the hook, also after an exception."""
    health = Health(30.0)
    health.set_loaded("the code")
    results: Iterator[ValueError | tuple[bool, str]] = iter([ValueError(), (True, ""), (False, "no"), (True, "")])
    readiness_before_call = []

    async def ready() -> tuple[bool, str]:
        readiness_before_call.append(health.check_readiness().ok)
        result = next(results, (True, ""))
        if isinstance(result, Exception):
            raise result
        return result

    async with cancelled_on_exit(asyncio.create_task(health_module.poll_ready_hook(health, ready))):
        await wait_until(lambda: len(readiness_before_call) >= 5)
    assert readiness_before_call[:5] == [True, False, True, False, True]
