"""The heartbeat, and the question whether the code is ready."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from service.guards import heartbeat
from service.guards.health import Health
from tests.fakes import Clock, settled, until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses, so that tests wait for events that come soon."""
    monkeypatch.setattr(heartbeat, "BEAT", 0.001)
    monkeypatch.setattr(heartbeat, "READY_EVERY", 0.005)


async def test_the_loop_beats_and_tells_its_lag() -> None:
    """Each wake-up beats, and tells how late it came, never less than nothing."""
    clock = Clock()
    health = Health(30.0, clock=clock)
    lags: list[float] = []
    async with settled(asyncio.create_task(heartbeat.beat(health, lags.append))):
        clock.advance(100.0)
        assert not health.liveness().ok
        await until(lambda: health.liveness().ok and len(lags) > 2)
    assert min(lags) >= 0.0


async def fails() -> tuple[bool, str]:
    """Fail, as a hook may."""
    raise ValueError("a secret")


async def hangs() -> tuple[bool, str]:
    """Never return."""
    await asyncio.Event().wait()
    return True, ""


async def says_no() -> tuple[bool, str]:
    """Say no, with a reason."""
    return False, "the model is cold"


HOOKS = {
    fails: "code: its ready hook raised ValueError",
    hangs: "code: its ready hook took longer than 0.005s",
    says_no: "code: the model is cold",
}


@pytest.mark.parametrize(("hook", "reason"), HOOKS.items())
async def test_a_hook_that_does_not_say_yes(hook: Callable[[], Awaitable[tuple[bool, str]]], reason: str) -> None:
    """No, a failure and silence all mean not ready, with a reason that tells nothing internal."""
    health = Health(30.0)
    health.loaded("the code")
    async with settled(asyncio.create_task(heartbeat.watch_ready(health, hook))):
        await until(lambda: not health.readiness().ok)
    assert health.readiness().reason == reason


async def test_the_hook_is_asked_again_and_again() -> None:
    """What the hook says later counts: readiness comes and goes with it, also after a failure."""
    health = Health(30.0)
    health.loaded("the code")
    answers: Iterator[ValueError | tuple[bool, str]] = iter([ValueError(), (True, ""), (False, "no"), (True, "")])
    seen = []

    async def ready() -> tuple[bool, str]:
        seen.append(health.readiness().ok)
        answer = next(answers, (True, ""))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with settled(asyncio.create_task(heartbeat.watch_ready(health, ready))):
        await until(lambda: len(seen) >= 5)
    assert seen[:5] == [True, False, True, False, True]
