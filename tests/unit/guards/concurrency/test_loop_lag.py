"""How late the loop is: what is told to a limiter that finds its limit itself, and when."""

import asyncio
import random

import pytest

from service.guards.limiter import Limiter, watch
from service.guards.limiter.turns import TICK
from tests.guards.simulation import Loop


class Told(Limiter):
    """A limiter that notes what it is told of the loop's lag."""

    def __init__(self, loop: Loop, places: int | str = "auto") -> None:
        super().__init__("auto" if places == "auto" else 3, queue=10, budget=0.1, ceiling=None, clock=loop.time)
        self.lags: list[float] = []

    def lag(self, seconds: float, *, door: float = 0.0) -> None:
        """Note it."""
        self.lags.append(seconds)


def told(*, busy: bool = True, step: float = 0.0, places: int | str = "auto") -> list[float]:
    """Return what is told within a second in which a task burns for `step` in every second turn."""
    loop = Loop(iter(()), lambda _: None, random.Random(1))
    limiter = Told(loop, places)

    async def burn() -> None:
        while step:
            loop.burn(step)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def main() -> None:
        ticket = limiter.admit(0.0) if busy else None
        tasks = [asyncio.create_task(watch(limiter, clock=loop.time)), asyncio.create_task(burn())]
        await loop.elapse(1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (ticket is not None) == busy

    loop.run_until_complete(main())
    loop.close()
    return limiter.lags


def test_a_loop_with_nothing_to_do_is_on_time() -> None:
    """While the limiter is busy there is a sample every 10 ms, of next to nothing."""
    lags = told()
    assert len(lags) == pytest.approx(1.0 / TICK, rel=0.2)
    assert max(lags) < 0.001


def test_a_long_turn_is_seen_also_where_every_other_is_short() -> None:
    """A step of 30 ms in every second turn is told in every sample."""
    lags = told(step=0.03)
    assert len(lags) > 10
    assert min(lags) >= 0.029


@pytest.mark.parametrize("how", [{"busy": False}, {"places": 3}])
def test_nothing_is_told_where_nobody_needs_it(how: dict[str, int]) -> None:
    """An idle limiter, and one whose limit is a number, are told nothing."""
    assert told(**how) == []  # type: ignore[arg-type]  # each names one parameter of its own type
