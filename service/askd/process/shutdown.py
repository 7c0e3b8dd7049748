"""The six steps of the graceful shutdown. Each is logged when it ends; steps 2 and 4 to 6 have a time limit.

1. `fail_readiness`: the readiness probe returns 503; the liveness probe still returns 200.
2. `drain_delay`: keep serving, with `Connection: close`, until load balancers have noticed.
3. `stop_listening`: serve the connections in the accept queue, then close the listeners.
4. `finish_requests`: wait for requests in flight, at most ASKD_DRAIN_TIMEOUT. Those that still run then are interrupted
   and get a 503, or an `error` event in a stream. aiohttp's own cleanup would close their connections without one.
5. `close_answerer`: close the remaining connections, stop background tasks and run the answerer's shutdown hook.
6. `flush_telemetry`: send the remaining traces and write the remaining log lines.
"""

import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, get_args

import structlog

from askd.api.instrumentation import Instrumentation
from askd.errors import Unavailable
from askd.httpserver.server import HttpServer
from askd.telemetry.log_stream import log_stream
from askd.telemetry.tracing import RequestTracer

IDLE_LINGER: Final = 0.1
"""Seconds for which idle connections stay open once no request is in flight: requests may be on their way."""
INTERRUPT_GRACE_PERIOD: Final = 1.0
"""Seconds for interrupted requests to send their 503. Code that suppresses its cancellation gets no more time."""

StepName = Literal[
    "fail_readiness", "drain_delay", "stop_listening", "finish_requests", "close_answerer", "flush_telemetry"
]
_STEP_NAMES: Final = get_args(StepName)

_log = structlog.get_logger("askd")


class ShutdownLimits(NamedTuple):
    """Time limits of the steps in seconds."""

    drain_delay: float
    finish_requests: float
    close_answerer: float
    flush_telemetry: float


class GracefulShutdown:
    """The steps of one server.

    Args:
        server: The server.
        instrumentation: Counts the requests in flight.
        tracer: Closed at the end. None if tracing is disabled.
        limits: Time limits.
        stop_probes: Stops the ops port and the watchdog. Called after the answerer is closed, before the flush.
        log_level: debug for shutdowns that nobody needs to follow.
    """

    def __init__(
        self,
        server: HttpServer,
        instrumentation: Instrumentation,
        tracer: RequestTracer | None,
        *,
        limits: ShutdownLimits,
        stop_probes: Callable[[], None],
        log_level: Literal["debug", "info"],
    ) -> None:
        self._server = server
        self._instrumentation = instrumentation
        self._tracer = tracer
        self._limits = limits
        self._stop_probes = stop_probes
        self.log_level = log_level

    async def begin(self, stop_signal: signal.Signals) -> None:
        """Run steps 1 and 2. SIGINT skips the drain delay: no load balancer is involved."""
        with self.step("fail_readiness"):
            self._server.connections.drain()  # /readyz returns 503, and responses say `Connection: close`
        delay = 0.0 if stop_signal is signal.SIGINT else self._limits.drain_delay
        in_flight = self._instrumentation.in_flight
        _log.info("draining", signal=stop_signal.name, delay_seconds=delay, in_flight=in_flight)
        with self.step("drain_delay", delay):
            await asyncio.sleep(delay)

    async def finish(self) -> None:
        """Run steps 3 to 6."""
        limits = self._limits
        with self.step("stop_listening"):
            self._server.stop_listening()
        with self.step("finish_requests", limits.finish_requests):
            await self._finish_requests(limits.finish_requests)
        with self.step("close_answerer", limits.close_answerer):
            await self._server.close()
        with self.step("flush_telemetry", limits.flush_telemetry):
            self._stop_probes()
            await flush_telemetry(self._tracer, limits.flush_telemetry)

    async def _finish_requests(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for requests in flight, and interrupt those that remain."""
        instrumentation, loop = self._instrumentation, asyncio.get_running_loop()
        deadline = loop.time() + timeout
        await asyncio.sleep(0)  # lets requests begin that have arrived already
        is_idle = await instrumentation.wait_until_idle(timeout)
        if is_idle and self._server.connections.all():
            await asyncio.sleep(IDLE_LINGER)
            is_idle = await instrumentation.wait_until_idle(max(deadline - loop.time(), 0.0))
        if is_idle:
            return
        _log.warning("drain_timeout", requests=instrumentation.in_flight, timeout_seconds=timeout)
        self._server.cancel_requests(
            Unavailable("The server is shutting down and could not finish this answer. Send the request again.")
        )
        await instrumentation.wait_until_idle(INTERRUPT_GRACE_PERIOD)

    @contextlib.contextmanager
    def step(self, name: StepName, bound: float = 0.0) -> Iterator[None]:
        """Log `shutdown_step` when the block ends.

        Args:
            name: The step.
            bound: Its configured time limit in seconds; 0 if the step does not wait. It is only logged: the block keeps
                to it, and may take INTERRUPT_GRACE_PERIOD more for interrupted requests.
        """
        started = time.monotonic()
        try:
            yield
        finally:
            log = _log.debug if self.log_level == "debug" else _log.info
            log(
                "shutdown_step",
                step=_STEP_NAMES.index(name) + 1,
                name=name,
                bound_ms=round(bound * 1000, 1),
                duration_ms=round((time.monotonic() - started) * 1000, 1),
            )


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
