"""The life of what an app rests on: loaded in the background, watched, and closed when everything has been answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import structlog

from service.guards.health import Health
from service.guards.heartbeat import ask_ready, beat, watch_ready
from service.guards.limiter import watch
from service.models import Answerer, Step
from service.pipeline import Pipeline
from service.telemetry import loading
from service.telemetry.metrics import Metrics

_log = structlog.get_logger("askd")


class Lifetime:
    """That of the answerer behind a pipeline. `patience` is in seconds: the longest that it gets to close."""

    def __init__(self, pipeline: Pipeline, health: Health, metrics: Metrics, *, patience: float) -> None:
        self._pipeline = pipeline
        self._health = health
        self._metrics = metrics
        self._patience = patience

    def begin(self) -> "asyncio.Task[None]":
        """Begin to load, to beat and to watch; returns the load."""
        answerer, create = self._pipeline.answerer, asyncio.create_task
        self._heart = create(beat(self._health, self._beats))
        self._late = create(watch(self._pipeline.limiter))
        self._loaded = create(self._load())
        self._ready = create(self._watch(answerer))
        return self._loaded

    async def end(self) -> None:
        """Stop all that, and close the answerer."""
        for task in (self._late, self._ready, self._loaded):
            task.cancel()
        await asyncio.wait({self._ready, self._loaded}, timeout=self._patience)
        await self._close(self._pipeline.answerer)
        self._heart.cancel()  # last: liveness must hold while the answerer closes

    def _beats(self, lag: float) -> None:
        limiter = self._pipeline.limiter
        self._metrics.lag.observe(lag)
        self._health.stuck(limiter.stuck_since, limiter.limit)

    async def _load(self) -> None:
        """Load, and tell the probes how far; where on the disk the code lies is not for whoever may ask them."""
        answerer, health = self._pipeline.answerer, self._health
        name = answerer.name.rstrip("/").rpartition("/")[2]
        async with loading.shown() as show:

            def progress(line: str) -> None:
                show(line)
                share = f" ({line.share:.0%})" if isinstance(line, Step) else ""
                health.progress(line.replace(answerer.name, name) + share)

            await answerer.load(progress)
        self._pipeline.limiter.bound(answerer.places)
        await ask_ready(health, answerer.ready)  # first, or the server would be ready before its code has said so
        health.loaded(name)
        for line in answerer.warnings():
            _log.warning("the answerer warns", about=line)

    async def _watch(self, answerer: Answerer) -> None:
        await asyncio.wait({self._loaded})
        await watch_ready(self._health, answerer.ready)

    async def _close(self, answerer: Answerer) -> None:
        """Close the answerer, and go on in time even where it swallows its cancellation."""
        closing = asyncio.create_task(answerer.close())
        done, _ = await asyncio.wait({closing}, timeout=self._patience)
        if not done:
            closing.cancel()
            _log.warning("the answerer did not close in time", seconds=self._patience)
        elif error := closing.exception():
            _log.error("the answerer failed to close", exc_info=error)


async def meanwhile(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Do work as long as the app runs; begun here, as aiohttp makes more contexts than it enters."""
    task = asyncio.create_task(work())
    yield
    task.cancel()
    await asyncio.wait({task})
