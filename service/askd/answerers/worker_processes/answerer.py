"""WorkerProcessAnswerer: represents a function or a graph that runs in worker processes."""

import asyncio
import contextlib
import dataclasses
import logging
import pickle
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from askd.answerers.worker_processes import messages
from askd.answerers.worker_processes.cpus import available_cpus
from askd.answerers.worker_processes.messages import STREAM_WINDOW, Call, Delta, Died, Ending, SendMore
from askd.answerers.worker_processes.metrics import worker_metrics
from askd.answerers.worker_processes.outcomes import decode_answer
from askd.answerers.worker_processes.pool import PoolLimits, WorkerPool
from askd.answerers.worker_processes.worker_handle import WorkerProcess
from askd.config import Settings
from askd.context import request_context_var
from askd.models import (
    Answer,
    Answerer,
    AnswererStatistics,
    Contract,
    ProgressCallback,
    Question,
    client_span_var,
    detach_permit_var,
)

READINESS_TIMEOUT: Final = 0.8
"""Seconds to wait for the `ready` hooks. A worker whose code is busy may be late; its last result counts then."""
_json_encoder: Final = msgspec.json.Encoder()


class ParameterParser(Protocol):
    """Validates the parameters of a request."""

    def parse(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Return the values that the code gets. Raises BadQuestion."""
        ...


class RequestParameters(dict[str, Any]):
    """Parameters of a request. The worker gets `sent`, what the client has sent, and converts it to the code's types.

    The mapping itself is only for the key of the cache: it has the converted values if the server can convert them.
    """

    def __init__(self, converted: Mapping[str, Any], *, sent: Mapping[str, Any], from_strings: bool) -> None:
        super().__init__(converted)
        self.sent = sent
        self.from_strings = from_strings


class WorkerProcessAnswerer(Answerer):
    """The code that a spec names, in `settings.processes` worker processes.

    Args:
        spec: The spec.
        settings: The settings.
        kind: Kind of the answerer before its code is loaded.
    """

    def __init__(self, spec: str, settings: Settings, *, kind: str) -> None:
        self.name = spec
        self.kind = kind
        self.code_folders: Sequence[str] = ()
        self._max_memory = settings.worker_max_memory
        self.max_concurrency = available_cpus() if settings.processes == "auto" else settings.processes
        limits = PoolLimits(
            size=self.max_concurrency,
            kill_delay=settings.kill_delay,
            max_requests=settings.worker_max_requests,
            max_memory=settings.worker_max_memory,
        )
        self._pool = WorkerPool(spec, limits, encode_bootstrap(spec, settings))
        self._parser: ParameterParser | None = None
        self._warnings: Sequence[str] = ()
        self._notes: Sequence[str] = ()
        self._is_loaded = False
        self._thread_locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def load(self, progress: ProgressCallback) -> None:
        """Start the workers, and wait until each has loaded the code and run its `startup` hook. Raises LoadError."""
        loaded = await self._pool.start(progress)
        self.kind, self.version = loaded.kind, loaded.version
        self.contract = msgspec.json.decode(loaded.contract, type=Contract)
        self.deterministic = loaded.deterministic
        self.supports_streaming = loaded.supports_streaming
        self.supports_threads = loaded.supports_threads
        self.supports_temporary_threads = loaded.supports_temporary_threads
        self.code_folders = loaded.code_folders
        self._warnings, self._notes = loaded.warnings, loaded.notes
        if loaded.parameter_parser:
            self._parser = pickle.loads(loaded.parameter_parser)  # noqa: S301 - made by askd's code in the worker
        worker_metrics.add(self._pool)
        self._is_loaded = True

    async def close(self) -> None:
        """Run the `shutdown` hook of each worker, and end them; cancelled, it kills them."""
        try:
            await self._pool.close()
        finally:
            worker_metrics.remove(self._pool)

    async def ready(self) -> tuple[bool, str]:
        """Return whether all workers are ready: a worker that cannot load the code, or whose hook says no, is not."""
        for line in self._pool.load_errors.values():  # probes must not disclose the path of the code
            return False, line.replace(self.name, self.name.rstrip("/").rpartition("/")[2])
        workers = list(self._pool.workers.values())
        if not self._is_loaded or all(worker.exit_reason for worker in workers):
            return False, "no worker process is loaded"
        tasks = [asyncio.create_task(worker.check_readiness()) for worker in workers]
        _, late = await asyncio.wait(tasks, timeout=READINESS_TIMEOUT)
        for task in late:
            task.cancel()
        for worker in workers:
            if not worker.readiness.ok and not worker.exit_reason:
                return False, f"worker process {worker.number}: {worker.readiness.detail}"
        return True, workers[0].readiness.detail

    def warnings(self) -> Sequence[str]:
        """Return the warnings of the code's answerer."""
        if self._max_memory and not Path("/proc/self/statm").exists():
            return [*self._warnings, "--worker-max-memory is ignored: this platform lacks /proc"]
        return self._warnings

    def notes(self) -> Sequence[str]:
        """Return the remarks of the code's answerer."""
        return self._notes

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        """Validate the parameters, unless their types belong to the code: then the worker does. Raises BadQuestion."""
        if not values and self._parser is None:
            return {}
        converted = self._parser.parse(values, from_strings=from_strings) if self._parser else values
        return RequestParameters(converted, sent=values, from_strings=from_strings)

    async def answer(self, question: Question) -> Answer:
        """Return the answer of a worker.

        Raises:
            WorkerDied: The worker died.
            Problem: Any problem that the code raised.
            WorkerException: Any other exception of the code.
        """
        async with self._thread_turn(question):
            return await self._answer(question)

    async def _answer(self, question: Question) -> Answer:
        worker = await self._pool.acquire()
        ending: asyncio.Future[Delta | Ending] = asyncio.get_running_loop().create_future()
        receive = partial(_set_result, ending)
        worker.begin(_build_call(question, streams=False), receive)
        try:
            result = await ending
        finally:
            if worker.is_running(receive):
                self._abandon(worker)
        if isinstance(result, Died):
            _hold_permit(worker)
        return decode_answer(result)  # without a Delta, because the call does not stream

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the deltas of a worker as they arrive, then the answer. Raises as `answer`."""
        async with self._thread_turn(question), contextlib.aclosing(self._stream(question)) as events:
            async for event in events:
                yield event

    async def _stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        worker = await self._pool.acquire()
        events: asyncio.Queue[Delta | Ending] = asyncio.Queue()
        receive = events.put_nowait
        worker.begin(_build_call(question, streams=True), receive)
        passed_on = 0
        try:
            while isinstance(event := await events.get(), Delta):
                yield event.text
                passed_on += 1
                if passed_on == STREAM_WINDOW // 2:
                    worker.send(SendMore(passed_on))
                    passed_on = 0
        finally:
            if worker.is_running(receive):
                self._abandon(worker)
        if isinstance(event, Died):
            _hold_permit(worker)
        yield decode_answer(event)

    def statistics(self) -> AnswererStatistics:
        """Return the counts of the workers."""
        workers = list(self._pool.workers.values())
        running = [worker for worker in workers if not worker.exit_reason]
        return AnswererStatistics(
            worker_processes=len(running),
            busy_worker_processes=sum(worker.is_busy for worker in running),
            worker_exits=dict(self._pool.exits),
            worker_bytes=sum(worker.resident_bytes() or 0 for worker in running),
        )

    @contextlib.asynccontextmanager
    async def _thread_turn(self, question: Question) -> AsyncIterator[None]:
        """Let questions in one thread of conversation take turns, as they do in one process."""
        if question.thread_id is None:
            yield
        else:
            async with self._thread_locks.setdefault(question.thread_id, asyncio.Lock()):
                yield

    def _abandon(self, worker: WorkerProcess) -> None:
        """Cancel the call; its permit is taken until the worker, or its successor, is free."""
        _hold_permit(worker)
        self._pool.abandon(worker)


def _set_result(future: "asyncio.Future[Delta | Ending]", ending: Delta | Ending) -> None:
    if not future.done():  # its task may have been cancelled
        future.set_result(ending)


def encode_bootstrap(spec: str, settings: Settings) -> bytes:
    """Return the first frame for a worker: the settings, with which it loads the code in its own process."""
    values = dataclasses.replace(settings, answerer=spec, processes=0)
    data = _json_encoder.encode(values)
    return len(data).to_bytes(4, "big") + data


def _hold_permit(worker: WorkerProcess) -> None:
    detach = detach_permit_var.get()
    if detach is not None:
        worker.held_permits.append(detach())


def _build_call(question: Question, *, streams: bool) -> Call:
    context = request_context_var.get()
    start_span = client_span_var.get()
    parameters = question.parameters
    if not isinstance(parameters, RequestParameters):  # none, or those of a caller without a request
        parameters = RequestParameters(parameters, sent=parameters, from_strings=False)
    return Call(
        streams=streams,
        text=question.text,
        parameters=_json_encoder.encode(parameters.sent) if parameters.sent else b"",
        from_strings=parameters.from_strings,
        thread_id=question.thread_id,
        thread_is_temporary=question.thread_is_temporary,
        id=question.id,
        client=question.client,
        caller=question.caller,
        headers=messages.encode_headers(question.headers),
        received_at=question.received_at,
        deadline=question.deadline,
        route=context.route if context else "",
        trace_id=context.trace_id if context else "",
        span_id=context.span_id if context else "",
        trace_headers={} if start_span is None else start_span.propagation_headers(),
        log_level=logging.root.level,
    )
