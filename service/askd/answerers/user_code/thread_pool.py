"""A bounded pool of daemonic threads for synchronous code, awaited from the event loop.

Not `concurrent.futures`: its threads are joined when the process ends, so that one call that never returns would keep
it from ending, and a call through it takes up to twice as long (`docs/functions.md` has the figures).
"""

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, TypeVar

import structlog

from service.errors import AnswererFailed
from service.models import ABANDONED, Stopped

T = TypeVar("T")
_Waiter = asyncio.Future[None] | None

log = structlog.get_logger("askd.answerer")


class _State(Enum):
    WAITING = auto()
    RUNNING = auto()
    OVER = auto()


class _Job:
    """One call: made on the loop, run by a thread, and handed back to the loop. Guarded by the pool's lock."""

    __slots__ = ("call", "context", "fault", "future", "left", "state", "stopped", "value")

    def __init__(self, call: Callable[[], Any], context: contextvars.Context, future: _Waiter) -> None:
        self.call = call
        self.context = context
        self.future = future
        self.state = _State.WAITING
        self.left = False
        self.stopped: Stopped | None = None
        self.value: Any = None
        self.fault: BaseException | None = None

    def perform(self) -> None:
        try:
            self.value = self.context.run(self.call)
        except BaseException as fault:  # a thread that ended would take its place in the pool along
            self.fault = fault

    def hand_back(self) -> None:
        """Wake who awaits the call; where nobody does any more, its fault would be lost, and is logged instead."""
        if self.future is not None and not self.left:
            with contextlib.suppress(RuntimeError):  # the loop is closed by now
                self.future.get_loop().call_soon_threadsafe(_wake, self.future)
        elif self.fault is not None:
            log.warning("the code failed with nobody waiting for it", exc_info=self.fault)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Pool:
    """At most `limit` threads, started one by one as calls need them.

    A call that its awaiter leaves before a thread took it is never made. One that a thread has taken runs to its end,
    counts as abandoned, and keeps its thread until then, and whatever `ABANDONED` holds for it. The counts may be read
    from any thread.
    """

    def __init__(self, limit: int, *, name: str = "askd-code") -> None:
        self.limit = limit
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0
        self._closed = False
        self.threads = 0
        """Threads that have been started."""
        self.busy = 0
        """Threads that are in a call, abandoned ones included."""
        self.abandoned = 0
        """Calls that go on although nobody awaits them any more."""

    @property
    def closed(self) -> bool:
        """Whether no more calls are taken."""
        return self._closed

    @property
    def queued(self) -> int:
        """Calls that wait for a thread."""
        return max(0, self._open - self.busy)

    async def run(self, call: Callable[[], T], *, context: contextvars.Context | None = None) -> T:
        """Return what `call` returns, made in a thread and in `context`; None is a copy of the caller's.

        Raises what the call raises; AnswererFailed in place of SystemExit and the like, which would end the server.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job = _Job(call, context or contextvars.copy_context(), future)
        self._submit(job)
        try:
            await future
        except asyncio.CancelledError:
            self._leave(job)
            raise
        if job.fault is not None:
            try:
                raise bearable(job.fault)
            finally:
                del job  # the traceback holds this frame: a cycle otherwise
        value: T = job.value
        return value

    def start(self, call: Callable[[], object], *, context: contextvars.Context) -> None:
        """Have `call` made in a thread, for nobody: its fault is logged. Does nothing once the pool is closed."""
        if not self._closed:
            self._submit(_Job(call, context, None))

    def close(self) -> None:
        """Let idle threads end; busy ones end after their call, and the process does not wait for them."""
        with self._lock:
            self._closed = True
            for _ in range(self.threads):
                self._jobs.put(None)

    def _submit(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool of threads is closed")
            self._open += 1
            grow = self._open > self.threads and self.threads < self.limit
            self.threads += grow
            name = f"{self._name}-{self.threads}"
        if grow:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put(job)

    def _leave(self, job: _Job) -> None:
        hold = ABANDONED.get()
        with self._lock:
            if job.state is _State.WAITING:
                job.state = _State.OVER
                self._open -= 1
            elif job.state is _State.RUNNING:
                job.left = True
                job.stopped = hold() if hold else None
                self.abandoned += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._begin(job):
                job.perform()
                self._end(job)
            del job  # an idle thread must not keep the last call's objects alive

    def _begin(self, job: _Job) -> bool:
        with self._lock:
            if job.state is not _State.WAITING:
                return False
            job.state = _State.RUNNING
            self.busy += 1
            return True

    def _end(self, job: _Job) -> None:
        with self._lock:
            job.state = _State.OVER
            self._open -= 1
            self.busy -= 1
            self.abandoned -= job.left
        if job.stopped is not None:
            job.stopped()
        job.hand_back()


def bearable(fault: BaseException) -> BaseException:
    """SystemExit or KeyboardInterrupt from a call, raised in a task, would stop the loop; CancelledError, lose it."""
    if isinstance(fault, Exception):
        return fault
    failed = AnswererFailed()
    failed.__cause__ = fault
    return failed
