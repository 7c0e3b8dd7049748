"""Clients that keep their connection, honour `Connection: close`, and never ask the same thing twice."""

import asyncio
from collections import Counter
from typing import NamedTuple

from . import wire
from .server import reply


class Failure(NamedTuple):
    """A request on an accepted connection that got no complete response."""

    question: str
    first: bool
    """Whether it was the first on its connection."""
    received: int
    """Bytes of a response that came."""
    fault: str


class Client:
    """Asks the same question again and again until connections are refused; notes every response and failure.

    A connection counts as accepted when the kernel has made it: the client cannot know that it still waits in the
    listener's queue, so that a server which closes its listener must have emptied that. `pause`: seconds between two
    questions.
    """

    def __init__(self, port: int, question: str, *, stream: bool = False, pause: float = 0.02) -> None:
        self._port, self._question, self._stream, self._pause = port, question, stream, pause
        fields = ["Accept: text/event-stream"] if stream else []
        self._request = wire.get(f"/ask?q={question}", *fields)
        self.outcomes: Counter[str] = Counter()
        self.failures: list[Failure] = []

    async def run(self) -> None:
        """Ask until the listeners are closed."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                return
            try:
                await self._use(reader, writer)
            finally:
                writer.transport.abort()
            await asyncio.sleep(self._pause)

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask on one connection, until the server says that it ends it."""
        first = True
        while True:
            try:
                writer.write(self._request)
                found = await reply(reader)
            except (OSError, EOFError, ValueError) as fault:
                self.failures.append(self._failure(fault, first=first))
                return
            self.outcomes[outcome(found, stream=self._stream)] += 1
            if found.closes:
                return
            first = False
            await asyncio.sleep(self._pause)

    def _failure(self, fault: Exception, *, first: bool) -> Failure:
        received = len(fault.args[0]) if isinstance(fault, EOFError) else 0
        return Failure(self._question, first, received, type(fault).__name__)


def outcome(found: wire.Reply, *, stream: bool) -> str:
    """What a complete response is; a stream says in its last event whether it failed."""
    if not stream or found.status != 200:
        return str(found.status)
    return next((name for name in ("answer", "error") if f"event: {name}\n".encode() in found.body), "no last event")
