"""The pool of worker processes: it passes calls to idle workers, and replaces workers that have ended or served enough.

Each worker has a place. The task of the place starts a worker, waits until it has to be replaced, and starts the next.
A worker that is due for replacement serves until its successor is loaded, so that no request waits for the load.
"""

import asyncio
import collections
import contextlib
import math
import random
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from askd.answerers.worker_processes.messages import Loaded
from askd.answerers.worker_processes.worker_handle import WorkerProcess
from askd.errors import LoadError, WorkerDied
from askd.models import ProgressCallback

MAX_LOAD_FAILURES: Final = 3
"""Failed loads in a row after which readiness fails."""
INITIAL_BACKOFF: Final = 0.5
"""Seconds before a worker is started again after a failure; each further failure in a row doubles them."""
MAX_BACKOFF: Final = 30.0
"""Most seconds before a worker is started again."""
HEALTHY_AFTER: Final = 10.0
"""Seconds after loading from which on a worker that dies is replaced without delay."""
MEMORY_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks of the memory of the workers."""
STOP_TIMEOUT: Final = 5.0
"""Seconds that a worker has for its `shutdown` hook when it was replaced or has failed to load."""
_JITTER: Final = 0.1
"""Share by which ASKD_WORKER_MAX_REQUESTS is lower at most, so that the workers are not replaced all at once."""

_log = structlog.get_logger("askd.workers")


class PoolLimits(NamedTuple):
    """Limits of the workers. `kill_delay` is in seconds, `max_memory` in bytes; 0 disables a maximum."""

    size: int
    kill_delay: float
    max_requests: int
    max_memory: int


class WorkerPool:
    """Worker processes of one answerer.

    Args:
        name: Name of the answerer.
        limits: Number of workers, and when they are replaced.
        bootstrap: First message to each worker.
    """

    def __init__(self, name: str, limits: PoolLimits, bootstrap: bytes) -> None:
        self.name = name
        self._limits = limits
        self._bootstrap = bootstrap
        self._idle: collections.deque[WorkerProcess] = collections.deque()
        self._waiters: collections.deque[asyncio.Future[WorkerProcess]] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.running: dict[WorkerProcess, None] = {}
        """All processes that have not ended, in the order of their start."""
        self._replace_lock = asyncio.Lock()
        self.on_ended: Callable[[WorkerProcess], None] = lambda _worker: None
        """Called with each worker that has ended, when it is no longer in `running`."""
        self.workers: dict[int, WorkerProcess] = {}
        """The worker that was loaded last for each of the N places; it may have ended."""
        self.load_errors: dict[int, str] = {}
        """Why the last loads of a place failed, after MAX_LOAD_FAILURES of them."""
        self.exits: dict[str, int] = dict.fromkeys(("died", "killed", "max_requests", "max_memory", "load_failed"), 0)
        """Workers that were replaced or failed to load by reason, without those that end with the server."""

    async def start(self, progress: ProgressCallback) -> Loaded:
        """Start all workers, and wait until they are loaded. Raises LoadError if the code cannot be loaded."""
        first_load: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        for number in range(1, self._limits.size + 1):
            self._create_task(self._run_place(number, progress, first_load))
        if self._limits.max_memory:
            self._create_task(self._watch_memory())
        return await first_load

    async def acquire(self) -> WorkerProcess:
        """Return an idle worker, and wait for one if necessary. First come, first served."""
        while True:
            worker = await self._next_idle()
            if not worker.exit_reason:
                return worker

    async def _next_idle(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.popleft()
            if not worker.is_stopping:
                worker.is_busy = True
                return worker
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it got a worker in this iteration of the loop
                waiter.result().is_busy = False
                self._add_idle(waiter.result())
            raise

    def abandon(self, worker: WorkerProcess) -> None:
        """Cancel the call of a worker; kill the worker if the call does not end."""
        worker.abandon(self._limits.kill_delay)

    async def close(self) -> None:
        """Stop all workers: their `shutdown` hooks run, but calls in progress are killed.

        Cancel it to kill the workers that still run.
        """
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            await asyncio.gather(*(worker.stop() for worker in self.workers.values()))
        finally:
            for worker in self.running:
                worker.kill("the server is shutting down")
        while self.running:
            await asyncio.wait([worker.exited for worker in self.running])
        self.workers.clear()

    def _create_task(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add_idle(self, worker: WorkerProcess) -> None:
        """Pass a free worker to the first request that waits, or keep it for the next one."""
        worker.release_permits()
        if worker.is_stopping:
            self._create_task(worker.stop(STOP_TIMEOUT))
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                worker.is_busy = True
                waiter.set_result(worker)
                return
        self._idle.append(worker)

    def _retire(self, worker: WorkerProcess) -> None:
        """Stop a worker that has a successor, after its call."""
        worker.is_stopping = True
        worker.exited.add_done_callback(lambda _: worker.release_permits())
        if not worker.is_busy and not worker.exit_reason:
            self._create_task(worker.stop(STOP_TIMEOUT))

    async def _run_place(self, number: int, progress: ProgressCallback, first_load: "asyncio.Future[Loaded]") -> None:
        """Keep a worker at a place."""
        previous: WorkerProcess | None = None
        failures = 0
        while True:
            try:
                # One after the other, if the old ones still serve: two loads at once may need too much memory.
                async with self._replace_lock if previous and not previous.exit_reason else contextlib.nullcontext():
                    worker = await self._start_worker(number, failures, progress, is_first=previous is None)
            except LoadError as error:
                if not first_load.done():
                    first_load.set_exception(error)
                return
            self.workers[number] = worker
            if previous is not None:
                worker.held_permits += previous.held_permits
                previous.held_permits.clear()
                self._retire(previous)
            self._add_idle(worker)
            if worker.loaded and len(self.workers) == self._limits.size and not first_load.done():
                first_load.set_result(worker.loaded)
            loaded_at = time.monotonic()
            reason = await _wait_until_due(worker)
            self.exits[reason] += 1
            log = _log.error if worker.exited.done() else _log.info
            log(
                "worker_replaced",
                **worker.log_fields(),
                pid=worker.pid,
                reason=reason,
                error=worker.exit_reason,
                detail=worker.killed_because,
                calls=worker.calls,
            )
            is_unhealthy = reason == "died" and worker.calls <= 1 and time.monotonic() - loaded_at < HEALTHY_AFTER
            failures = failures + 1 if is_unhealthy else 0
            previous = worker

    async def _start_worker(
        self, number: int, failures: int, progress: ProgressCallback, *, is_first: bool
    ) -> WorkerProcess:
        """Start a worker until one has loaded the code. Raises LoadError if the code is wrong at the first start."""
        load_failures = 0
        while True:
            await asyncio.sleep(_backoff_seconds(failures + load_failures))
            worker = WorkerProcess(number, self._add_idle)
            try:
                await worker.start(self._bootstrap)
                self.running[worker] = None
                worker.exited.add_done_callback(partial(self._on_exit, worker))
                # Later progress would make the readiness check fail, although the other workers serve.
                await worker.load(progress if is_first else _ignore_progress)
            except (LoadError, WorkerDied, OSError) as error:
                if isinstance(error, LoadError):
                    await worker.stop(STOP_TIMEOUT)
                    if is_first:
                        raise
                load_failures += 1
                self.exits["load_failed"] += 1
                detail = worker.exit_reason if isinstance(error, WorkerDied) else str(error)
                line = (
                    f"worker process {number} failed to load {load_failures} times in a row: {detail.splitlines()[0]}"
                )
                _log.error("worker_load_failed", worker=number, error=detail, failures=load_failures)
                if is_first:
                    progress(line)
                if load_failures >= MAX_LOAD_FAILURES:
                    self.load_errors[number] = line
            else:
                worker.max_calls = self._draw_max_calls()
                self.load_errors.pop(number, None)
                return worker

    def _on_exit(self, worker: WorkerProcess, _exited: object) -> None:
        self.running.pop(worker, None)
        self.on_ended(worker)

    def _draw_max_calls(self) -> float:
        maximum = self._limits.max_requests
        return max(round(maximum * random.uniform(1 - _JITTER, 1)), 1) if maximum else math.inf  # noqa: S311 - no secret

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(MEMORY_CHECK_INTERVAL)
            for worker in self.workers.values():
                if (worker.resident_bytes() or 0) > self._limits.max_memory:
                    worker.request_replacement("max_memory")


async def _wait_until_due(worker: WorkerProcess) -> str:
    """Wait until the worker has ended, or should be replaced. Returns the reason, a key of `WorkerPool.exits`."""
    events: set[asyncio.Future[Any]] = {worker.exited, worker.replacement_due}
    await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
    if worker.exited.done():
        return "killed" if worker.killed_because else "died"
    return worker.replacement_due.result()


def _ignore_progress(_line: str) -> None:
    """Ignore the progress of a worker that replaces another."""


def _backoff_seconds(failures: int) -> float:
    if not failures:
        return 0.0
    seconds = min(INITIAL_BACKOFF * 2.0 ** (failures - 1), MAX_BACKOFF)
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
