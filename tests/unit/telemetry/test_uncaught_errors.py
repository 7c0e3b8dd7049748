"""Uncaught exceptions are logged, one line each."""

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

from askd.context import RequestContext, request_context_var
from askd.telemetry import log_config
from tests.support.log_capture import LogCapture


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_exceptions_are_logged() -> None:
    """An uncaught exception of a thread is one line with name and traceback; SystemExit is not logged."""

    def fail(error: BaseException) -> None:
        raise error

    with LogCapture() as log:
        for error in (ValueError("why"), SystemExit(1)):
            thread = threading.Thread(target=fail, args=(error,), name="worker")
            thread.start()
            thread.join()
        (line,) = log.lines()
    assert (line["event"], line["thread"], "ValueError: why" in line["exception"]) == (
        "uncaught_thread_exception",
        "worker",
        True,
    )


class FailingFinalizer:
    """An object whose finalizer raises."""

    def __del__(self) -> None:
        raise ValueError("why")


def test_finalizer_exceptions_are_logged() -> None:
    """An exception that no code can catch is one line of the same form."""
    with LogCapture() as log:
        FailingFinalizer()
        gc.collect()
        (line,) = log.lines("unraisable_exception")
    assert ("ValueError: why" in line["exception"], line["level"]) == (True, "error")


async def test_event_loop_errors_are_logged() -> None:
    """An exception in a callback is one line with a traceback; a report without an exception is logged without one."""
    loop = asyncio.get_running_loop()
    with LogCapture() as log:
        log_config.handle_loop_exception(loop, {"message": "callback failed", "exception": ValueError("why")})
        log_config.handle_loop_exception(loop, {"message": "callback failed"})
        lines = log.lines("uncaught_event_loop_exception")
    assert [(line["detail"], "exception" in line) for line in lines] == [
        ("callback failed", True),
        ("callback failed", False),
    ]


async def test_task_errors_have_the_request_id() -> None:
    """The exception of a task has the id of the request that created the task."""
    context = contextvars.copy_context()
    context.run(request_context_var.set, RequestContext(request_id="abc", method="GET", route="/ask", arrived_at=0.0))
    task = types.SimpleNamespace(get_context=lambda: context)
    with LogCapture() as log:
        log_config.handle_loop_exception(
            asyncio.get_running_loop(), {"message": "callback failed", "exception": ValueError("why"), "task": task}
        )
        log_config.handle_loop_exception(asyncio.get_running_loop(), {"message": "callback failed", "future": object()})
        lines = log.lines("uncaught_event_loop_exception")
    assert [line.get("request_id") for line in lines] == ["abc", None]


@pytest.mark.skipif(not hasattr(asyncio.Task, "get_context"), reason="Python 3.11 lacks Task.get_context")
async def test_dropped_tasks_have_the_request_id() -> None:
    """A task that is garbage collected with its exception is logged with the id of its request."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_config.handle_loop_exception)

    async def fail() -> None:
        raise ValueError("why")

    with LogCapture() as log:
        request_context_var.set(RequestContext(request_id="abc", method="GET", route="/ask", arrived_at=0.0))
        tasks = [asyncio.create_task(fail())]
        request_context_var.set(None)
        await asyncio.wait(tasks)
        tasks.clear()
        gc.collect()
        (line,) = log.lines("uncaught_event_loop_exception")
    assert (line["request_id"], "ValueError: why" in line["exception"]) == ("abc", True)


def test_exception_that_ends_the_process_is_json() -> None:
    """An exception that ends the process is one JSON line, and the only output on standard error."""
    code = "from askd.telemetry import log_config as c; c.configure('info', 'auto'); raise ValueError('why')"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env=dict(os.environ),
        capture_output=True,
        check=False,
        text=True,
    )
    (line,) = map(json.loads, result.stderr.splitlines())
    assert (result.returncode, line["level"], "ValueError: why" in line["exception"]) == (1, "error", True)
