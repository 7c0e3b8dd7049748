"""A bounded pool of daemon threads for synchronous code, awaited from the event loop.

Not `concurrent.futures`: Python joins its threads at exit, so a call that never returns would keep the process alive,
and a call through it takes up to twice as long (`docs/how-to/serve-a-function.md` has the figures).
"""

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum, auto
from functools import partial
from typing import Any, TypeVar

import structlog

from askd.errors import AnswererFailed, Unavailable
from askd.models import ReleaseCallback, detach_permit_var

T = TypeVar("T")
_OptionalFuture = asyncio.Future[None] | None

log = structlog.get_logger("askd.answerer")


class _JobState(Enum):
    QUEUED = auto()
    RUNNING = auto()
    DONE = auto()


class _Job:
    """A call: created on the event loop, run by a thread, its result passed to the loop. Guarded by the pool's lock."""

    __slots__ = ("abandoned", "call", "context", "error", "future", "release_permit", "result", "state")

    def __init__(self, call: Callable[[], Any], context: contextvars.Context, future: _OptionalFuture) -> None:
        self.call = call
        self.context = context
        self.future = future
        self.state = _JobState.QUEUED
        self.abandoned = False
        self.release_permit: ReleaseCallback | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.context.run(self.call)
        except BaseException as error:  # otherwise the thread would end and be missing from the pool
            self.error = error

    def notify_waiter(self) -> None:
        """Wake the awaiter. If it was cancelled, log the call's exception, which would be lost otherwise."""
        if self.future is not None and not self.abandoned:
            with contextlib.suppress(RuntimeError):  # the loop is already closed
                self.future.get_loop().call_soon_threadsafe(_complete, self.future)
        elif self.error is not None:
            log.warning("detached_call_failed", exc_info=self.error)


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class ThreadPool:
    """At most `max_threads` threads, started when calls need them.

    A queued call whose awaiter is cancelled never runs. A running call whose awaiter is cancelled counts as abandoned:
    it keeps its thread and its concurrency permit (see `detach_permit_var`) until it returns. The counts may be read
    from any thread.
    """

    def __init__(self, max_threads: int, *, name: str = "askd-code") -> None:
        self.max_threads = max_threads
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._is_closed = False
        self.threads = 0
        """Threads started so far."""
        self.busy_threads = 0
        """Threads that run a call, including abandoned calls."""
        self.abandoned_calls = 0
        """Running calls whose awaiter was cancelled."""

    @property
    def is_closed(self) -> bool:
        """Whether the pool rejects new calls."""
        return self._is_closed

    @property
    def queued_calls(self) -> int:
        """Calls that wait for a thread."""
        return max(0, self._unfinished - self.busy_threads)

    async def run(self, call: Callable[[], T], *, context: contextvars.Context | None = None) -> T:
        """Run `call` in a thread and return its result.

        Args:
            call: The function to call.
            context: Context variables for the call; None uses a copy of the caller's.

        Raises:
            AnswererFailed: The call raised SystemExit, KeyboardInterrupt or a similar exception.
            RuntimeError: The pool is closed.
            Unavailable: There is no thread, and none can be started.
            Exception: Any exception that the call raised.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job = _Job(call, context or contextvars.copy_context(), future)
        self._submit(job)
        try:
            await future
        except asyncio.CancelledError:
            self._abandon(job)
            raise
        if job.error is not None:
            try:
                raise to_exception(job.error)
            finally:
                del job  # the traceback refers to this frame: avoids a reference cycle
        value: T = job.result
        return value

    def run_in_background(self, call: Callable[[], object], *, context: contextvars.Context) -> None:
        """Run `call` in a thread without waiting; an exception is logged. Does nothing if the pool is closed."""
        if not self._is_closed:
            self._submit(_Job(call, context, None))

    def submit(self, call: Callable[[], T], *, context: contextvars.Context) -> Future[T]:
        """Run `call` in a thread, and return a future that any thread may wait for.

        Raises:
            RuntimeError: The pool is closed.
        """
        future: Future[T] = Future()
        self._submit(_Job(partial(_run_call, future, call), context, None))
        return future

    def close(self) -> None:
        """End idle threads now and busy threads after their call; the process does not wait for them."""
        with self._lock:
            self._is_closed = True
            for _ in range(self.threads):
                self._jobs.put(None)

    def _submit(self, job: _Job) -> None:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the thread pool is closed")
            self._unfinished += 1
            needs_thread = self._unfinished > self.threads and self.threads < self.max_threads
            self.threads += needs_thread
            name = f"{self._name}-{self.threads}"
        if needs_thread:
            self._start_thread(name)
        self._jobs.put(job)

    def _start_thread(self, name: str) -> None:
        """Start a thread. If the system refuses, the call waits for one of those that exist."""
        try:
            threading.Thread(target=self._worker_loop, name=name, daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            with self._lock:
                self.threads -= 1
                is_first = not self.threads
                self._unfinished -= is_first
            if is_first:
                raise Unavailable("The server cannot start a thread for this call. Send the request again.") from error
            log.warning("thread_start_failed", error=str(error), threads=self.threads)

    def _abandon(self, job: _Job) -> None:
        detach_permit = detach_permit_var.get()
        with self._lock:
            if job.state is _JobState.QUEUED:
                job.state = _JobState.DONE
                self._unfinished -= 1
            elif job.state is _JobState.RUNNING:
                job.abandoned = True
                job.release_permit = detach_permit() if detach_permit else None
                self.abandoned_calls += 1

    def _worker_loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._start_job(job):
                job.run()
                self._finish_job(job)
            del job  # an idle thread must not keep the last call's objects alive

    def _start_job(self, job: _Job) -> bool:
        with self._lock:
            if job.state is not _JobState.QUEUED:
                return False
            job.state = _JobState.RUNNING
            self.busy_threads += 1
            return True

    def _finish_job(self, job: _Job) -> None:
        with self._lock:
            job.state = _JobState.DONE
            self._unfinished -= 1
            self.busy_threads -= 1
            self.abandoned_calls -= job.abandoned
        if job.release_permit is not None:
            job.release_permit()
        job.notify_waiter()


def _run_call(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = call()
    except BaseException as error:  # otherwise the thread would end and be missing from the pool
        future.set_exception(to_exception(error))
    else:
        future.set_result(value)


def to_exception(error: BaseException) -> BaseException:
    """Return the error, or AnswererFailed caused by it if it is not an Exception.

    SystemExit or KeyboardInterrupt raised in a task would stop the loop, and CancelledError would look like the task's
    cancellation.
    """
    if isinstance(error, Exception):
        return error
    failed = AnswererFailed()
    failed.__cause__ = error
    return failed
