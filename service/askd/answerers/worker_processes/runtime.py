"""The program of a worker process: it loads the code, and answers one question at a time.

Messages are read on the event loop. They are sent with blocking calls, from any thread, so that what code has logged
reaches the server even if it crashes the process right after.
"""

import asyncio
import collections
import contextlib
import faulthandler
import io
import logging
import os
import select
import socket
import threading
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from askd.answerers.user_code.user_module import loaded_code_folders
from askd.answerers.worker_processes import messages
from askd.answerers.worker_processes.messages import (
    STREAM_WINDOW,
    Call,
    Cancel,
    Cancelled,
    CheckReadiness,
    CollectMetrics,
    Delta,
    Loaded,
    Loading,
    LogLines,
    Metrics,
    Readiness,
    Request,
    SendMore,
    Stop,
)
from askd.answerers.worker_processes.metrics import read_default_registry
from askd.answerers.worker_processes.outcomes import encode_answer, encode_error, encode_load_error
from askd.answerers.worker_processes.parser_pickle import dump_parser
from askd.context import RequestContext, request_context_var
from askd.errors import LoadError
from askd.models import Answer, Answerer, ProgressMessage, Question, ReleaseCallback, detach_permit_var

_READ_BYTES: Final = 1 << 18
_STACK_DUMP_SHARE: Final = 0.75
"""Share of the kill delay after which the stacks of a cancelled call are kept for the log."""
_MIN_STACK_DUMP_DELAY: Final = 0.001


class Telemetry(Protocol):
    """What the runtime needs of logs and traces, which are above it in the layers."""

    def set_log_level(self, level: int) -> None:
        """Set the minimum level of log lines, a number of `logging`."""
        ...

    def attach_trace(self, headers: Mapping[str, str]) -> None:
        """Make the span in these headers the parent of the spans of the current task."""
        ...

    def close(self) -> None:
        """Send pending spans."""
        ...


class MessageSender:
    """Sends messages to the server, whole and in order, from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames: collections.deque[bytes] = collections.deque()
        self._lock = threading.Lock()
        """Never waited for: its holder also sends the frames of others (so finalizers may log)."""

    def send(self, message: msgspec.Struct) -> None:
        """Send a message. Does nothing if the server is gone, because that ends this process."""
        self._frames.append(messages.encode(message))
        while self._frames and self._lock.acquire(blocking=False):
            try:
                with contextlib.suppress(IndexError, OSError):
                    while True:
                        self._send_frame(memoryview(self._frames.popleft()))
            finally:
                self._lock.release()

    def _send_frame(self, frame: memoryview) -> None:
        while frame:
            try:
                frame = frame[self._socket.send(frame) :]
            except BlockingIOError:  # the event loop has set O_NONBLOCK
                poll = select.poll()
                poll.register(self._socket, select.POLLOUT)
                poll.poll()


class LogStream(io.RawIOBase):
    """Binary stream whose lines go to the server's log."""

    def __init__(self, sender: MessageSender) -> None:
        self._sender = sender

    def write(self, data: Any) -> int:
        """Send whole lines."""
        self._sender.send(LogLines(bytes(data)))
        return len(data)

    def writable(self) -> bool:
        """Return True."""
        return True


class WorkerRuntime:
    """Runs an answerer on behalf of the server.

    Args:
        sock: The socket to the server.
        sender: Sends messages over it.
        answerer: The answerer, not loaded.
        telemetry: Logs and traces.
        crash_report_fd: Descriptor for the stacks of a call that is about to be killed.
        kill_delay: Seconds from the cancellation of a call until the server kills this process.
    """

    def __init__(
        self,
        sock: socket.socket,
        sender: MessageSender,
        answerer: Answerer,
        telemetry: Telemetry,
        *,
        crash_report_fd: int,
        kill_delay: float,
    ) -> None:
        self._socket = sock
        self._send = sender.send
        self._answerer = answerer
        self._telemetry = telemetry
        self._crash_report_fd = crash_report_fd
        self._stack_dump_delay = max(_STACK_DUMP_SHARE * kill_delay, _MIN_STACK_DUMP_DELAY)
        self._frames = messages.FrameReader(Request)
        self._call: asyncio.Task[None] | None = None
        self._window = asyncio.Semaphore(0)
        self._detached_calls = 0
        self._ending: msgspec.Struct | None = None
        self._log_level = logging.root.level
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Load the code and serve until the server stops this worker."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)
        load = asyncio.create_task(self._load())
        await self._stop.wait()
        load.cancel()
        await asyncio.wait({load})
        try:
            await self._answerer.close()
        finally:
            self._send_metrics()
            await asyncio.to_thread(self._telemetry.close)

    async def _load(self) -> None:
        try:
            await self._answerer.load(self._report_progress)
            _refuse_process_memory(self._answerer)
            self._send(self._describe())
        except Exception as error:
            self._send(encode_load_error(error))

    def _report_progress(self, line: str) -> None:
        fraction = line.fraction if isinstance(line, ProgressMessage) else None
        self._send(Loading(str(line), fraction))

    def _describe(self) -> Loaded:
        answerer = self._answerer
        return Loaded(
            kind=answerer.kind,
            deterministic=answerer.deterministic,
            supports_streaming=answerer.supports_streaming,
            supports_threads=answerer.supports_threads,
            supports_temporary_threads=answerer.supports_temporary_threads,
            version=answerer.version,
            contract=msgspec.json.encode(answerer.contract),
            warnings=list(answerer.warnings()),
            notes=list(answerer.notes()),
            parameter_parser=dump_parser(getattr(answerer, "parameter_parser", None)),
            code_folders=loaded_code_folders(),
        )

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the server has ended, perhaps without a chance to stop this worker
            os._exit(1)
        for message in self._frames.feed(data):
            self._handle(message)

    def _handle(self, message: Request) -> None:
        if isinstance(message, Call):
            self._begin(message)
        elif isinstance(message, Cancel):
            if self._call is not None:
                self._call.cancel()
                faulthandler.dump_traceback_later(self._stack_dump_delay, file=self._crash_report_fd)
        elif isinstance(message, SendMore):
            for _ in range(message.count):
                self._window.release()
        elif isinstance(message, CheckReadiness):
            self._create_task(self._check_readiness())
        elif isinstance(message, CollectMetrics):
            self._send_metrics()
        elif isinstance(message, Stop):
            self._stop.set()

    def _begin(self, call: Call) -> None:
        if call.log_level != self._log_level:
            self._log_level = call.log_level
            self._telemetry.set_log_level(call.log_level)
        self._window = asyncio.Semaphore(STREAM_WINDOW)
        self._call = asyncio.create_task(self._run_call(call))
        self._call.add_done_callback(self._on_call_cancelled)

    async def _run_call(self, call: Call) -> None:
        request_context_var.set(
            RequestContext(
                request_id=call.id,
                method="",
                route=call.route,
                arrived_at=call.received_at,
                trace_id=call.trace_id,
                span_id=call.span_id,
            )
        )
        self._telemetry.attach_trace(call.trace_headers)
        detach_permit_var.set(self._detach)
        ending: msgspec.Struct
        try:
            question = self._build_question(call)
            answer = await (self._stream(question) if call.streams else self._answerer.answer(question))
            ending = encode_answer(answer)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # SystemExit of the code must not end the worker
            ending = encode_error(error)
        self._end(ending)

    def _on_call_cancelled(self, task: "asyncio.Task[None]") -> None:
        """End a cancelled call, which may never have started."""
        if task.cancelled():
            self._end(Cancelled())

    async def _stream(self, question: Question) -> Answer:
        answer = None
        async with aclosing(self._answerer.stream(question)) as events:  # type: ignore[type-var] # generators have aclose
            async for event in events:
                if isinstance(event, Answer):
                    answer = event
                else:
                    await self._window.acquire()
                    self._send(Delta(event))
        if answer is None:
            raise TypeError("the stream ended without an Answer")
        return answer

    def _build_question(self, call: Call) -> Question:
        values = msgspec.json.decode(call.parameters) if call.parameters else {}
        return Question(
            text=call.text,
            parameters=self._answerer.parse_parameters(values, from_strings=call.from_strings),
            thread_id=call.thread_id,
            thread_is_temporary=call.thread_is_temporary,
            id=call.id,
            client=call.client,
            caller=call.caller,
            headers=CIMultiDictProxy(CIMultiDict(messages.decode_headers(call.headers))),
            received_at=call.received_at,
            deadline=call.deadline,
        )

    def _detach(self) -> ReleaseCallback:
        """Note that a thread goes on although its call was cancelled. The worker is free when it has ended."""
        self._detached_calls += 1
        return partial(self._loop.call_soon_threadsafe, self._on_detached_call_ended)

    def _on_detached_call_ended(self) -> None:
        self._detached_calls -= 1
        self._finish()

    def _end(self, ending: msgspec.Struct) -> None:
        self._ending = ending
        self._finish()

    def _finish(self) -> None:
        """Send the end of the call when none of its threads goes on."""
        if self._ending is not None and not self._detached_calls:
            ending, self._ending, self._call = self._ending, None, None
            faulthandler.cancel_dump_traceback_later()
            self._send(ending)

    async def _check_readiness(self) -> None:
        try:
            ok, detail = await self._answerer.ready()
        except Exception as error:
            ok, detail = False, f"raised {type(error).__name__}"
        self._send(Readiness(ok, detail))

    def _send_metrics(self) -> None:
        self._send(Metrics(read_default_registry()))

    def _create_task(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refuse_process_memory(answerer: Answerer) -> None:
    if memory := getattr(answerer, "process_memory", ""):
        raise LoadError(
            f"{answerer.name} cannot run in worker processes: its {memory} keeps data in the memory of one process, "
            f"and each question may reach another one. Use a database, such as ASKD_GRAPH_MEMORY=sqlite:PATH, or "
            f"ASKD_PROCESSES=0"
        )


def receive_bootstrap(sock: socket.socket) -> bytes:
    """Return the first frame, which is JSON. Raises EOFError if the server has ended."""
    length = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "big")
    data = sock.recv(length, socket.MSG_WAITALL)
    if not data:
        raise EOFError
    return data
