"""The doorway: where a request that has come is answered at once, or begun without `start`, if the door can do it.

What it rests on in aiohttp, `footing` lists.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from service.web.intake import Intake
from service.web.outbox import LARGEST, Outbox


class Underway(Protocol):
    """An exchange that goes on in a task of its own, and calls `Doorway.answered` at its end."""

    due: float | None
    """When it must have ended, by the clock; None: whenever."""

    def cancel(self) -> None:
        """End it: its client has left, or the server cannot wait any longer."""


Door = Callable[[RawRequestMessage, "Doorway"], bytes | Underway | None]
"""Returns the bytes of the answer to a request without a body, or the exchange that it will come from; None: the
request goes the ordinary way.

Whether the bytes must say `Connection: close`, `Doorway.closes` tells; when it came, `Doorway.arrived`. Must not
wait.
"""

_log = structlog.get_logger("askd.connection")


class Doorway(Intake):
    """A connection that asks the door first; `door` None: every request goes the ordinary way."""

    __slots__ = ("_door", "_outbox", "_peer", "posted", "underway")

    def __init__(self, *args: Any, door: Door | None, outbox: Outbox, **options: Any) -> None:
        super().__init__(*args, **options)
        self._door = door
        self._outbox = outbox
        self.posted = False
        """Whether an answer waits in the outbox."""
        self._peer: str | None = None
        self.underway: Underway | None = None
        """What the door has begun for this connection; nothing else is begun meanwhile."""

    def closes(self, message: RawRequestMessage) -> bool:
        """Say whether the connection ends with the answer to this."""
        return bool(message.should_close)

    def gave(self, answer: bytes) -> None:
        """Take note of an answer of the door's."""

    def began(self, exchange: Underway) -> None:
        """Take note that an exchange of the door's goes on for a while."""

    @property
    def peer(self) -> str:
        """The address of whoever is at the other end; empty where there is none."""
        if self._peer is None:
            name = self.peername
            self._peer = str(name[0]) if isinstance(name, tuple) else ""
        return self._peer

    def answered(self, answer: bytes, message: RawRequestMessage) -> None:
        """Send the answer of the exchange under way, and go on with what has come meanwhile."""
        self.underway = None
        self._send(answer, message)
        waiter, door = self._waiter, self._door
        if waiter is None or door is None or self.transport is None:
            return
        self._answer(door)
        self._wake(waiter)
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the exchange under way with its client."""
        super().connection_lost(exc)
        if self.underway is not None:
            self.underway.cancel()
            self.underway = None

    def _take(self, data: bytes, now: float) -> bool:
        """Feed the parser, and answer what is at hand; says whether a request's headers ended.

        That may be done while `start` waits; and for the one request that comes with a connection, before `start` has
        begun: what stood behind that, it would begin by itself.
        """
        waiter, door, fresh = self._waiter, self._door, self._fresh
        self._fresh = False
        if door is None or (not fresh if waiter is None else waiter.done()):
            return self._feed(data, now)
        self._outbox.expect()
        self._waiter = None  # so that `start` is not woken for what is answered here
        try:
            took = self._feed(data, now)
        finally:
            self._waiter = waiter
        self._answer(door)
        self._wake(waiter)
        return took

    def _wake(self, waiter: asyncio.Future[None] | None) -> None:
        """Let `start` take what is not for the door, once nothing is under way; None: it has still to begin."""
        if waiter is not None and self._messages and self.underway is None and not waiter.done():
            waiter.set_result(None)

    def _answer(self, door: Door) -> None:
        """Answer what is at hand, in order, up to the first request that is not."""
        queue, stamps = self._messages, self._stamps
        while queue and self.underway is None and queue[0][1] is EMPTY_PAYLOAD and not self.writing_paused:
            message = queue[0][0]
            if not isinstance(message, RawRequestMessage) or message.upgrade:
                return
            self.arrived = stamps[0]
            try:
                answer = door(message, self)
            except Exception:
                _log.exception("the door failed")
                return  # the ordinary way is left
            if answer is None:
                return
            queue.popleft()
            del stamps[0]
            if self._parser is not None and self._manager is not None:  # not lost; what aiohttp does for each
                self._parser.message_consumed()
                self._manager.requests_count += 1
            if isinstance(answer, bytes):
                self._send(answer, message)
            else:
                self.underway = answer
                self.began(answer)

    def _send(self, answer: bytes, message: RawRequestMessage) -> None:
        """Send an answer, and close where it is the last."""
        if self.transport is None:
            return  # lost
        closes = self.closes(message)
        if closes or self.posted or len(answer) > LARGEST:
            self.clear()
            self.transport.write(answer)
        else:
            self._outbox.expect()
            self._outbox.put(self, answer)
        self.gave(answer)
        if closes:
            self._messages.clear()
            self.force_close()

    def clear(self) -> None:
        """Send what waits in the outbox, as something else follows it."""
        if self.posted:
            self._outbox.flush()

    def force_close(self) -> None:
        """Close; what was answered is sent."""
        self.clear()
        super().force_close()
