"""Stacks in the log: of tasks and threads, on a wish, and once for each stall."""

import asyncio
import io
from pathlib import Path

import pytest

from service.telemetry import stacks
from service.telemetry.watchdog import Watchdog
from tests.fakes import Clock, settled
from tests.telemetry.captured import Captured


async def outer(gate: asyncio.Event) -> None:
    """Wait in another function."""
    await inner(gate)


async def inner(gate: asyncio.Event) -> None:
    """Wait."""
    await gate.wait()


async def test_a_task_is_told_down_to_what_it_waits_for() -> None:
    """All that a task awaits stands in its stack, equal ones are told once, and no values are."""
    gate = asyncio.Event()
    tasks = [asyncio.create_task(outer(gate)) for _ in range(3)]
    await asyncio.sleep(0)
    with Captured() as log:
        dumped = stacks.dump(asyncio.get_running_loop(), "the test")
    for task in tasks:
        async with settled(task):
            pass
    (first,) = log.lines("stacks")
    (waiting,) = [line for line in log.lines("stack of a task") if "in inner" in line["stack"]]
    assert (first["reason"], first["tasks"], waiting["tasks"]) == ("the test", dumped.tasks, 3)
    assert waiting["stack"].index("in outer") < waiting["stack"].index("in inner")
    assert any(line["thread"] == "MainThread" for line in log.lines("stack of a thread"))


async def test_different_stacks_are_bounded() -> None:
    """However many tasks differ, so many are logged, and the rest is a number."""
    gate = asyncio.Event()
    names: dict[str, object] = {"gate": gate}
    source = "\n".join(f"async def f{n}(): await gate.wait()" for n in range(stacks.DIFFERENT + 5))
    exec(source, names)
    tasks = [asyncio.create_task(names[f"f{n}"]()) for n in range(stacks.DIFFERENT + 5)]  # type: ignore[operator] # they are functions
    await asyncio.sleep(0)
    with Captured() as log:
        stacks.dump(asyncio.get_running_loop(), "the test")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert len(log.lines("stack of a task")) == stacks.DIFFERENT
    assert log.lines("more stacks of tasks")[0]["left_out"] >= 5


def test_a_stall_is_told_once() -> None:
    """Beyond the limit the stacks are logged, not again in the same stall, and again in the next, however soon."""
    times = iter((4.9, 5.1, 9.0, 0.1, 6.0, 5.5))
    dog = Watchdog(lambda: next(times), 5.0)
    with Captured() as log:
        for _ in range(6):
            dog.look()
        assert [line["reason"].split(",")[0] for line in log.lines("stacks")] == [
            "the main loop has not moved for 5.1s",
            "the main loop has not moved for 6.0s",
            "the main loop has not moved for 5.5s",
        ]


@pytest.mark.parametrize(("held", "events"), [(5.9, ["stacks"]), (6.1, ["stacks as plain text"])])
def test_a_stall_of_this_thread_too_is_told_once(tmp_path: Path, held: float, events: list[str]) -> None:
    """Where the timer that needs no lock has written the stacks, one line says so, and they are not logged again."""
    clock = Clock()
    with (tmp_path / "text").open("w") as file, Captured() as log:
        dog = Watchdog(lambda: held, 5.0, file=file, clock=clock)
        clock.advance(held)
        dog.woke()
        dog.look()
    assert [line["event"] for line in log.lines() if not line["event"].startswith("stack of")] == events
    assert f"for {held:.1f}s, limit 5s" in log.lines(events[0])[0]["reason"]


async def test_a_wish_is_heeded_by_the_thread() -> None:
    """Stopping waits until what was wished for is in the log; many wishes at once are one."""
    dog = Watchdog(lambda: 0.0, 60.0, file=None)
    with Captured() as log:
        for _ in range(50):
            dog.wish("SIGUSR1")
        dog.start(asyncio.get_running_loop())
        dog.stop()
        assert [line["reason"] for line in log.lines("stacks")] == ["SIGUSR1"]
        assert log.lines("stack of a thread")
    assert isinstance(log.stream, io.BytesIO)
