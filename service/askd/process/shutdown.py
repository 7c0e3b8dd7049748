"""The end of a shutdown: flush the telemetry and end the threads, each within a time limit."""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from askd.telemetry.log_stream import log_stream
from askd.telemetry.tracing import RequestTracer

INTERRUPT_GRACE_PERIOD: Final = 1.0
"""Seconds for interrupted requests to send their 503. Code that suppresses its cancellation gets no more time."""

_log = structlog.get_logger("askd")


async def flush_telemetry(tracer: RequestTracer | None, timeout: float) -> None:
    """Send the remaining traces, write the remaining log lines and end the thread pool, all at the same time.

    Args:
        tracer: Tracer to close, or None if tracing is disabled.
        timeout: Time limit in seconds.
    """
    traces = run_in_daemon_thread(tracer.close, timeout) if tracer else asyncio.sleep(0, result=True)
    # LogStream.close enforces the time limit itself; the extra second lets it return.
    log_lines = run_in_daemon_thread(lambda: log_stream.close(timeout), timeout + INTERRUPT_GRACE_PERIOD)
    _, traces_flushed, _ = await asyncio.gather(close_executor(timeout), traces, log_lines)
    if not traces_flushed:
        _log.warning("trace_flush_timeout", timeout_seconds=timeout)


async def close_executor(timeout: float) -> None:
    """Shut down the loop's thread pool, as asyncio does at its end, but wait for at most `timeout` seconds."""
    closing = asyncio.create_task(asyncio.get_running_loop().shutdown_default_executor())
    await asyncio.wait({closing}, timeout=timeout)


async def run_in_daemon_thread(work: Callable[[], object], timeout: float) -> bool:
    """Run blocking work in a thread that does not keep the process alive.

    Returns False if it takes longer than `timeout` seconds; it then goes on in the background.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        work()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the result
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="askd-flush", daemon=True).start()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await done.wait()
    return done.is_set()


def join_threads(timeout: float) -> list[str]:
    """Wait up to `timeout` seconds for threads that keep the process alive. Returns the names of those that remain."""
    deadline = time.monotonic() + timeout
    main_thread = threading.main_thread()
    threads = [thread for thread in threading.enumerate() if not thread.daemon and thread is not main_thread]
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return [thread.name for thread in threads if thread.is_alive() and not sys.is_finalizing()]
