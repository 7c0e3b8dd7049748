"""Load generator: cheap connections, and requests in an open or a closed loop."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Coroutine
from typing import Final, cast

from benchmarks.load import raw_http
from benchmarks.load.phases import Phase, Step
from benchmarks.load.step_recorder import StepRecorder
from benchmarks.load.step_result import CLIENT_TIMEOUT, CONNECTION_LOST, OK_STATUS

EXPIRY_INTERVAL: Final = 0.001
"""Seconds between two checks for requests that exceeded the time-out."""
RECONNECT_DELAY: Final = 0.05
"""Seconds before a failed connection attempt is repeated."""


class PendingRequest:
    """A request with its due time, the recorder of its step, and its connection once it is sent."""

    __slots__ = ("connection", "due_at", "is_done", "recorder")

    def __init__(self, due_at: float, recorder: StepRecorder) -> None:
        self.due_at = due_at
        self.recorder = recorder
        self.is_done = False
        self.connection: Connection | None = None


class Connection(asyncio.Protocol):
    """A connection with at most one request at a time. `is_kept` is whether it is used for several requests."""

    def __init__(self, pool: "ConnectionPool", *, is_kept: bool = True) -> None:
        self.is_open = False
        self.is_kept = is_kept
        self._pool = pool
        self._buffer = b""
        self._pending: PendingRequest | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Announce an idle connection to the pool."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass
        self.is_open = True
        if self.is_kept:
            self._pool.on_connection_idle(self)

    def send(self, pending: PendingRequest, request: bytes) -> None:
        """Send the bytes of a request."""
        assert self._transport
        self._pending, pending.connection = pending, self
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Finish the request when its response is complete."""
        self._buffer = self._buffer + data if self._buffer else data
        response = raw_http.parse_response(self._buffer)
        if response is None:
            return
        self._buffer = self._buffer[response.size :]
        pending, self._pending = self._pending, None
        if response.closes_connection or not self.is_kept:
            self.abort()
        if pending is not None:
            self._pool.on_response(pending, response)
        if self.is_kept and not response.closes_connection:
            self._pool.on_connection_idle(self, answered=response.status == OK_STATUS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending request."""
        self.is_open = False
        if self._pending is not None:
            self._pool.on_failure(self._pending, CONNECTION_LOST)
        if self.is_kept:
            self._pool.on_connection_lost(self)

    def abort(self) -> None:
        """Close the connection immediately."""
        if self._transport is not None:
            self._transport.abort()


class ConnectionPool:
    """Connections of one phase, requests that wait for a connection, and requests that wait for a response."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._loop = asyncio.get_running_loop()
        self._random = random.Random(phase.seed)
        self._request = raw_http.get_request(phase.target, *phase.fields)
        self._varies_address = b"{address}" in self._request
        self._sent = phase.first_address
        self._idle: deque[Connection] = deque()
        self._waiting: deque[PendingRequest] = deque()
        self._pending: deque[PendingRequest] = deque()
        self._closed_loop_recorder: StepRecorder | None = None
        """Recorder of the running closed loop; None outside of one."""
        self._closed_loop_end = 0.0
        self._requests_left = 0
        self._open = True
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> list[StepRecorder]:
        """Run the steps, wait for pending requests, and close all connections. Returns the recorder of each step."""
        async with asyncio.timeout(30):
            await asyncio.gather(*(self._connect() for _ in range(self._phase.connections)))
        recorders = [await self._run_step(step) for step in self._phase.steps]
        while self._pending:
            self._expire_overdue(time.monotonic())
            await asyncio.sleep(EXPIRY_INTERVAL)
        self._open = False
        for connection in list(self._connections):
            connection.abort()
        return recorders

    async def _run_step(self, step: Step) -> StepRecorder:
        recorder = StepRecorder(step, time.monotonic())
        if step.rate is None:
            await self._run_closed_loop(step, recorder)
        else:
            await self._run_open_loop(step.rate, recorder)
        recorder.ended_at = time.monotonic()
        return recorder

    async def _run_open_loop(self, rate: float, recorder: StepRecorder) -> None:
        due_at, end = recorder.started_at, recorder.started_at + recorder.step.seconds
        while (now := time.monotonic()) < end:
            while due_at <= now:
                self._start_request(due_at, recorder, now)
                due_at += self._random.expovariate(rate)
            self._expire_overdue(now)
            await asyncio.sleep(self._phase.poll_interval)

    async def _run_closed_loop(self, step: Step, recorder: StepRecorder) -> None:
        self._requests_left = step.requests if step.requests is not None else 1 << 62
        self._closed_loop_recorder, self._closed_loop_end = recorder, recorder.started_at + step.seconds
        for connection in [self._idle.popleft() for _ in range(len(self._idle))]:
            self.on_connection_idle(connection)
        while (now := time.monotonic()) < self._closed_loop_end and (self._requests_left or self._pending):
            self._expire_overdue(now)
            await asyncio.sleep(EXPIRY_INTERVAL)
        self._closed_loop_recorder = None

    def _start_request(self, due_at: float, recorder: StepRecorder, now: float) -> None:
        pending = PendingRequest(due_at, recorder)
        self._pending.append(pending)
        recorder.offered += 1
        if not self._phase.connections:
            recorder.generator_lags.append(now - due_at)
            self._run_task(self._send_on_new_connection(pending))
        elif self._idle:
            recorder.generator_lags.append(now - due_at)
            self._send(self._idle.popleft(), pending)
        else:
            self._waiting.append(pending)

    def _send(self, connection: Connection, pending: PendingRequest) -> None:
        self._sent += 1
        request = self._request
        if self._varies_address:
            address = ".".join(map(str, (0x0A000000 + self._sent).to_bytes(4, "big")))
            request = request.replace(b"{address}", address.encode())
        connection.send(pending, request)

    def on_connection_idle(self, connection: Connection, *, answered: bool = True) -> None:
        """Send the next request over an idle connection, or store it."""
        if not connection.is_open:
            return
        while self._waiting:
            pending = self._waiting.popleft()
            if not pending.is_done:
                self._send(connection, pending)
                return
        if self._closed_loop_recorder is None or time.monotonic() >= self._closed_loop_end or not self._requests_left:
            self._idle.append(connection)
        elif not answered and self._phase.pause:
            self._loop.call_later(
                self._phase.pause * self._random.uniform(0.5, 1.5), self.on_connection_idle, connection
            )
        else:
            self._requests_left -= 1
            now = time.monotonic()
            self._idle.appendleft(connection)
            self._start_request(now, self._closed_loop_recorder, now)

    def on_response(self, pending: PendingRequest, response: raw_http.Response) -> None:
        """Record a complete response, or a time-out if it is late."""
        if not pending.is_done:
            pending.is_done = True
            seconds = time.monotonic() - pending.due_at
            outcome = str(response.status) if seconds <= self._phase.timeout else CLIENT_TIMEOUT
            pending.recorder.record(pending.due_at, seconds, outcome, response.header(b"retry-after"))

    def on_failure(self, pending: PendingRequest, outcome: str) -> None:
        """Record a request without a response."""
        if not pending.is_done:
            pending.is_done = True
            pending.recorder.record(pending.due_at, time.monotonic() - pending.due_at, outcome)

    def on_connection_lost(self, connection: Connection) -> None:
        """Replace a closed connection."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._open:
            self._run_task(self._connect())

    def _run_task(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _expire_overdue(self, now: float) -> None:
        """Fail pending requests that exceeded the time-out. They are ordered by their due times."""
        while self._pending and (self._pending[0].is_done or now - self._pending[0].due_at > self._phase.timeout):
            pending = self._pending.popleft()
            if not pending.is_done:
                self.on_failure(pending, CLIENT_TIMEOUT)
                if pending.connection is not None:
                    pending.connection.abort()

    async def _send_on_new_connection(self, pending: PendingRequest) -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self, is_kept=False), "127.0.0.1", self._phase.port
            )
        except OSError:
            self.on_failure(pending, CONNECTION_LOST)
        else:
            if pending.is_done:
                connection.abort()
            else:
                self._send(connection, pending)

    async def _connect(self) -> None:
        while self._open:
            try:
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self), "127.0.0.1", self._phase.port
                )
            except OSError:
                await asyncio.sleep(RECONNECT_DELAY)
            else:
                self._connections.add(connection)
                return
