"""One worker process, from the server's side: its start, its current call, and its end."""

import asyncio
import contextlib
import math
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from askd.answerers.worker_processes import messages
from askd.answerers.worker_processes.interpreter import inherited_stdout, interpreter_command
from askd.answerers.worker_processes.messages import (
    Answered,
    Call,
    Cancelled,
    CollectMetrics,
    Delta,
    Died,
    Ending,
    Event,
    Failed,
    Loaded,
    LoadFailed,
    Loading,
    LogLines,
    MetricFamily,
    Metrics,
    Readiness,
    Stop,
)
from askd.answerers.worker_processes.outcomes import decode_load_error
from askd.child_exit import describe_exit
from askd.errors import WorkerDied
from askd.models import ProgressCallback, ProgressMessage, ReleaseCallback

_PROGRAM: Final = "from askd.process.worker_process import main; main()"
_LAST_EVENTS_TIMEOUT: Final = 1.0
"""Maximum seconds between the end of the socket and the end of the process, whichever comes first."""
_ORPHANS_DELAY: Final = 0.2
"""Seconds to wait until processes that were killed with their worker can be reaped."""
_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")

_log = structlog.get_logger("askd.workers")


class WorkerProcess(asyncio.Protocol):
    """A worker process. Await `start()`, then `load()`; the other methods need a started process.

    Args:
        number: Number of its place in the pool, from 1.
        on_free: Called when it can take the next call.
    """

    def __init__(self, number: int, on_free: "Callable[[WorkerProcess], None]") -> None:
        self.number = number
        self.calls = 0
        """Number of calls that were begun."""
        self.request_id = ""
        """Request id of its latest call."""
        self.is_busy = False
        """Set by the pool before `begin()`; reset when the process has ended the call, even if the client has left."""
        self.is_stopping = False
        """Whether it gets no more calls."""
        self.max_calls: float = math.inf
        """Number of calls after which it is due for replacement."""
        self.exit_reason = ""
        """Such as `was killed by SIGSEGV`; empty while it runs."""
        self.killed_because = ""
        """Why the server has killed it; empty if it has not."""
        self.loaded: Loaded | None = None
        """What the worker said about the code; None until it is loaded."""
        self.metrics: list[MetricFamily] = []
        """The latest metrics of its code."""
        self.held_permits: list[ReleaseCallback] = []
        """Permits of the concurrency limit whose clients have left. The pool releases them when this worker, or its
        successor, is free."""
        self.readiness = Readiness(ok=True, detail="")
        """The latest result of the `ready` hook."""
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.replacement_due: asyncio.Future[str] = loop.create_future()
        """Resolved with the reason when another worker should take its place."""
        self._on_free = on_free
        self._receive: Callable[[Delta | Ending], object] | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._frames = messages.FrameReader(Event)
        self._load_result: asyncio.Future[Loaded] = loop.create_future()
        self._replies: dict[type, asyncio.Future[None]] = {}
        self._disconnected: asyncio.Future[None] = loop.create_future()
        self._progress: ProgressCallback = lambda _line: None

    async def start(self, bootstrap: bytes) -> None:
        """Start the process, and send it the frame `bootstrap`. Raises OSError."""
        ours, theirs = socket.socketpair()
        crash_report, crash_report_writer = os.pipe()
        ours.setblocking(False)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *interpreter_command(_PROGRAM),
                *(str(theirs.fileno()), str(crash_report_writer)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=inherited_stdout(),
                pass_fds=(theirs.fileno(), crash_report_writer),
                start_new_session=True,  # a separate group: killed with its children, not reached by Ctrl-C
            )
            self.pid = self._process.pid
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            os.close(crash_report)
            raise
        finally:
            theirs.close()
            os.close(crash_report_writer)
        self._watcher = asyncio.create_task(self._watch(crash_report))
        self._transport.write(bootstrap)

    async def load(self, progress: ProgressCallback) -> Loaded:
        """Wait until the code is loaded. Raises LoadError, and WorkerDied if the process ends."""
        self._progress = progress
        self.loaded = await self._load_result
        return self.loaded

    def begin(self, call: Call, receive: Callable[[Delta | Ending], object]) -> None:
        """Start a call; `receive` gets its events, the last one is an Ending. Until then it identifies the call."""
        self._receive = receive
        self.calls += 1
        self.request_id = call.id
        self.send(call)

    def is_running(self, receive: Callable[[Delta | Ending], object]) -> bool:
        """Return whether `receive`, the object given to `begin()`, still gets events of its call."""
        return self._receive is receive

    def send(self, message: messages.Request) -> None:
        """Send a message. Does nothing if the process has ended."""
        if not self._disconnected.done():
            self._transport.write(messages.encode(message))

    def abandon(self, kill_delay: float) -> None:
        """Cancel the call, whose events nobody needs any more. Kill the process if that takes `kill_delay` seconds."""
        self._receive = _ignore
        self.send(messages.Cancel())
        loop = asyncio.get_running_loop()
        self._kill_timer = loop.call_later(kill_delay, self.kill, "it did not end its cancelled call")

    def request_replacement(self, reason: str) -> None:
        """Ask the pool for a successor. The worker serves until that is loaded."""
        if not self.replacement_due.done():
            self.replacement_due.set_result(reason)

    def release_permits(self) -> None:
        """Release the permits of calls that have ended for their clients."""
        for release in self.held_permits:
            release()
        self.held_permits.clear()

    def kill(self, reason: str) -> None:
        """Kill the process and its child processes, because of `reason`."""
        if self.exit_reason or self._process.returncode is not None:
            return
        self.killed_because = self.killed_because or reason
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, timeout: float | None = None) -> None:
        """Let an idle process run the `shutdown` hook and end; kill it after `timeout` seconds, or if cancelled.

        A busy process is killed immediately: callers that can wait do so until it is free.
        """
        self.is_stopping = True
        try:
            if not self.is_busy and not self.exit_reason:
                self.send(Stop())
                await asyncio.wait({self.exited}, timeout=timeout)
        finally:
            self.kill("it did not stop in time")
        await asyncio.wait({self.exited})

    async def check_readiness(self) -> None:
        """Update `readiness`. Returns when the worker has replied or ended; then the last value stays."""
        await self._ask(messages.CheckReadiness(), Readiness)

    async def collect_metrics(self) -> None:
        """Update `metrics`. Returns when the worker has replied or ended; then the last value stays."""
        await self._ask(CollectMetrics(), Metrics)

    def log_fields(self) -> dict[str, object]:
        """Return its number, and the id of its current request if there is one, for log lines."""
        return {"worker": self.number, **({"request_id": self.request_id} if self.is_busy else {})}

    def resident_bytes(self) -> int | None:
        """Return the resident memory; None if the process has ended, or the platform lacks `/proc`."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_SIZE
        except (OSError, IndexError):
            return None

    async def _ask(self, message: messages.Request, reply: type) -> None:
        if self.exit_reason:
            return
        future = self._replies.get(reply)
        if future is None:
            future = self._replies[reply] = asyncio.get_running_loop().create_future()
            self.send(message)
        await asyncio.wait({future, self.exited}, return_when=asyncio.FIRST_COMPLETED)

    def data_received(self, data: bytes) -> None:
        """Handle what the worker sent. asyncio calls it."""
        try:
            for event in self._frames.feed(data):
                self._handle(event)
        except msgspec.MsgspecError as error:  # code has written to the descriptor of the socket
            _log.error("worker_message_invalid", worker=self.number, error=str(error))
            self.kill("it sent an invalid message")

    def connection_lost(self, exc: Exception | None) -> None:
        """Kill the process unless it ends within a second after it closed its socket. asyncio calls it."""
        self.is_stopping = True
        self._disconnected.set_result(None)
        asyncio.get_running_loop().call_later(_LAST_EVENTS_TIMEOUT, self.kill, "it closed its connection to the server")

    def _handle(self, event: Any) -> None:
        if isinstance(event, Answered | Failed | Cancelled):
            self._finish_call(event)
        elif isinstance(event, Delta):
            if self._receive:
                self._receive(event)
        elif isinstance(event, LogLines):
            _forward_log_lines(event.data)
        elif isinstance(event, Loading):
            is_partial = event.fraction is not None
            line = ProgressMessage.with_fraction(event.line, event.fraction or 0.0) if is_partial else event.line
            self._progress(line)
        elif isinstance(event, Loaded):
            self._load_result.set_result(event)
        elif isinstance(event, LoadFailed):
            self._load_result.set_exception(decode_load_error(event))
        else:
            if isinstance(event, Readiness):
                self.readiness = event
            else:
                self.metrics = event.families
            if future := self._replies.pop(type(event), None):
                future.set_result(None)

    def _finish_call(self, ending: Ending) -> None:
        receive, self._receive = self._receive, None
        if self._kill_timer is not None:
            self._kill_timer.cancel()
            self._kill_timer = None
        if receive is not None:
            receive(ending)
        self.is_busy = False
        if self.calls >= self.max_calls:
            self.request_replacement("max_requests")
        self._on_free(self)

    async def _watch(self, crash_report: int) -> None:
        """Wait for the end of the process, then end its call."""
        code = await self._process.wait()
        await asyncio.wait({self._disconnected}, timeout=_LAST_EVENTS_TIMEOUT)
        self.exit_reason = reason = describe_exit(code)
        self._transport.abort()
        self.is_stopping = True
        self._kill_group()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        if not self._load_result.done():
            self._load_result.set_exception(WorkerDied(reason))
            self._load_result.exception()  # mark it as retrieved: nobody awaits a cancelled load
        report = _read_crash_report(crash_report)
        if report:
            _log.error("worker_crash_report", **self.log_fields(), pid=self.pid, exception=report)
        receive, self._receive = self._receive, None
        if receive is not None:
            receive(Died(reason))
        self.exited.set_result(None)

    def _kill_group(self) -> None:
        """Kill the processes that the ended worker had started, and reap them if the server has inherited them.

        It does so as process 1 of a container.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
            asyncio.get_running_loop().call_later(_ORPHANS_DELAY, _reap_group, self.pid)


def _ignore(_event: Delta | Ending) -> None:
    """Receive the events of an abandoned call."""


def _reap_group(group: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass


def _read_crash_report(descriptor: int) -> str:
    """Return the stacks that `faulthandler` wrote in the worker at a crash or before it was killed; empty without."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 1 << 16).decode("utf-8", "replace").strip()
    except BlockingIOError:
        return ""
    finally:
        os.close(descriptor)


def _forward_log_lines(data: bytes) -> None:
    for line in data.splitlines():
        fields = msgspec.json.decode(line)
        event, level = fields.pop("event", ""), fields.pop("level", "info")
        fields.pop("timestamp", None)  # the server adds its own
        log = structlog.get_logger("askd")
        getattr(log, level, log.info)(event, **fields)
