"""Fast path on a connection: responses to requests without a body, written without starting an aiohttp handler.

`FastPathConnection` passes each parsed request to the fast path handler before aiohttp sees it. The handler returns the
response as bytes, a pending request (a task that produces the response later), or None to fall back to
aiohttp. The internals of aiohttp that this relies on are listed in `server.REQUIRED_ATTRIBUTES`.

`WriteBatch` delays the writes until all data received in this loop iteration has been processed. A system call after
each response evicts the processor's caches and wakes up the clients one by one. With batched writes, a cache hit is a
tenth cheaper, and a refusal at ten times the capacity (between calls of the answerer) a third (measured).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from askd.httpserver.request_receiver import RequestReceiver

MAX_BATCHED_RESPONSE_BYTES: Final = 4096
"""Largest response in bytes that is batched. Larger responses are limited by how fast the client reads."""

_log = structlog.get_logger("askd.connection")


class ResponseSender(Protocol):
    """A connection with a response in the write batch."""

    has_batched_response: bool
    """Whether a response is in the batch (at most one per connection)."""
    transport: asyncio.Transport | None
    """None if the connection is lost; its response is then dropped."""


class WriteBatch:
    """Responses of all connections of one event loop that are written together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._flush_scheduled = False
        self._responses: list[tuple[ResponseSender, bytes]] = []

    def schedule_flush(self) -> None:
        """Schedule a flush. Callbacks and tasks that are scheduled after this call run after the flush."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._run_scheduled_flush)

    def add(self, sender: ResponseSender, response: bytes) -> None:
        """Add a response. `schedule_flush` must have been called in this loop iteration."""
        sender.has_batched_response = True
        self._responses.append((sender, response))

    def flush(self) -> None:
        """Write all responses now, for example because another write must follow them."""
        responses, self._responses = self._responses, []
        for sender, response in responses:
            sender.has_batched_response = False
            try:
                if sender.transport is not None:
                    sender.transport.write(response)
            except Exception:  # one closed transport must not cost the other clients their responses
                _log.exception("response_write_failed")

    def _run_scheduled_flush(self) -> None:
        self._flush_scheduled = False
        self.flush()


class CancellableRequest(Protocol):
    """A request in flight in its own task, which calls `FastPathConnection.complete_pending_request` at its end."""

    deadline: float | None
    """Reading of the connection's clock, or None without a deadline."""

    def cancel(self) -> None:
        """Cancel the request because the client disconnected or the server shuts down."""


FastPathHandler = Callable[[RawRequestMessage, "FastPathConnection"], bytes | CancellableRequest | None]
"""Handles a request without a body.

Returns the response, or the pending request that will produce it; None falls back to aiohttp. The response must contain
`Connection: close` if `FastPathConnection.should_close_after` returns true. Must not block.
"""


class FastPathConnection(RequestReceiver):
    """A connection that tries the fast path first.

    Args:
        fast_path: The handler, or None if aiohttp handles every request.
        write_batch: The write batch of the event loop.
    """

    __slots__ = ("_fast_path", "_peer_address", "_write_batch", "has_batched_response", "pending_request")

    def __init__(self, *args: Any, fast_path: FastPathHandler | None, write_batch: WriteBatch, **options: Any) -> None:
        super().__init__(*args, **options)
        self._fast_path = fast_path
        self._write_batch = write_batch
        self.has_batched_response = False
        """Whether a response is in the write batch."""
        self._peer_address: str | None = None
        self.pending_request: CancellableRequest | None = None
        """Pending request of the fast path. No other request of this connection starts before its end."""

    def should_close_after(self, message: RawRequestMessage) -> bool:
        """Return whether the connection closes after the response to this request."""
        return bool(message.should_close)

    def on_response_sent(self, response: bytes) -> None:
        """Hook: the fast path has sent a response."""

    def on_request_started(self, pending_request: CancellableRequest) -> None:
        """Hook: the fast path has started a pending request."""

    @property
    def peer_address(self) -> str:
        """IP address of the peer, or an empty string for a Unix socket."""
        if self._peer_address is None:
            name = self.peername
            self._peer_address = str(name[0]) if isinstance(name, tuple) else ""
        return self._peer_address

    def complete_pending_request(self, response: bytes, message: RawRequestMessage) -> None:
        """Send the response of the pending request, and continue with the requests received since."""
        self.pending_request = None
        self._send_response(response, message)
        waiter, fast_path = self._waiter, self._fast_path
        if waiter is None or fast_path is None or self.transport is None:
            return
        self._answer_queued(fast_path)
        self._wake_aiohttp(waiter)
        # aiohttp resumes reading only when `start` takes a request, and the fast path may take all of them.
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the pending request when the client disconnects."""
        super().connection_lost(exc)
        if self.pending_request is not None:
            self.pending_request.cancel()
            self.pending_request = None

    def _receive(self, data: bytes, now: float) -> bool:
        """Feed the parser, then try the fast path; return whether the headers of a request were completed.

        The fast path runs only while aiohttp's `start` waits for a request. The exception is a first request that
        arrives with the connection, before `start` has begun. If more data followed that request before `start` has
        begun, `start` would handle it concurrently.
        """
        waiter, fast_path, is_first_data = self._waiter, self._fast_path, self._nothing_received
        self._nothing_received = False
        if fast_path is None or (not is_first_data if waiter is None else waiter.done()):
            return self._feed_parser(data, now)
        # Scheduled first, so that ready responses are written before any task that these requests start.
        self._write_batch.schedule_flush()
        self._waiter = None  # so that the parser does not wake up `start` for requests handled here
        try:
            headers_completed = self._feed_parser(data, now)
        finally:
            self._waiter = waiter
        self._answer_queued(fast_path)
        self._wake_aiohttp(waiter)
        return headers_completed

    def _wake_aiohttp(self, waiter: asyncio.Future[None] | None) -> None:
        """Wake up aiohttp's `start` if requests remain for it and no request is pending.

        `waiter` is None if `start` has not begun; it then takes the remaining requests without being woken.
        """
        if waiter is not None and self._messages and self.pending_request is None and not waiter.done():
            waiter.set_result(None)

    def _answer_queued(self, fast_path: FastPathHandler) -> None:
        """Handle queued requests in order, up to the first that must wait or falls back to aiohttp."""
        queue, arrival_times = self._messages, self._arrival_times
        while queue and self.pending_request is None and queue[0][1] is EMPTY_PAYLOAD and not self.writing_paused:
            message = queue[0][0]
            # The parser continues after an upgrade only when aiohttp's `finish_response` has declined it.
            if not isinstance(message, RawRequestMessage) or message.upgrade:
                return
            self.arrived_at = arrival_times[0]
            try:
                response = fast_path(message, self)
            except Exception:
                _log.exception("fast_path_failed")
                return  # fall back to aiohttp
            if response is None:
                return
            queue.popleft()
            del arrival_times[0]
            if self._parser is not None and self._manager is not None:  # not lost; aiohttp does the same per request
                self._parser.message_consumed()
                self._manager.requests_count += 1
            if isinstance(response, bytes):
                self._send_response(response, message)
            else:
                self.pending_request = response
                self.on_request_started(response)

    def _send_response(self, response: bytes, message: RawRequestMessage) -> None:
        """Send a response, and close the connection if it is the last one."""
        if self.transport is None:
            return  # the connection is lost
        should_close = self.should_close_after(message)
        if should_close or self.has_batched_response or len(response) > MAX_BATCHED_RESPONSE_BYTES:
            self.flush_responses()
            self.transport.write(response)
        else:
            self._write_batch.schedule_flush()
            self._write_batch.add(self, response)
        self.on_response_sent(response)
        if should_close:
            # No request may be processed after `Connection: close` (RFC 9112, section 9.6).
            self._messages.clear()
            self.force_close()

    def flush_responses(self) -> None:
        """Flush the write batch if it contains a response of this connection."""
        if self.has_batched_response:
            self._write_batch.flush()

    def force_close(self) -> None:
        """Close the connection after writing the batched response."""
        self.flush_responses()
        super().force_close()
