"""Steps of the graceful shutdown: each has a time limit, and each is logged when it ends.

1. `fail_readiness`: the readiness probe returns 503; the liveness probe still returns 200.
2. `drain_delay`: keep serving, with `Connection: close`, until load balancers have noticed.
3. `stop_listening`: serve the connections in the accept queue, then close the listeners.
4. `finish_requests`: wait for requests in flight. Those that exceed the limit get a 503 instead of a closed connection:
   aiohttp's own cleanup would cancel them without a response, after up to twice its time-out.
5. `close_answerer`: run the answerer's shutdown hook and stop background tasks.
6. `flush_telemetry`: send the remaining traces and write the remaining log lines.
"""

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

import structlog

from askd.api.instrumentation import Instrumentation
from askd.errors import Unavailable
from askd.httpserver.server import HttpServer
from askd.telemetry.log_stream import log_stream
from askd.telemetry.tracing import RequestTracer

IDLE_LINGER: Final = 0.1
"""Seconds for which idle connections stay open after the last response, to serve requests that are on their way."""
INTERRUPT_GRACE_PERIOD: Final = 1.0
"""Seconds for interrupted requests to send their 503. Code that suppresses its cancellation gets no more time."""

StepName = Literal[
    "fail_readiness", "drain_delay", "stop_listening", "finish_requests", "close_answerer", "flush_telemetry"
]
_STEP_NAMES: Final = get_args(StepName)

_log = structlog.get_logger("askd")


class ShutdownLog:
    """Logs the steps of the shutdown. `level` is debug for shutdowns that nobody needs to follow."""

    def __init__(self, level: Literal["debug", "info"] = "info") -> None:
        self.level = level

    @contextlib.contextmanager
    def step(self, name: StepName, bound: float = 0.0) -> Iterator[None]:
        """Log `shutdown_step` when the block ends.

        Args:
            name: The step.
            bound: Its configured time limit in seconds; 0 if the step does not wait. Interrupted requests get
                INTERRUPT_GRACE_PERIOD on top.
        """
        started = time.monotonic()
        try:
            yield
        finally:
            log = _log.debug if self.level == "debug" else _log.info
            log(
                "shutdown_step",
                step=_STEP_NAMES.index(name) + 1,
                name=name,
                bound_ms=round(bound * 1000, 1),
                duration_ms=round((time.monotonic() - started) * 1000, 1),
            )


async def finish_requests(server: HttpServer, instrumentation: Instrumentation, *, timeout: float) -> int:
    """Wait up to `timeout` seconds for requests in flight. Returns the number of requests that were interrupted."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    await asyncio.sleep(0)  # lets requests begin that have arrived already
    is_idle = await instrumentation.wait_until_idle(timeout)
    if is_idle and server.connections.all():
        await asyncio.sleep(IDLE_LINGER)
        is_idle = await instrumentation.wait_until_idle(max(deadline - loop.time(), 0.0))
    if is_idle:
        return 0
    interrupted = instrumentation.in_flight
    _log.warning("drain_timeout", requests=interrupted, timeout_seconds=timeout)
    server.cancel_requests(
        Unavailable("The server is shutting down and could not finish this answer. Send the request again.")
    )
    await instrumentation.wait_until_idle(INTERRUPT_GRACE_PERIOD)
    return interrupted


async def flush_telemetry(tracer: RequestTracer | None, timeout: float) -> None:
    """Send the remaining traces, write the remaining log lines and end the thread pool, all at the same time.

    Args:
        tracer: Tracer to close, or None if tracing is disabled.
        timeout: Time limit in seconds.
    """
    traces = run_in_daemon_thread(tracer.close, timeout) if tracer else asyncio.sleep(0, result=True)
    # LogOutput.close keeps the time limit itself; the margin lets it return.
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
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the result
            work()
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
