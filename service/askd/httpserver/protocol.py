"""Connection protocol: aiohttp's, with connection limits, arrival times and the fast path.

The fast path answers `GET /ask` without aiohttp's handler task (see `fast_path_connection`). The internals of aiohttp
that this relies on are listed in `server.REQUIRED_ATTRIBUTES`. aiohttp renews its keep-alive deadline only in
`RequestHandler.start`, which fast path requests do not pass through. Its timer is therefore disabled, and a periodic
scan of `ConnectionManager` closes idle connections instead.
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

from askd.httpserver import messages
from askd.httpserver.connections import CloseReason, ConnectionManager
from askd.httpserver.fast_path_connection import CancellableRequest, FastPathConnection

_RequestFactory = Callable[
    [RawRequestMessage, StreamReader, RequestHandler, AbstractStreamWriter, "asyncio.Task[None]"], web.BaseRequest
]

ASTERISK_URL: Final = URL("*", encoded=True)
"""Replaces the `host:port` target of CONNECT, which aiohttp cannot route, so that our 404 handler gets the request."""

LINGER_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER value (on, 0 seconds): closing the socket resets the connection."""

MalformedRequestCallback = Callable[[int, str], None]
"""Called with the response status and the client address of each malformed request."""

_log = structlog.get_logger("askd.connection")


class _NoTimer:
    """Replaces aiohttp's keep-alive timer: aiohttp creates one only if the attribute is None."""

    def cancel(self) -> None:
        """Do nothing."""


_NO_TIMER: Final = cast("asyncio.Handle", _NoTimer())


class HttpConnection(FastPathConnection):
    """A client connection. Implements `connections.ManagedConnection`, which documents its attributes."""

    __slots__ = (
        *(
            "opened_at",
            "expires_at",
            "idle_since",
            "close_after_response_reason",
            "flushed_bytes",
            "stalled_since",
            "deadline",
        ),
        *(
            "_connection_manager",
            "_aiohttp_request_factory",
            "_on_malformed",
            "_close_reason",
            "_written_bytes",
            "_raw_transport",
            "_last_writer",
        ),
    )

    opened_at: float
    expires_at: float
    idle_since: float | None
    close_after_response_reason: CloseReason | None
    flushed_bytes: int
    stalled_since: float | None

    def __init__(
        self,
        *args: Any,
        connection_manager: ConnectionManager,
        on_malformed: MalformedRequestCallback,
        **options: Any,
    ) -> None:
        # With 0, `connection_made` starts no timer; `_NO_TIMER` prevents the one that `start` would create.
        super().__init__(*args, clock=connection_manager.clock, keepalive_timeout=0, **options)
        self._keepalive_handle = _NO_TIMER
        self._aiohttp_request_factory, self._request_factory = (
            cast("_RequestFactory", self._request_factory),
            self._create_request,
        )
        self._connection_manager = connection_manager
        self._on_malformed = on_malformed
        # aiohttp sets `transport` to None in `force_close`, when bytes may still be unsent.
        self._raw_transport: asyncio.Transport | None = None
        self._close_reason: CloseReason | None = None
        self.deadline: float | None = None
        self._written_bytes = 0  # excluding the latest response that was sent through aiohttp
        self._last_writer: AbstractStreamWriter | None = None  # writer of that response

    @property
    def is_busy(self) -> bool:
        """Whether a request is in flight."""
        if self.pending_request is not None:
            return not self.is_closing
        # `_current_request` does not suffice: aiohttp resets it before it sends the response.
        waiter = self._waiter
        return (waiter is None or waiter.done()) and not self.is_closing

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closed, or closes as soon as all bytes are sent."""
        return self._raw_transport is None or self._raw_transport.is_closing()

    @property
    def written_bytes(self) -> int:
        """Bytes written so far, including those still buffered."""
        return self._written_bytes + (self._last_writer.output_size if self._last_writer else 0)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are written but not yet sent."""
        return self._raw_transport.get_write_buffer_size() if self._raw_transport else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, or refuse it with 503 if the connection limit is reached."""
        self._raw_transport = cast("asyncio.Transport", transport)
        if self._connection_manager.try_add(self):
            super().connection_made(transport)
            return
        self.close()
        self._raw_transport.write(messages.TOO_MANY_CONNECTIONS.render())
        self._raw_transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Unregister the connection."""
        default_reason = (
            CloseReason.DRAIN if self.close_after_response_reason is CloseReason.DRAIN else CloseReason.CLIENT
        )
        self._connection_manager.remove(self, self._close_reason or default_reason)
        self._raw_transport = None
        super().connection_lost(exc)

    def close_with_reason(self, reason: CloseReason) -> None:
        """Close the connection.

        A request past its deadline gets a 504 if its response has not begun. Otherwise the connection is aborted if
        it is already closing, busy, has unsent bytes, or uses TLS (whose closing would wait for the client), else
        closed.
        """
        self._close_reason = self._close_reason or reason
        self.flush_responses()
        transport = self._raw_transport
        if transport is None:
            return
        response_not_begun = self.pending_request is not None or (
            self._last_writer is not None and not self._last_writer.output_size
        )
        if reason is CloseReason.DEADLINE and self.is_busy and response_not_begun:
            response = messages.DEADLINE_EXCEEDED.render()
            self._written_bytes += len(response)
            transport.write(response)
            self.force_close()
        elif transport.is_closing() or self.is_busy or self.buffered_bytes or transport.get_extra_info("sslcontext"):
            if self.buffered_bytes:
                _reset_on_close(transport)
            transport.abort()
        else:
            self.force_close()

    def cancel_request(self) -> None:
        """Cancel the request in flight, if any."""
        if self.pending_request is not None:
            self.pending_request.cancel()
        # Without a current request, the task waits for one, or sends a response that must not be cut off.
        elif self._current_request is not None and self._task_handler is not None:
            self._task_handler.cancel()

    def close(self) -> None:
        """Close once the request in flight is finished.

        aiohttp also calls this if the rest of an unread body did not arrive.
        """
        self.flush_responses()
        if self.has_unread_body:
            self.record_close_reason(CloseReason.UNREAD_BODY)
        super().close()

    def record_close_reason(self, reason: CloseReason) -> None:
        """Record why the connection is about to close. The first reason wins."""
        self._close_reason = self._close_reason or reason

    def should_close_after(self, message: RawRequestMessage) -> bool:
        """Return whether the connection closes after the response to this request."""
        return bool(message.should_close) or self.close_after_response_reason is not None

    def on_request_started(self, pending_request: CancellableRequest) -> None:
        """Set the deadline of a pending request of the fast path."""
        self.deadline, self.idle_since = pending_request.deadline, None

    def on_response_sent(self, response: bytes) -> None:
        """Record a response of the fast path."""
        self._written_bytes += len(response)
        self.deadline = self.idle_since = None
        if self.close_after_response_reason is not None:
            self.record_close_reason(self.close_after_response_reason)

    def _create_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """Create the aiohttp request.

        If this is the last request of the connection, it is made to look as if the client asked to close, so that
        aiohttp adds `Connection: close` to any kind of response.
        """
        if self._last_writer is not None:
            self._written_bytes += self._last_writer.output_size
        self._last_writer = writer
        self._set_arrival_time()
        self.deadline = self.idle_since = None
        if message.upgrade and message.method == "CONNECT":
            message = message._replace(url=ASTERISK_URL)
        if self.close_after_response_reason is not None and not message.should_close:
            self.record_close_reason(self.close_after_response_reason)
            message = message._replace(should_close=True)
        return self._aiohttp_request_factory(message, payload, protocol, writer, task)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Send a static response and close the connection. Nothing of the request is echoed."""
        if request.writer.output_size > 0:
            raise ConnectionError("cannot send an error response: another response has already begun")
        if isinstance(exc, http_exceptions.HttpProcessingError):
            response = (
                messages.URI_TOO_LONG if isinstance(exc, http_exceptions.LineTooLong) else messages.MALFORMED_REQUEST
            )
            self.record_close_reason(CloseReason.MALFORMED)
            self._on_malformed(response.status, request.remote or "")
        else:
            response = messages.INTERNAL_ERROR
            self.record_close_reason(CloseReason.FAILED)
            _log.error("connection_error", exc_info=exc)
        return messages.StaticStreamResponse(response)


def arrival_time(request: web.BaseRequest) -> float:
    """Return the arrival time of a request's first byte (`time.monotonic`).

    It is the current time if the request did not come through HttpConnection, as in some tests.
    """
    connection = request.protocol
    return connection.arrived_at if isinstance(connection, HttpConnection) else monotonic()


def set_deadline(request: web.BaseRequest, deadline: float | None) -> None:
    """Set the time (`time.monotonic`) by which the last byte of the response must be sent; None removes the deadline.

    This is the last resort against code that ignores cancellation and clients that do not read: `DEADLINE_GRACE`
    seconds later the client gets a 504 or, if its response has begun, the connection is aborted.
    """
    connection = request.protocol
    if isinstance(connection, HttpConnection):
        connection.deadline = deadline


def record_close_reason(request: web.BaseRequest, reason: CloseReason) -> None:
    """Record why the connection of this request is about to close. The first reason wins."""
    connection = request.protocol
    if isinstance(connection, HttpConnection):
        connection.record_close_reason(reason)


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Make the kernel reset the connection and drop its send buffer when the socket is closed.

    Otherwise the kernel keeps megabytes for minutes for each client that does not read, until memory runs out.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # the client has already reset the connection
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
