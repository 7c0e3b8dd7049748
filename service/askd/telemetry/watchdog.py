"""Watchdog: a thread that logs the stacks of all threads and tasks when the main loop stalls, or on request.

It is a separate thread because a stalled loop cannot log. Code that holds the GIL stops this thread as well, so the
watchdog also sets a `faulthandler` timer, which does not need the GIL, and postpones it with every poll. After such a
stall it logs one line that refers to the timer's plain-text dump; the stacks at that moment would be different ones.

Stacks contain code locations only. Values of variables may be questions or secrets.
"""

import asyncio
import contextlib
import faulthandler
import io
import itertools
import linecache
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple, TextIO

import structlog

from askd.context import request_context_var

POLL_INTERVAL: Final = 0.25
"""Seconds between two checks of the heartbeat, which has the same period."""
FAULTHANDLER_MARGIN: Final = 1.0
"""Seconds beyond the stall timeout after which the `faulthandler` timer fires."""
MAX_TASK_STACKS: Final = 100
"""Distinct task stacks per dump; a server may have thousands of tasks."""
_MAX_REQUEST_IDS: Final = 10
"""Request ids per stack."""
_MAX_STACK_DEPTH: Final = 100
"""Frames per stack."""
_AWAIT_ATTRIBUTES: Final = ("cr_await", "gi_yieldfrom", "ag_await")

_log = structlog.get_logger("askd.stacks")


class StackDumpCounts(NamedTuple):
    """Number of threads and tasks in a dump."""

    threads: int
    tasks: int


def dump_stacks(loop: asyncio.AbstractEventLoop | None, reason: str) -> StackDumpCounts:
    """Log the stacks of all threads, and of all tasks of the loop if it is not None. Safe in any thread."""
    frames = sys._current_frames()  # noqa: SLF001 - documented, in spite of its name
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    tasks = list(asyncio.all_tasks(loop)) if loop else []
    _log.warning("stack_dump", reason=reason, threads=len(frames), tasks=len(tasks))
    for ident, frame in frames.items():
        stack = "".join(traceback.format_stack(frame, _MAX_STACK_DEPTH)).rstrip()
        _log.warning("thread_stack", thread=names.get(ident, str(ident)), stack=stack)
    _log_task_stacks(tasks)
    return StackDumpCounts(len(frames), len(tasks))


def _log_task_stacks(tasks: list["asyncio.Task[Any]"]) -> None:
    tasks_by_stack: dict[str, list[asyncio.Task[Any]]] = {}
    for task in tasks:
        tasks_by_stack.setdefault(_format_task_stack(task), []).append(task)
    most_frequent = sorted(tasks_by_stack.items(), key=lambda item: -len(item[1]))
    for stack, same_stack in most_frequent[:MAX_TASK_STACKS]:
        request_ids = _request_ids(same_stack)
        fields = {"request_ids": request_ids} if request_ids else {}
        _log.warning("task_stack", task=same_stack[0].get_name(), tasks=len(same_stack), **fields, stack=stack)
    if len(tasks_by_stack) > MAX_TASK_STACKS:
        _log.warning("task_stacks_omitted", count=len(tasks_by_stack) - MAX_TASK_STACKS)


def _request_ids(tasks: list["asyncio.Task[Any]"]) -> list[str]:
    """Return the ids of the tasks' requests; Python 3.11 lacks `Task.get_context`, so the list is empty there."""
    contexts = (task.get_context() for task in tasks if hasattr(task, "get_context"))
    requests = filter(None, (context.get(request_context_var) for context in contexts))
    return [request.request_id for request in itertools.islice(requests, _MAX_REQUEST_IDS)]


def _format_task_stack(task: "asyncio.Task[Any]") -> str:
    """Return the stack of a task, outermost frame first, through everything it awaits.

    `Task.print_stack` shows only the outermost frame of a suspended coroutine.
    """
    return "\n".join(itertools.islice(_format_await_chain(task.get_coro()), _MAX_STACK_DEPTH)) or "  not started"


def _format_await_chain(awaitable: Any) -> Iterator[str]:
    while awaitable is not None:
        frame, code = _frame_and_code(awaitable)
        if frame is not None and code is not None:
            line = linecache.getline(code.co_filename, frame.f_lineno).strip()
            yield f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}\n    {line}'
        elif code is None:
            yield f"  waits for {type(awaitable).__name__}"
        awaitable = next(filter(None, (getattr(awaitable, name, None) for name in _AWAIT_ATTRIBUTES)), None)


def _frame_and_code(awaitable: Any) -> tuple[FrameType | None, CodeType | None]:
    """Return frame and code of a coroutine or generator; the frame is None if it has ended, both for other objects."""
    for prefix in ("cr", "gi", "ag"):
        if code := getattr(awaitable, f"{prefix}_code", None):
            return getattr(awaitable, f"{prefix}_frame", None), code
    return None, None


class Watchdog:
    """Logs the stacks once for each stall of the loop.

    Args:
        stalled_for: Returns the seconds since the last heartbeat of the loop.
        stall_timeout: Seconds after which a stall is reported.
        poll_interval: Seconds between two checks.
        file: Receives the plain-text dumps of `faulthandler`; None means standard error, if it has a descriptor.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        stalled_for: Callable[[], float],
        stall_timeout: float,
        *,
        poll_interval: float = POLL_INTERVAL,
        file: TextIO | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stalled_for = stalled_for
        self._stall_timeout = stall_timeout
        self._poll_interval = poll_interval
        self._clock = clock
        self._timer_set_at = clock()
        self._has_timer = True
        self._file = file or _stderr_with_descriptor()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_stall = 0.0
        """Seconds since the last heartbeat, at the previous check."""
        self._stall_reported = False
        self._dump_requests: SimpleQueue[str | None] = SimpleQueue()
        """Reasons; None ends the thread. A SimpleQueue, whose `put` is reentrant: signal handlers may call it."""
        self._thread = threading.Thread(target=self._run, name="askd-watchdog", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start watching the loop."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it, at most one second. Idempotent."""
        self._dump_requests.put(None)
        if self._thread.is_alive():
            self._thread.join(1.0)

    def request_dump(self, reason: str) -> None:
        """Make the thread log the stacks soon. Safe in a signal handler."""
        self._dump_requests.put(reason)

    def dump(self, reason: str) -> StackDumpCounts:
        """Log the stacks now."""
        return dump_stacks(self._loop, reason)

    def check(self) -> None:
        """Log the stacks if the loop is stalled for too long and this stall was not reported yet."""
        stalled_for, previous = self._stalled_for(), self._last_stall
        self._last_stall = stalled_for
        if stalled_for < previous:  # the loop has run in between, if only briefly
            self._stall_reported = False
        if stalled_for > self._stall_timeout and not self._stall_reported:
            self._stall_reported = True
            self.dump(f"the main loop has been stalled for {stalled_for:.1f}s, limit {self._stall_timeout:g}s")

    def report_gil_stall(self) -> None:
        """Log a stall during which this thread could not run either: the timer has written the stacks."""
        held_for = self._clock() - self._timer_set_at
        if self._file is not None and self._has_timer and held_for > self._stall_timeout + FAULTHANDLER_MARGIN:
            self._stall_reported = True
            reason = f"the GIL was held for {held_for:.1f}s, limit {self._stall_timeout:g}s"
            _log.warning("stack_dump_as_plain_text", reason=reason)

    def _run(self) -> None:
        block_sigusr1()
        while True:
            self._run_safely(self._reset_timer)
            try:
                reason = self._dump_requests.get(timeout=self._poll_interval)
            except Empty:
                self._run_safely(self.report_gil_stall)
                self._run_safely(self.check)
                continue
            if reason is None:
                faulthandler.cancel_dump_traceback_later()
                return
            while not self._dump_requests.empty() and self._dump_requests.get() is not None:
                pass  # several requests at once get one dump
            self._run_safely(self.report_gil_stall)
            self._run_safely(partial(self.dump, reason))

    def _reset_timer(self) -> None:
        self._timer_set_at = self._clock()
        if self._file is None:
            return
        try:
            faulthandler.dump_traceback_later(self._stall_timeout + FAULTHANDLER_MARGIN, file=self._file)
        except Exception as error:  # each call starts a thread, and the system may have none left
            if self._has_timer:
                _log.warning("watchdog_timer_failed", error=str(error))
            self._has_timer = False
        else:
            self._has_timer = True

    def _run_safely(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException:  # also MemoryError, and exceptions that code injects into threads
            with contextlib.suppress(BaseException):
                _log.exception("stack_dump_failed")


def block_sigusr1() -> None:
    """Block SIGUSR1 in this thread.

    Python runs signal handlers in the main thread, whose blocking call is interrupted only if that thread receives the
    signal.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def _stderr_with_descriptor() -> TextIO | None:
    try:
        sys.stderr.fileno()
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None
    return sys.stderr
