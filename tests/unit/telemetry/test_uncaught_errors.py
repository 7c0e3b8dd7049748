"""Errors that nothing catches: one line each, in the form of all others."""

import asyncio
import contextvars
import gc
import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

from service.telemetry import logs
from service.telemetry.exchange import CURRENT, Exchange
from tests.telemetry.captured import Captured


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_logged() -> None:
    """What a thread lets escape is one line with its name and traceback; SystemExit is none."""

    def die(error: BaseException) -> None:
        raise error

    with Captured() as log:
        for error in (ValueError("why"), SystemExit(1)):
            thread = threading.Thread(target=die, args=(error,), name="worker")
            thread.start()
            thread.join()
        (line,) = log.lines()
    assert (line["event"], line["thread"], "ValueError: why" in line["exception"]) == (
        "uncaught error in a thread",
        "worker",
        True,
    )


class Doomed:
    """Fails as it is freed."""

    def __del__(self) -> None:
        raise ValueError("why")


def test_what_a_finaliser_raises_is_logged() -> None:
    """Even where nothing can catch it, an error is one line of the same form."""
    with Captured() as log:
        Doomed()
        gc.collect()
        (line,) = log.lines("uncaught error")
    assert ("ValueError: why" in line["exception"], line["level"]) == (True, "error")


async def test_what_the_loop_is_told_is_logged() -> None:
    """An error in a callback is one line with its traceback, and one without an error has none."""
    loop = asyncio.get_running_loop()
    with Captured() as log:
        logs.loop_failed(loop, {"message": "odd", "exception": ValueError("why")})
        logs.loop_failed(loop, {"message": "odd"})
        lines = log.lines("uncaught error in the event loop")
    assert [(line["detail"], "exception" in line) for line in lines] == [("odd", True), ("odd", False)]


async def test_what_a_task_of_an_exchange_lets_escape_has_its_id() -> None:
    """An error of a task that the code made is under the id that the client got, where Python tells it."""
    context = contextvars.copy_context()
    context.run(CURRENT.set, Exchange(id="abc", method="GET", route="/ask", arrived=0.0))
    task = types.SimpleNamespace(get_context=lambda: context)
    with Captured() as log:
        logs.loop_failed(asyncio.get_running_loop(), {"message": "odd", "exception": ValueError("why"), "task": task})
        logs.loop_failed(asyncio.get_running_loop(), {"message": "odd", "future": object()})
        lines = log.lines("uncaught error in the event loop")
    assert [line.get("id") for line in lines] == ["abc", None]


@pytest.mark.skipif(not hasattr(asyncio.Task, "get_context"), reason="Python 3.11 tells no task's context")
async def test_a_real_task_tells_its_exchange() -> None:
    """A task that was made in an exchange, and is dropped with its error, is logged under that exchange's id."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_failed)

    async def fail() -> None:
        raise ValueError("why")

    with Captured() as log:
        CURRENT.set(Exchange(id="abc", method="GET", route="/ask", arrived=0.0))
        tasks = [asyncio.create_task(fail())]
        CURRENT.set(None)
        await asyncio.wait(tasks)
        tasks.clear()
        gc.collect()
        (line,) = log.lines("uncaught error in the event loop")
    assert (line["id"], "ValueError: why" in line["exception"]) == ("abc", True)


def test_a_process_that_dies_says_so_in_json() -> None:
    """What ends the process is one JSON line on standard error, and nothing else is there."""
    code = "from service.telemetry import logs; logs.configure('info', 'auto'); raise ValueError('why')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        capture_output=True,
        check=False,
        text=True,
    )
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, line["level"], "ValueError: why" in line["exception"]) == (1, "error", True)
