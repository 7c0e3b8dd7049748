"""The watchdog: stacks of tasks and threads in the log, on request and once per stall."""

import asyncio
import faulthandler
import io
from pathlib import Path

import pytest

from askd.telemetry import watchdog
from askd.telemetry.watchdog import Watchdog
from tests.support.fakes import Clock, cancelled_on_exit, wait_until
from tests.support.log_capture import LogCapture


async def outer(gate: asyncio.Event) -> None:
    """Await `inner`."""
    await inner(gate)


async def inner(gate: asyncio.Event) -> None:
    """Wait for the event."""
    await gate.wait()


async def test_task_stacks_contain_the_await_chain() -> None:
    """The stack of a task has all coroutines that it awaits; equal stacks are logged once."""
    gate = asyncio.Event()
    tasks = [asyncio.create_task(outer(gate)) for _ in range(3)]
    await asyncio.sleep(0)
    with LogCapture() as log:
        counts = watchdog.dump_stacks(asyncio.get_running_loop(), "the test")
    for task in tasks:
        async with cancelled_on_exit(task):
            pass
    (dump,) = log.lines("stack_dump")
    (waiting,) = [line for line in log.lines("task_stack") if "in inner" in line["stack"]]
    assert (dump["reason"], dump["tasks"], waiting["tasks"]) == ("the test", counts.tasks, 3)
    assert waiting["stack"].index("in outer") < waiting["stack"].index("in inner")
    assert any(line["thread"] == "MainThread" for line in log.lines("thread_stack"))


async def test_number_of_task_stacks_is_limited() -> None:
    """At most `MAX_TASK_STACKS` different stacks are logged, and the number of the others."""
    gate = asyncio.Event()
    names: dict[str, object] = {"gate": gate}
    source = "\n".join(f"async def f{n}(): await gate.wait()" for n in range(watchdog.MAX_TASK_STACKS + 5))
    exec(source, names)
    tasks = [asyncio.create_task(names[f"f{n}"]()) for n in range(watchdog.MAX_TASK_STACKS + 5)]  # type: ignore[operator] # they are functions
    await asyncio.sleep(0)
    with LogCapture() as log:
        watchdog.dump_stacks(asyncio.get_running_loop(), "the test")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert len(log.lines("task_stack")) == watchdog.MAX_TASK_STACKS
    assert log.lines("task_stacks_omitted")[0]["count"] >= 5


def test_stacks_are_logged_once_per_stall() -> None:
    """A stall over the limit is logged once; the next stall is logged again, however soon it comes."""
    times = iter((4.9, 5.1, 9.0, 0.1, 6.0, 5.5))
    subject = Watchdog(lambda: next(times), 5.0)
    with LogCapture() as log:
        for _ in range(6):
            subject.check()
        assert [line["reason"].split(",")[0] for line in log.lines("stack_dump")] == [
            "the main loop has been stalled for 5.1s",
            "the main loop has been stalled for 6.0s",
            "the main loop has been stalled for 5.5s",
        ]


@pytest.mark.parametrize(("held", "events"), [(5.9, ["stack_dump"]), (6.1, ["stack_dump_as_plain_text"])])
def test_gil_stall_is_logged_once(tmp_path: Path, held: float, events: list[str]) -> None:
    """If the faulthandler timer has written the stacks, one line refers to them and they are not logged again."""
    clock = Clock()
    with (tmp_path / "text").open("w") as file, LogCapture() as log:
        subject = Watchdog(lambda: held, 5.0, file=file, clock=clock)
        clock.advance(held)
        subject.report_gil_stall()
        subject.check()
    assert [line["event"] for line in log.lines() if line["event"] != "thread_stack"] == events
    assert f"for {held:.1f}s, limit 5s" in log.lines(events[0])[0]["reason"]


async def test_requested_dumps_are_combined() -> None:
    """`stop` waits for the requested dump; several requests at once cause one dump."""
    subject = Watchdog(lambda: 0.0, 60.0, file=None)
    with LogCapture() as log:
        for _ in range(50):
            subject.request_dump("SIGUSR1")
        subject.start(asyncio.get_running_loop())
        subject.stop()
        assert [line["reason"] for line in log.lines("stack_dump")] == ["SIGUSR1"]
        assert log.lines("thread_stack")
    assert isinstance(log.stream, io.BytesIO)


async def test_watchdog_survives_its_failures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a thread for the timer, and after any exception, the watchdog still logs stacks on request."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("unable to start watchdog thread")

    def exit_thread() -> float:
        raise SystemExit

    monkeypatch.setattr(faulthandler, "dump_traceback_later", fail)
    with (tmp_path / "dump").open("w") as file, LogCapture() as log:
        subject = Watchdog(exit_thread, 10.0, poll_interval=0.001, file=file)
        subject.start(asyncio.get_running_loop())
        try:
            await wait_until(lambda: len(log.lines("stack_dump_failed")) >= 3)
            subject.request_dump("test")
            await wait_until(lambda: log.lines("stack_dump"))
        finally:
            subject.stop()
        assert len(log.lines("watchdog_timer_failed")) == 1
        assert not log.lines("stack_dump_as_plain_text")
