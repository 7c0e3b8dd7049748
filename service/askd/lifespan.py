"""Background work of an app: load the answerers, monitor them, and close them after the last response."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import structlog

from askd.api.served_answerers import GuardedAnswerer
from askd.guards.concurrency import sample_loop_lag
from askd.guards.health import Health, call_ready_hook, poll_ready_hook, run_heartbeat
from askd.models import ProgressMessage
from askd.telemetry import load_progress
from askd.telemetry.metrics import Metrics

_log = structlog.get_logger("askd")


class AnswererLifespan:
    """Loads, monitors and closes the answerers of a server.

    Args:
        answerers: The answerers, which are loaded one after another.
        health: Health of the server.
        metrics: Records the event-loop lag.
        close_timeout: Limit for closing each answerer, in seconds.
    """

    def __init__(
        self, answerers: Sequence[GuardedAnswerer], health: Health, metrics: Metrics, *, close_timeout: float
    ) -> None:
        self._answerers = tuple(answerers)
        self._health = health
        self._metrics = metrics
        self._close_timeout = close_timeout

    async def run(self, on_start: "Callable[[asyncio.Task[None]], None]") -> AsyncIterator[None]:
        """Cleanup context of the app: load the answerers in the background, and close them after the last response.

        `on_start` is called with the task of the load.
        """
        on_start(self._start())
        yield
        await self._stop()

    def _start(self) -> "asyncio.Task[None]":
        """Start the load, the heartbeat and the readiness checks. Returns the task of the load."""
        create = asyncio.create_task
        self._heartbeat_task = create(run_heartbeat(self._health, self._on_heartbeat))
        self._load_task = create(self._load())
        self._monitor_tasks = [create(sample_loop_lag(answerer.pipeline.limiter)) for answerer in self._answerers]
        self._monitor_tasks += [create(self._watch_readiness(answerer)) for answerer in self._answerers]
        return self._load_task

    async def _stop(self) -> None:
        """Cancel the background tasks and close the answerers."""
        tasks = {*self._monitor_tasks, self._load_task}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=self._close_timeout)
        closing = [asyncio.create_task(served.pipeline.answerer.close()) for served in self._answerers]
        _, overdue = await asyncio.wait(closing, timeout=self._close_timeout)
        for task in closing:
            if task in overdue:  # not waited for: its code may suppress the cancellation
                task.cancel()
                _log.warning("answerer_close_timeout", timeout_seconds=self._close_timeout)
            elif error := task.exception():
                _log.error("answerer_close_failed", exc_info=error)
        self._heartbeat_task.cancel()  # last: the liveness probe must succeed while the answerers close

    def _on_heartbeat(self, lag: float) -> None:
        self._metrics.event_loop_lag.observe(lag)
        for answerer in self._answerers:
            limiter = answerer.pipeline.limiter
            answerer.health.set_exhausted(limiter.exhausted_since, limiter.limit)

    async def _load(self) -> None:
        for answerer in self._answerers:
            await self._load_answerer(answerer)

    async def _load_answerer(self, served: GuardedAnswerer) -> None:
        """Load an answerer and pass its progress to the probes, which must not disclose the path of the code."""
        answerer, health = served.answerer, served.health
        file_name = answerer.name.rstrip("/").rpartition("/")[2]
        async with load_progress.show_progress() as show:

            def report(message: str) -> None:
                show(message)
                percent = f" ({message.fraction:.0%})" if isinstance(message, ProgressMessage) else ""
                health.set_progress(message.replace(answerer.name, file_name) + percent)

            await answerer.load(report)
        served.pipeline.limiter.set_max_concurrency(answerer.max_concurrency)
        await call_ready_hook(health, answerer.ready)  # before set_loaded, or the server would be ready too early
        health.set_loaded(file_name)
        fields = {"answerer": served.name} if served.name else {}
        for warning in answerer.warnings():
            _log.warning("answerer_warning", detail=warning, **fields)

    async def _watch_readiness(self, served: GuardedAnswerer) -> None:
        await asyncio.wait({self._load_task})
        await poll_ready_hook(served.health, served.answerer.ready)


async def run_in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Cleanup context that runs `work` while the app runs.

    It takes a function, not a coroutine, because aiohttp creates more contexts than it enters.
    """
    task = asyncio.create_task(work())
    yield
    task.cancel()
    await asyncio.wait({task})
