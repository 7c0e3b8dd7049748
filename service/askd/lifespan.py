"""Background work of an app: load the answerer, monitor it, and close it after the last response."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import structlog

from askd.guards.concurrency import sample_loop_lag
from askd.guards.health import Health, call_ready_hook, poll_ready_hook, run_heartbeat
from askd.models import Answerer, ProgressMessage
from askd.pipeline import Pipeline
from askd.telemetry import load_progress
from askd.telemetry.metrics import Metrics

_log = structlog.get_logger("askd")


class AnswererLifespan:
    """Loads, monitors and closes the answerer of a pipeline. `close_timeout` limits its closing, in seconds."""

    def __init__(self, pipeline: Pipeline, health: Health, metrics: Metrics, *, close_timeout: float) -> None:
        self._pipeline = pipeline
        self._health = health
        self._metrics = metrics
        self._close_timeout = close_timeout

    def start(self) -> "asyncio.Task[None]":
        """Start the load, the heartbeat and the readiness check. Returns the task of the load."""
        answerer, create = self._pipeline.answerer, asyncio.create_task
        self._heartbeat_task = create(run_heartbeat(self._health, self._on_heartbeat))
        self._loop_lag_task = create(sample_loop_lag(self._pipeline.limiter))
        self._load_task = create(self._load())
        self._readiness_task = create(self._watch_readiness(answerer))
        return self._load_task

    async def stop(self) -> None:
        """Cancel the background tasks and close the answerer."""
        for task in (self._loop_lag_task, self._readiness_task, self._load_task):
            task.cancel()
        await asyncio.wait({self._readiness_task, self._load_task}, timeout=self._close_timeout)
        await self._close_answerer(self._pipeline.answerer)
        self._heartbeat_task.cancel()  # last: the liveness probe must succeed while the answerer closes

    def _on_heartbeat(self, lag: float) -> None:
        limiter = self._pipeline.limiter
        self._metrics.event_loop_lag.observe(lag)
        self._health.set_exhausted(limiter.exhausted_since, limiter.limit)

    async def _load(self) -> None:
        """Load the answerer and pass its progress to the probes, which must not disclose the path of the code."""
        answerer, health = self._pipeline.answerer, self._health
        file_name = answerer.name.rstrip("/").rpartition("/")[2]
        async with load_progress.show_progress() as show:

            def report(message: str) -> None:
                show(message)
                percent = f" ({message.fraction:.0%})" if isinstance(message, ProgressMessage) else ""
                health.set_progress(message.replace(answerer.name, file_name) + percent)

            await answerer.load(report)
        self._pipeline.limiter.set_max_concurrency(answerer.max_concurrency)
        await call_ready_hook(health, answerer.ready)  # before set_loaded, or the server would be ready too early
        health.set_loaded(file_name)
        for warning in answerer.warnings():
            _log.warning("answerer_warning", detail=warning)

    async def _watch_readiness(self, answerer: Answerer) -> None:
        await asyncio.wait({self._load_task})
        await poll_ready_hook(self._health, answerer.ready)

    async def _close_answerer(self, answerer: Answerer) -> None:
        """Close the answerer. Returns in time even if its code suppresses the cancellation."""
        closing = asyncio.create_task(answerer.close())
        done, _ = await asyncio.wait({closing}, timeout=self._close_timeout)
        if not done:
            closing.cancel()
            _log.warning("answerer_close_timeout", timeout_seconds=self._close_timeout)
        elif error := closing.exception():
            _log.error("answerer_close_failed", exc_info=error)


async def run_in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Cleanup context that runs `work` while the app runs.

    It takes a function, not a coroutine, because aiohttp creates more contexts than it enters.
    """
    task = asyncio.create_task(work())
    yield
    task.cancel()
    await asyncio.wait({task})
