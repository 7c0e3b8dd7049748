"""Sampling of the event-loop lag for the adaptive concurrency limit."""

import asyncio
import random

import pytest

from askd.guards.concurrency import ConcurrencyLimiter, sample_loop_lag
from askd.guards.concurrency.adaptive import SAMPLE_INTERVAL
from tests.support.simulated_server import SimulatedLoop


class RecordingLimiter(ConcurrencyLimiter):
    """A limiter that records the reported lags."""

    def __init__(self, loop: SimulatedLoop, concurrency: int | str = "auto") -> None:
        super().__init__(
            "auto" if concurrency == "auto" else 3,
            queue_size=10,
            target_delay=0.1,
            max_concurrency=None,
            clock=loop.time,
        )
        self.lags: list[float] = []

    def record_loop_lag(self, seconds: float, *, accept_seconds: float = 0.0) -> None:
        """Record the lag."""
        self.lags.append(seconds)


def sample_for_one_second(
    *, busy: bool = True, step_seconds: float = 0.0, concurrency: int | str = "auto"
) -> list[float]:
    """Return the lags of one second, in which a task uses `step_seconds` of CPU in every second iteration."""
    loop = SimulatedLoop(iter(()), lambda _: None, random.Random(1))
    limiter = RecordingLimiter(loop, concurrency)

    async def use_cpu() -> None:
        while step_seconds:
            loop.use_cpu(step_seconds)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def main() -> None:
        permit = limiter.admit(0.0) if busy else None
        tasks = [asyncio.create_task(sample_loop_lag(limiter, clock=loop.time)), asyncio.create_task(use_cpu())]
        await loop.sleep(1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (permit is not None) == busy  # held until here

    loop.run_until_complete(main())
    loop.close()
    return limiter.lags


def test_idle_loop_has_no_lag() -> None:
    """While the limiter is busy, there is a sample every 10 ms; without CPU use its lag is almost 0."""
    lags = sample_for_one_second()
    assert len(lags) == pytest.approx(1.0 / SAMPLE_INTERVAL, rel=0.2)
    assert max(lags) < 0.001


def test_long_iterations_are_detected_between_short_ones() -> None:
    """Every sample shows the 30 ms step that runs in every second iteration."""
    lags = sample_for_one_second(step_seconds=0.03)
    assert len(lags) > 10
    assert min(lags) >= 0.029


@pytest.mark.parametrize("arguments", [{"busy": False}, {"concurrency": 3}])
def test_no_samples_if_unused(arguments: dict[str, int]) -> None:
    """An idle limiter and one with a fixed limit get no samples."""
    assert sample_for_one_second(**arguments) == []  # type: ignore[arg-type]  # mypy cannot match the keys with the parameters
