"""The kinds of code that the limiter must be right for, as the simulation runs them."""

import asyncio
import dataclasses
import functools

from tests.guards.simulation import Code, Process


async def never_awaits(process: Process) -> None:
    """Burn 4 ms in one step."""
    process.burn(0.004)


async def awaits_between(process: Process) -> None:
    """Burn 4 ms in four steps."""
    for _ in range(4):
        process.burn(0.001)
        await asyncio.sleep(0)


async def threads(process: Process) -> None:
    """Burn 4 ms in a thread."""
    await process.thread(0.0, 0.004)


async def waits_a_second(process: Process) -> None:
    """Wait about a second for a model."""
    await process.wait(process.chance.uniform(0.8, 1.2))


async def mixed(process: Process) -> None:
    """Wait about half a second, then burn 4 ms."""
    await process.wait(process.chance.uniform(0.3, 0.7))
    process.burn(0.004)


async def slower(process: Process) -> None:
    """Burn 4 ms, and from 12 s on 40 ms."""
    process.burn(0.004 if process.loop.now < 12.0 else 0.040)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of code, and how many of its calls one process can do in a second; `ceiling` where it runs in threads."""

    code: Code
    capacity: float
    ceiling: int | None = None


KINDS = {
    "never awaits: 4 ms CPU": Kind(never_awaits, 250),
    "awaits between: 4 ms CPU": Kind(awaits_between, 250),
    "in threads: 4 ms CPU": Kind(threads, 250, 64),
    "waits 0.5 s, then 4 ms CPU": Kind(mixed, 250),
    "waits 1 s": Kind(waits_a_second, 500),
    "4 ms, then 40 ms CPU": Kind(slower, 250),
}
"""What the picture shows; the capacity of code that only waits is that of 500 places."""


@functools.cache
def steady(name: str, load: float, seconds: float = 20.0) -> Process:
    """Run a kind under so many times its capacity; the first half is for warming up."""
    kind = KINDS[name]
    return Process(kind.code, lambda _now: load * kind.capacity, seconds, threads=kind.ceiling).run()


@functools.cache
def flooded(name: str) -> Process:
    """Run a kind at half of its capacity, from 5 s to 20 s at ten times that, and at half of it again until 30 s."""
    kind = KINDS[name]

    def rate(now: float) -> float:
        return kind.capacity * (10.0 if 5.0 <= now < 20.0 else 0.5)

    return Process(kind.code, rate, 30.0, threads=kind.ceiling).run()
