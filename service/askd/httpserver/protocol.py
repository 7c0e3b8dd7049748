"""One client connection: it reads requests, lets the fast path or aiohttp respond to each, and closes in time.

The fast path answers `GET /ask` as soon as its bytes have arrived; aiohttp gets everything else through the bridge.
Limits and time-outs (`connections`) hold for both. Requests are handled one at a time, in order.
"""

import asyncio
from typing import TYPE_CHECKING, Final, cast

import structlog

from askd.errors import BadQuestion, Overloaded, Problem
from askd.httpserver import responses
from askd.httpserver.aiohttp_bridge import AiohttpBridge
from askd.httpserver.client_address import canonical_address
from askd.httpserver.connections import CloseReason
from askd.httpserver.deferred_writes import MAX_DEFERRED_RESPONSE_BYTES
from askd.httpserver.early_transport import EarlyTransport
from askd.httpserver.request_parser import REQUEST_OVERHEAD, IncomingRequest, RequestHead, RequestParser, RequestQueue
from askd.httpserver.responses import StaticResponse
from askd.httpserver.sockets import reset_on_close

if TYPE_CHECKING:
    from askd.httpserver.server import HttpServer, PendingResponse

MAX_REQUESTS_PER_ITERATION: Final = 32
"""Requests of one connection per loop iteration, so that a long pipeline does not starve other connections."""
MAX_UNCOUNTED_BYTES: Final = 1024
"""Bytes of a complete request that do not count for the limit of received bytes: the maximum of connections does."""
_log = structlog.get_logger("askd.connection")


class HttpConnection(asyncio.Protocol):
    """A connection that a server has accepted. `connections.ManagedConnection` documents its attributes."""

    __slots__ = (
        "_bridge", "_close_reason", "_has_input_ended", "_ignores_requests", "_is_body_paused", "_is_lingering",
        "_is_reading_paused", "_last_write_size", "_parser", "_pending", "_queue", "_request", "_server", "arrived_at",
        "close_after_response_reason", "deadline", "expires_at", "flushed_bytes", "has_deferred_response",
        "has_received_request", "idle_since", "is_writing_paused", "peer_address", "stalled_since", "transport",
        "unsent_bytes", "written_bytes",
    )  # fmt: skip

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._queue = RequestQueue()  # received, and not started
        self._parser = RequestParser(
            server.max_line_size, max_head_size=server.max_head_size, requests=self._queue, on_body=self._on_body
        )
        self.transport: asyncio.Transport | None = None  # None before it is connected, and after it is lost
        self._bridge: AiohttpBridge | None = None  # made for the first request that the fast path does not answer
        self._request: IncomingRequest | None = None  # in flight
        self._pending: PendingResponse | None = None  # the response to it, if the fast path produces it
        self.arrived_at = 0.0  # of the first byte of the current request
        self.deadline: float | None = None
        self.has_deferred_response = self.has_received_request = self.is_writing_paused = False
        self._is_reading_paused = self._is_body_paused = self._is_lingering = False
        self._ignores_requests = self._has_input_ended = False  # the first is set after the last request
        self._close_reason = self.close_after_response_reason = cast("CloseReason | None", None)
        self.peer_address = ""  # IP address of the peer; empty for a Unix socket
        self.expires_at = 0.0
        self.idle_since: float | None = None
        self.stalled_since: float | None = None
        self.flushed_bytes = self.written_bytes = self.unsent_bytes = self._last_write_size = 0

    @property
    def is_early(self) -> bool:
        """Whether its first bytes came with it, and are handled before the event loop has a transport for it."""
        return isinstance(self.transport, EarlyTransport) and not self.transport.bytes_came_later

    @property
    def is_busy(self) -> bool:
        """Whether a request is in flight."""
        return self._request is not None and not self.is_closing

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closed, or closes as soon as all bytes are sent and the client has closed it."""
        return self._is_lingering or self.transport is None or self.transport.is_closing()

    @property
    def headers_started_at(self) -> float | None:
        """Arrival time of the first byte of a request whose headers are incomplete, or None."""
        return self._parser.head_started_at

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are written but not yet sent."""
        return self.transport.get_write_buffer_size() if self.transport else 0

    @property
    def received_bytes(self) -> int:
        """Bytes received of an unfinished head, of the request in flight, and of requests that wait for it."""
        request = None if self._bridge is not None and self._bridge.has_begun_response else self._request
        in_flight = 0 if request is None else request.size
        received = self._parser.unfinished_size + len(self._parser.held) + self._queue.size + in_flight
        return 0 if self.is_closing else received

    @property
    def refusal_order(self) -> tuple[bool, float]:
        """Sort key: unfinished requests first and the oldest of them first, then complete ones, the newest first."""
        started_at = self.headers_started_at or self.arrived_at
        is_complete = self._request is not None and self._request.is_complete and not self._queue
        return is_complete, -started_at if is_complete else started_at

    def closes_after(self, head: RequestHead) -> bool:
        """Return whether the connection closes after the response to this request."""
        return self.close_after_response_reason is not None or not head.keep_alive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, or refuse it with 503 if the connection limit is reached."""
        transport = cast("asyncio.Transport", transport)
        if isinstance(self.transport, EarlyTransport):  # the event loop has taken the connection over
            self._replace_transport(self.transport, transport)
            return
        if self._ignores_requests:  # it was evicted meanwhile
            transport.abort()
            return
        self.transport = transport
        name = transport.get_extra_info("peername")
        self.peer_address = canonical_address(str(name[0])) if isinstance(name, tuple) else ""
        if not self._server.connections.try_add(self):
            self._ignores_requests = True
            transport.write(responses.TOO_MANY_CONNECTIONS.render())
            transport.close()

    def _replace_transport(self, early: EarlyTransport, transport: asyncio.Transport) -> None:
        self.transport = transport
        if early.unsent:
            transport.write(early.unsent)
        if early.is_closing():
            transport.close()
        elif self._is_reading_paused:
            transport.pause_reading()

    def data_received(self, data: bytes, waited: float = 0.0) -> None:
        """Handle received bytes, which have waited for this number of seconds in the kernel."""
        if self._ignores_requests and self._request is None:
            return
        parser, now = self._parser, self._server.clock() - waited
        if self._request is None and not self._queue and parser.is_between_requests and not self._ignores_requests:
            head = self._server.cached_heads.get(data)
            if head is not None:
                self._handle(head, now, None)
                return
            parser.feed(data, now)
            if len(self._queue) == 1 and parser.is_between_requests:
                head = self._queue[0].head
                if head is not None and not head.has_body:
                    self._server.cached_heads.add(data, head)
        else:
            parser.feed(data, now)
            if self._ignores_requests:
                self._queue.clear()
        self._process_queue()
        if self._queue or not parser.is_between_requests or len(data) > MAX_UNCOUNTED_BYTES:
            self._server.connections.received_bytes.add(len(data) + REQUEST_OVERHEAD * len(self._queue))

    def eof_received(self) -> bool:
        """Return whether the connection stays open although the client sends nothing more, until it has its responses.

        A closed connection cannot be told from one whose client only ends its own side (`shutdown(SHUT_WR)`), and the
        calls of clients that have left must be cancelled. So only an end right after the request counts as such.
        """
        self._flush()
        if self.transport is None or self._parser.is_in_body or self.transport.get_extra_info("sslcontext") is not None:
            return False
        self._has_input_ended = self._server.clock() - self.arrived_at < self._server.half_close_window
        return self._has_input_ended and (self._request is not None or bool(self._queue))

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self.is_writing_paused = True
        self.unsent_bytes = max(self._last_write_size, self.buffered_bytes)
        self._server.connections.unsent_bytes.add(self.unsent_bytes)
        if self._bridge is not None:
            self._bridge.pause_writing()

    def resume_writing(self) -> None:
        """The client has read enough of the write buffer."""
        self.is_writing_paused, self.unsent_bytes = False, 0
        if self._bridge is not None:
            self._bridge.resume_writing()
        self._process_queue()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the request in flight, and unregister the connection."""
        is_draining = self.close_after_response_reason is CloseReason.DRAIN
        default_reason = CloseReason.DRAIN if is_draining else CloseReason.CLIENT
        self._server.connections.remove(self, self._close_reason or default_reason)
        self.transport = None
        self._ignores_requests = True
        self._queue.clear()
        self._parser.close()
        if self._pending is not None:
            self._pending.cancel(None)
        if self._bridge is not None:
            self._bridge.connection_lost(exc)

    def _on_body(self, request: IncomingRequest) -> None:
        self.has_received_request = self.has_received_request or request.is_complete
        if request is not self._request or self._bridge is None:
            return
        if request.refusal is None:
            self._bridge.feed_body()
        else:
            self._ignores_requests = True
            self.record_close_reason(CloseReason.MALFORMED)
            self._bridge.interrupt(
                BadQuestion("body", "The body does not match its Transfer-Encoding or length, or has too small chunks.")
            )

    def _process_queue(self) -> None:
        """Start the requests that have arrived, each when the one before it is finished."""
        queue, budget = self._queue, MAX_REQUESTS_PER_ITERATION
        while queue and budget and self._request is None and not (self.is_writing_paused or self.is_closing):
            budget -= 1
            request = queue.popleft()
            if request.head is None or request.refusal is not None:
                self._refuse(request.refusal or responses.MALFORMED_REQUEST)
            else:
                self._handle(request.head, request.arrived_at, request)
        if self._parser.held and not (queue.is_full or self.is_writing_paused):
            self._parser.resume(self._server.clock())
            budget = 0
        if queue and not budget:
            asyncio.get_running_loop().call_soon(self._process_queue)
        if queue or self._parser.held or self._is_reading_paused:
            self._update_reading()
        elif self._has_input_ended and self._request is None:
            self.close()

    def _handle(self, head: RequestHead, arrived_at: float, request: IncomingRequest | None) -> None:
        """Let the fast path or aiohttp respond to a request; `request` may be None if it has no body."""
        self.arrived_at = arrived_at
        self.has_received_request = self.has_received_request or not head.has_body
        self.deadline = self.idle_since = None
        fast_path = self._server.fast_path
        response: bytes | PendingResponse | None = None
        if fast_path is not None and not head.has_body and not head.is_upgrade:
            try:
                response = fast_path(head, self)
            except Exception:
                _log.exception("fast_path_failed")
                self.record_close_reason(CloseReason.FAILED)
                response = responses.INTERNAL_ERROR.render()
                self.close_after_response_reason = CloseReason.FAILED
        if isinstance(response, bytes):
            self._send(response, closes=self.close_after_response_reason is not None or not head.keep_alive)
            return
        self._request = request = request or IncomingRequest(head, arrived_at)
        request.is_complete = request.is_complete or not head.has_body
        if response is not None:
            self._pending, self.deadline = response, response.deadline
            return
        if self._bridge is None:
            self._bridge = AiohttpBridge(self, self._server.make_aiohttp_handler)
        self._bridge.start(request)

    def _refuse(self, refusal: StaticResponse) -> None:
        """Send a static response and close the connection. Nothing of the request is echoed."""
        self.record_close_reason(CloseReason.MALFORMED)
        self._server.on_malformed(refusal.status, self.peer_address)
        self._send(refusal.render(), closes=True)

    def complete_pending(self, response: bytes, head: RequestHead) -> None:
        """Send the pending response, and continue with the requests received since."""
        self._pending = None
        if self.transport is None:
            return
        self._send(response, closes=self.close_after_response_reason is not None or not head.keep_alive)
        if self._queue or self._is_reading_paused or self._has_input_ended:
            self._process_queue()

    def _send(self, response: bytes, *, closes: bool) -> None:
        """Send a response of the fast path, and close the connection if it is the last one."""
        self._request = None
        transport = self.transport
        if transport is None:
            return
        self.deadline = self.idle_since = None
        if closes or self.has_deferred_response or len(response) > MAX_DEFERRED_RESPONSE_BYTES:
            self._flush()
            self._write(transport, response)
        else:
            self.written_bytes += len(response)
            self._server.deferred_writes.add(self, response)
        if closes:
            self.close_after_response()
            self.close(lingers=self._parser.has_failed)

    def write_data(self, data: bytes) -> None:
        """Write a part of a response of aiohttp."""
        self._flush()
        if self.transport is not None:
            self._write(self.transport, data)

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        self.written_bytes += len(data)
        self._last_write_size = len(data)
        if self.is_writing_paused:
            self.unsent_bytes += len(data)
            self._server.connections.unsent_bytes.add(len(data))
        transport.write(data)

    def finish_bridged(self) -> None:
        """Continue after aiohttp has responded to a request."""
        self._request = None
        self.deadline = self.idle_since = None
        self._process_queue()

    def close_after_response(self, reason: CloseReason | None = None) -> None:
        """Accept no further request (RFC 9112, section 9.6)."""
        self._ignores_requests = True
        self._queue.clear()
        reason = reason or self.close_after_response_reason
        if reason is not None:
            self.record_close_reason(reason)

    def pause_body(self, *, paused: bool) -> None:
        """Stop reading the body of the request in flight, or read it again."""
        self._is_body_paused = paused
        self._update_reading()

    def _update_reading(self) -> None:
        """Pause reading while too much is waiting."""
        transport, paused = self.transport, self._is_body_paused or self._queue.is_full or bool(self._parser.held)
        if paused is not self._is_reading_paused and transport is not None and not transport.is_closing():
            self._is_reading_paused = paused
            (transport.pause_reading if paused else transport.resume_reading)()

    def record_close_reason(self, reason: CloseReason) -> None:
        """Record why the connection is about to close. The first reason wins."""
        self._close_reason = self._close_reason or reason

    def _flush(self) -> None:
        if self.has_deferred_response:
            self._server.deferred_writes.flush()

    def close(self, *, lingers: bool = False) -> None:
        """Close the connection when all bytes are sent.

        If it lingers, further input is discarded until the client closes its end, or for CLOSE_TIMEOUT seconds.
        Otherwise the kernel would answer it with a reset, which can destroy the response before the client reads it
        (RFC 9112, section 9.6). Not possible over TLS.
        """
        self._flush()
        self._ignores_requests = True
        transport = self.transport
        if transport is None or self._is_lingering:
            return
        if lingers and not transport.is_closing() and transport.can_write_eof():
            self._is_lingering, self._is_body_paused = True, False
            self._update_reading()
            transport.write_eof()
        else:
            transport.close()

    def close_with_reason(self, reason: CloseReason) -> None:
        """Close the connection.

        A request past its deadline gets a 504, and one that holds too much memory a 503, if its response has not begun.
        Otherwise the connection is aborted if it is already closing, busy, has unsent bytes, or uses TLS (whose closing
        would wait for the client), else closed.
        """
        self.record_close_reason(reason)
        self._flush()
        transport = self.transport
        if transport is None:
            return
        has_begun = self.is_busy and self._bridge is not None and self._bridge.has_begun_response
        if reason is CloseReason.DEADLINE and self.is_busy and not has_begun:
            self.write_data(responses.DEADLINE_EXCEEDED.render())
            self.close()
        elif reason is CloseReason.RECEIVED_BYTES and not (has_begun or self.is_closing or self.buffered_bytes):
            self._refuse_received(reason)
        elif transport.is_closing() or self.is_busy or self.buffered_bytes or transport.get_extra_info("sslcontext"):
            if self.buffered_bytes:
                reset_on_close(transport.get_extra_info("socket"))
            transport.abort()
        else:
            self.close()

    def _refuse_received(self, reason: CloseReason) -> None:
        """Respond with 503 to the request that is in flight or unfinished, and drop the others."""
        self._queue.clear()
        self._parser.close()
        if self._request is None:
            self._send(responses.TOO_MANY_RECEIVED_BYTES.render(), closes=True)
        else:
            self._ignores_requests, self._request.refusal = True, responses.TOO_MANY_RECEIVED_BYTES
            self.close_after_response_reason = reason
            self.cancel_request(Overloaded())

    def cancel_request(self, problem: Problem) -> None:
        """Respond to the request in flight, if any, with a problem."""
        if self._pending is not None:
            self._pending.cancel(problem)
        elif self._request is not None and self._bridge is not None:
            self._bridge.interrupt(problem)
