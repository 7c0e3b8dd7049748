"""Steps of the graceful shutdown that need no server."""

import asyncio
import threading

from askd.process.server import shutdown_step
from askd.process.shutdown import run_in_daemon_thread
from tests.support.log_capture import LogCapture


async def test_blocking_work_is_abandoned_at_its_time_limit() -> None:
    """Work that exceeds its time limit goes on in a daemon thread, which does not keep the process alive."""
    gate, threads = threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        gate.wait()

    assert await run_in_daemon_thread(lambda: None, 5.0)
    assert not await run_in_daemon_thread(hang, 0.01)
    assert [thread.daemon for thread in threads] == [True]
    gate.set()
    await asyncio.to_thread(threads[0].join)


def test_step_is_logged_when_it_ends() -> None:
    """The line of a step has its number, its name, its time limit and its duration."""
    with LogCapture() as log:
        with shutdown_step("finish_requests", 2.5, level="info"):
            assert not log.lines("shutdown_step")
        (line,) = log.lines("shutdown_step")
    assert (line["level"], line["step"], line["name"], line["bound_ms"]) == ("info", 4, "finish_requests", 2500)
    assert line["duration_ms"] >= 0
