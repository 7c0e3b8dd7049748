"""The connection: aiohttp's own, with a guard over its end, a time on its requests, and answers at hand before them.

It rests on what `footing` lists. aiohttp renews its keep-alive deadline only in `start`, so that its timer is off and
the guard's sweep does its work.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, cast

import structlog
from aiohttp import http_exceptions, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from yarl import URL

from service.guards.connections import Connections, Reason
from service.web import ready
from service.web.doorway import Doorway, Underway
from service.web.malformed import Malformed

_Make = Callable[
    [RawRequestMessage, StreamReader, RequestHandler, AbstractStreamWriter, "asyncio.Task[None]"], web.BaseRequest
]

NO_PATH: Final = URL("*", encoded=True)
"""Where CONNECT leads: nowhere, as `OPTIONS *`. In the address that it names, aiohttp would not look for our routes."""

RESET: Final = struct.pack("ii", 1, 0)
"""For SO_LINGER: on, for no time at all."""

_log = structlog.get_logger("askd.connection")


class _NoTimer:
    """Stands where aiohttp would put the timer of an idle connection, so that it makes none."""

    def cancel(self) -> None:
        """Nothing runs."""


_NO_TIMER: Final = cast("asyncio.Handle", _NoTimer())


class Connection(Doorway):
    """One client's connection. What the guard reads and writes is described at `guards.connections.Line`."""

    __slots__ = (
        *("opened", "ends", "free", "last", "taken", "stuck", "due"),
        *("_guard", "_make", "_malformed", "_reason", "_sent", "_wire", "_writer"),
    )

    opened: float
    ends: float
    free: float | None
    last: Reason | None
    taken: int
    stuck: float | None

    def __init__(self, *args: Any, guard: Connections, malformed: Malformed, **options: Any) -> None:
        super().__init__(*args, clock=guard.clock, keepalive_timeout=0, **options)
        self._keepalive_handle = _NO_TIMER
        self._make, self._request_factory = cast("_Make", self._request_factory), self._begin
        self._guard = guard
        self._malformed = malformed
        self._wire: asyncio.Transport | None = None
        self._reason: Reason | None = None
        self.due: float | None = None
        self._sent = 0  # bytes, the last ordinary answer's aside
        self._writer: AbstractStreamWriter | None = None  # that answer's

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way."""
        if self.underway is not None:
            return not self.closing
        waiter = self._waiter
        return (waiter is None or waiter.done()) and not self.closing

    @property
    def closing(self) -> bool:
        """Whether it closes as soon as all has been sent."""
        return self._wire is None or self._wire.is_closing()

    @property
    def sent(self) -> int:
        """Bytes that were sent until now, or wait to be."""
        return self._sent + (self._writer.output_size if self._writer else 0)

    @property
    def unsent(self) -> int:
        """How many of them wait."""
        return self._wire.get_write_buffer_size() if self._wire else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, or say that there is no room for it."""
        self._wire = cast("asyncio.Transport", transport)
        if self._guard.opened(self):
            super().connection_made(transport)
            return
        self.close()
        self._wire.write(ready.FULL.dated())
        self._wire.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take note of the end."""
        drained = Reason.DRAIN if self.last is Reason.DRAIN else Reason.CLIENT
        self._guard.closed(self, self._reason or drained)
        self._wire = None
        super().connection_lost(exc)

    def end(self, reason: Reason) -> None:
        """Close; at once where waiting for the client has been tried or makes no sense."""
        self._reason = self._reason or reason
        self.clear()
        wire = self._wire
        if wire is None:
            return
        unbegun = self.underway is not None or (self._writer is not None and not self._writer.output_size)
        if reason is Reason.DEADLINE and self.busy and unbegun:
            overdue = ready.OVERDUE.dated()
            self._sent += len(overdue)
            wire.write(overdue)
            self.force_close()
        elif wire.is_closing() or self.busy or self.unsent or wire.get_extra_info("sslcontext"):
            if self.unsent:
                _drop_unsent(wire)
            wire.abort()
        else:
            self.force_close()

    def interrupt(self) -> None:
        """Cancel the exchange under way, if there is one."""
        if self.underway is not None:
            self.underway.cancel()
        elif self._current_request is not None and self._task_handler is not None:
            self._task_handler.cancel()

    def close(self) -> None:
        """Close after the exchange under way; aiohttp calls this, too, where the rest of a body did not come."""
        self.clear()
        if self.unread:
            self.because(Reason.UNREAD)
        super().close()

    def because(self, reason: Reason) -> None:
        """Say why the connection is going to end, unless that is known."""
        self._reason = self._reason or reason

    def closes(self, message: RawRequestMessage) -> bool:
        """Say whether the connection ends with the answer to this."""
        return bool(message.should_close) or self.last is not None

    def began(self, exchange: Underway) -> None:
        """Take note that an exchange of the door's goes on for a while."""
        self.due, self.free = exchange.due, None

    def gave(self, answer: bytes) -> None:
        """Take note of an answer that was at hand."""
        self._sent += len(answer)
        self.due = self.free = None
        if self.last is not None:
            self.because(self.last)

    def _begin(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """Make the request of the next exchange, as one that asks to close where it is the last.

        So every kind of answer gets its `Connection: close`, without knowing why.
        """
        if self._writer is not None:
            self._sent += self._writer.output_size
        self._writer = writer
        self._turn()
        self.due = self.free = None
        if message.upgrade and message.method == "CONNECT":
            message = message._replace(url=NO_PATH)
        if self.last is not None and not message.should_close:
            self.because(self.last)
            message = message._replace(should_close=True)
        return self._make(message, payload, protocol, writer, task)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with constant bytes and close; nothing of the input is echoed."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already on its way")
        if isinstance(exc, http_exceptions.HttpProcessingError):
            answer = ready.TOO_LONG if isinstance(exc, http_exceptions.LineTooLong) else ready.MALFORMED
            self.because(Reason.MALFORMED)
            self._malformed.seen(answer.status, request.remote or "")
        else:
            answer = ready.FAILED
            self.because(Reason.FAILED)
            _log.error("uncaught error", exc_info=exc)
        return ready.ReadyResponse(answer)


def arrived(request: web.BaseRequest) -> float:
    """Return when the first byte of the request under way came, by `time.monotonic`; now, where nobody took note."""
    connection = request.protocol
    return connection.arrived if isinstance(connection, Connection) else monotonic()


def set_due(request: web.BaseRequest, when: float | None) -> None:
    """Say when, by `time.monotonic`, the exchange must have ended, its last byte taken; None: whenever.

    A second later the client gets a 504 or, where its answer has begun, the end of the connection, whatever the code
    does. For what heeds no cancellation, and for clients that do not read.
    """
    connection = request.protocol
    if isinstance(connection, Connection):
        connection.due = when


def because(request: web.BaseRequest, reason: Reason) -> None:
    """Say why the request's connection is going to end, unless that is known."""
    connection = request.protocol
    if isinstance(connection, Connection):
        connection.because(reason)


def _drop_unsent(wire: asyncio.Transport) -> None:
    """Have the kernel drop what it has not sent either when the connection is closed, and reset it.

    It would keep megabytes for each client that takes nothing, for minutes, until there were none for the others.
    """
    found = wire.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):  # the client has reset it by now
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
