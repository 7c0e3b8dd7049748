"""The load itself: connections that cost next to nothing, and requests that are due whatever comes back."""

import asyncio
import random
import time
from collections import deque
from typing import Final, cast

from . import wire
from .numbers import ANSWERED, BROKEN, GAVE_UP
from .phase import Phase, Step
from .tally import Tally

TICK: Final = 0.001
"""Seconds between two looks at what is overdue."""
RECONNECT: Final = 0.05
"""Seconds before a refused connection is tried again."""


class Shot:
    """One request: when it was due, the tally that it counts for, and the connection that carries it."""

    __slots__ = ("connection", "due", "over", "tally")

    def __init__(self, due: float, tally: Tally) -> None:
        self.due = due
        self.tally = tally
        self.over = False
        self.connection: Connection | None = None


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on it."""

    def __init__(self, pool: "Pool") -> None:
        self.alive = False
        self._pool = pool
        self._buffer = b""
        self._shot: Shot | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for a request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self.alive = True
        self._pool.free(self)

    def send(self, shot: Shot, request: bytes) -> None:
        """Put a request on the wire."""
        assert self._transport
        self._shot, shot.connection = shot, self
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a part of a response; the whole of it ends the request."""
        self._buffer = self._buffer + data if self._buffer else data
        reply = wire.read(self._buffer)
        if reply is None:
            return
        self._buffer = self._buffer[reply.size :]
        shot, self._shot = self._shot, None
        if reply.closes:
            self.drop()
        if shot is not None:
            self._pool.replied(shot, reply)
        if not reply.closes:
            self._pool.free(self, answered=reply.status == ANSWERED)

    def connection_lost(self, exc: Exception | None) -> None:
        """A request that is under way is lost with its connection."""
        self.alive = False
        if self._shot is not None:
            self._pool.ended(self._shot, BROKEN)
        self._pool.lost(self)

    def drop(self) -> None:
        """Close the connection, as a client does that goes."""
        if self._transport is not None:
            self._transport.abort()


class Pool:
    """The connections of one phase, the requests that wait for one, and those that wait for a response."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._loop = asyncio.get_running_loop()
        self._random = random.Random(phase.seed)
        self._request = wire.get(phase.target, *phase.fields)
        self._varies = b"{address}" in self._request
        self._sent = phase.first_address
        self._idle: deque[Connection] = deque()
        self._waiting: deque[Shot] = deque()
        self._pending: deque[Shot] = deque()
        self._closed: Tally | None = None
        """Set while a closed loop runs: what its requests count for."""
        self._until = 0.0
        self._left = 0
        self._open = True
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> list[Tally]:
        """Run the steps, wait for what is under way, close everything; returns what came of each step."""
        async with asyncio.timeout(30):
            await asyncio.gather(*(self._connected() for _ in range(self._phase.connections)))
        tallies = [await self._step(step) for step in self._phase.steps]
        while self._pending:
            self._expire(time.monotonic())
            await asyncio.sleep(TICK)
        self._open = False
        for connection in list(self._connections):
            connection.drop()
        return tallies

    async def _step(self, step: Step) -> Tally:
        tally = Tally(step, time.monotonic())
        if step.rate is None:
            await self._ask_again(step, tally)
        else:
            await self._ask_when_due(step.rate, tally)
        tally.ended = time.monotonic()
        return tally

    async def _ask_when_due(self, rate: float, tally: Tally) -> None:
        due, end = tally.started, tally.started + tally.step.seconds
        while (now := time.monotonic()) < end:
            while due <= now:
                self._ask(due, tally, now)
                due += self._random.expovariate(rate)
            self._expire(now)
            await asyncio.sleep(self._phase.tick)

    async def _ask_again(self, step: Step, tally: Tally) -> None:
        self._left = step.requests if step.requests is not None else 1 << 62
        self._closed, self._until = tally, tally.started + step.seconds
        for connection in [self._idle.popleft() for _ in range(len(self._idle))]:
            self.free(connection)
        while (now := time.monotonic()) < self._until and (self._left or self._pending):
            self._expire(now)
            await asyncio.sleep(TICK)
        self._closed = None

    def _ask(self, due: float, tally: Tally, now: float) -> None:
        shot = Shot(due, tally)
        self._pending.append(shot)
        tally.offered += 1
        if self._idle:
            tally.late.append(now - due)
            self._send(self._idle.popleft(), shot)
        else:
            self._waiting.append(shot)

    def _send(self, connection: Connection, shot: Shot) -> None:
        self._sent += 1
        request = self._request
        if self._varies:
            address = ".".join(map(str, (0x0A000000 + self._sent).to_bytes(4, "big")))
            request = request.replace(b"{address}", address.encode())
        connection.send(shot, request)

    def free(self, connection: Connection, *, answered: bool = True) -> None:
        """Give a connection that can carry a request its next one, or keep it."""
        if not connection.alive:
            return
        while self._waiting:
            shot = self._waiting.popleft()
            if not shot.over:
                self._send(connection, shot)
                return
        if self._closed is None or time.monotonic() >= self._until or not self._left:
            self._idle.append(connection)
        elif not answered and self._phase.pause:
            self._loop.call_later(self._phase.pause * self._random.uniform(0.5, 1.5), self.free, connection)
        else:
            self._left -= 1
            now = time.monotonic()
            self._idle.appendleft(connection)
            self._ask(now, self._closed, now)

    def replied(self, shot: Shot, reply: wire.Reply) -> None:
        """Count a complete response, unless it came too late."""
        if not shot.over:
            shot.over = True
            seconds = time.monotonic() - shot.due
            outcome = str(reply.status) if seconds <= self._phase.patience else GAVE_UP
            shot.tally.add(shot.due, seconds, outcome, reply.field(b"retry-after"))

    def ended(self, shot: Shot, outcome: str) -> None:
        """Count a request that gets no response."""
        if not shot.over:
            shot.over = True
            shot.tally.add(shot.due, time.monotonic() - shot.due, outcome)

    def lost(self, connection: Connection) -> None:
        """Connect anew in place of a connection that is gone."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._open:
            task = self._loop.create_task(self._connected())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _expire(self, now: float) -> None:
        """Give up what is overdue; what is pending stands in the order in which it was due."""
        while self._pending and (self._pending[0].over or now - self._pending[0].due > self._phase.patience):
            shot = self._pending.popleft()
            if not shot.over:
                self.ended(shot, GAVE_UP)
                if shot.connection is not None:
                    shot.connection.drop()

    async def _connected(self) -> None:
        while self._open:
            try:
                made = await self._loop.create_connection(lambda: Connection(self), "127.0.0.1", self._phase.port)
            except OSError:
                await asyncio.sleep(RECONNECT)
            else:
                self._connections.add(made[1])
                return
