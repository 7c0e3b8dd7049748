"""Parsing of received bytes into requests, each with the arrival time of its first byte.

The parser is aiohttp's. The internals of aiohttp that this relies on are listed in `server.REQUIRED_ATTRIBUTES`.
"""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

HEADERS_END: Final = b"\r\n\r\n"
"""End of the headers of a request. Outside of bodies, it occurs nowhere else."""
HEADERS_END_LENGTH: Final = len(HEADERS_END)
MAX_FAST_RESPONSES_PER_ITERATION: Final = 32
"""Fast path responses per connection and loop iteration, so that a long pipeline does not starve other connections."""
MAX_FALSE_HEADER_ENDS: Final = 8
"""Blank lines in one segment that do not end the headers of a request. After that many, they must be part of a body,
and the segment is not split any further."""

_aiohttp_data_received: Final = RequestHandler.data_received


class RequestReceiver(RequestHandler):
    """The receiving half of a connection.

    Args:
        clock: Returns seconds on a monotonic clock.
    """

    __slots__ = (
        "_arrival_times",
        "_clock",
        "_had_earlier_request",
        "_last_body",
        "_nothing_received",
        "_unparsed",
        "_unparsed_received_at",
        "arrived_at",
        "headers_started_at",
    )

    def __init__(self, *args: Any, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock
        self.headers_started_at: float | None = None
        """Arrival time of the first byte of a request whose headers are incomplete, or None."""
        self.arrived_at = 0.0
        """Arrival time of the first byte of the current request."""
        self._nothing_received = True
        self._arrival_times: list[float] = []  # one for each request in `_messages`
        self._unparsed, self._unparsed_received_at = b"", 0.0  # data not yet fed to the parser, and its arrival time
        self._had_earlier_request = False  # whether a request before the last one was received completely
        self._last_body: StreamReader | None = None  # body of the last request

    @property
    def has_received_request(self) -> bool:
        """Whether the connection has ever received a complete request."""
        return self._had_earlier_request or (self._last_body is not None and self._last_body.is_eof())

    @property
    def has_unread_body(self) -> bool:
        """Whether the body of the last request is still incomplete."""
        return self._last_body is not None and not self._last_body.is_eof()

    def _set_arrival_time(self) -> None:
        """Set `arrived_at` for the next request in the queue, which is about to start."""
        if self._arrival_times:
            self.arrived_at = self._arrival_times.pop(0)
        else:  # the request followed an upgrade; aiohttp feeds such data to the parser itself
            self.arrived_at, self.headers_started_at = self._clock(), None

    def data_received(self, data: bytes) -> None:
        """Receive bytes from the transport. aiohttp calls this with empty data when its queue has room again."""
        if self._close or self._force_close:
            return
        if (
            data.find(HEADERS_END) + HEADERS_END_LENGTH != len(data)
            or self.headers_started_at is not None
            or self._unparsed
        ):
            self._receive_in_parts(data)
        else:  # the common case: exactly one request without a body
            self._receive(data, self._clock())

    def _receive_in_parts(self, data: bytes) -> None:
        """Feed the parser one request at a time.

        If the parser finds a malformed request, it drops all requests before it in the same data. The fast path also
        requires an empty queue. Data beyond the queue size or the response limit of this loop iteration is kept in
        `_unparsed`.
        """
        self._nothing_received = False
        # Data that had to wait keeps its arrival time, because deadlines count from the arrival.
        now = self._unparsed_received_at if self._unparsed else self._clock()
        data, self._unparsed = self._unparsed + data, b""
        start, false_ends, responses_left = 0, 0, MAX_FAST_RESPONSES_PER_ITERATION
        # Headers in progress may end with a blank line that was split between two segments.
        end = 0 if self.headers_started_at is None else len(data) - len(data.lstrip(HEADERS_END))
        while responses_left and not self._is_queue_full:
            end = end or (_find_headers_end(data, start) if false_ends < MAX_FALSE_HEADER_ENDS else len(data))
            headers_completed = self._receive(data[start:end], now)
            start, end = end, 0
            false_ends += not headers_completed
            responses_left -= headers_completed and not self._messages
            if start == len(data) or self._ignores_further_input():
                return
        self._unparsed, self._unparsed_received_at = data[start:], now
        if responses_left:
            self._receive(b"", now)  # the parser may hold back data of a body that is being read
        else:
            self._pause_reading_for_buffer()
            self._loop.call_soon(self._continue_receiving)

    def _resume_reading_if_drained(self) -> None:
        """Continue with `_unparsed` in the next loop iteration, after other connections had their turn."""
        if self._unparsed:
            self._loop.call_soon(self._continue_receiving)
        else:
            super()._resume_reading_if_drained()

    def _continue_receiving(self) -> None:
        self.data_received(b"")
        if not self._unparsed and not self._is_queue_full:
            self._resume_reading_for_buffer()

    @property
    def _is_queue_full(self) -> bool:
        return len(self._messages) >= self._max_msg_queue_size

    def _ignores_further_input(self) -> bool:
        """Return whether the connection is closing, or its last request was malformed."""
        is_malformed = self._messages and type(self._messages[-1][0]) is not RawRequestMessage
        return bool(is_malformed) or self._close or self._force_close

    def _receive(self, data: bytes, now: float) -> bool:
        """Process data that arrived at `now`; return whether the headers of a request were completed."""
        return self._feed_parser(data, now)

    def _feed_parser(self, data: bytes, now: float) -> bool:
        """Feed the parser and record arrival times; return whether the headers of a request were completed."""
        queue, body = self._messages, self._last_body
        queued_before = len(queue)
        was_in_body = body is not None and not body.is_eof()
        _aiohttp_data_received(self, data)
        if len(queue) == queued_before:
            # Blank lines between two requests do not belong to either (RFC 9112, section 2.2).
            if self.headers_started_at is None and data and not was_in_body and not data.isspace():
                self.headers_started_at = now
            return False
        arrival_times = self._arrival_times
        arrival_times.append(now if self.headers_started_at is None else self.headers_started_at)
        self.headers_started_at = None
        # One call may complete several requests: in a segment that is not split, or in data that the parser held back.
        if len(arrival_times) < len(queue):
            arrival_times += [now] * (len(queue) - len(arrival_times))
        message, payload = queue[-1]
        if payload is not EMPTY_PAYLOAD:
            self._had_earlier_request, self._last_body = self._had_earlier_request or body is not None, payload
        elif body is not None and not body.is_eof() and type(message) is not RawRequestMessage:
            self._fail_malformed_body(body)
        else:
            self._had_earlier_request, self._last_body = True, None
        return True

    def _fail_malformed_body(self, body: StreamReader) -> None:
        """Fail the request whose body is malformed. The parser has queued the error as another request.

        aiohttp alone would let the reader of the body wait forever, and respond to the queued error in addition.
        """
        queue, arrival_times = self._messages, self._arrival_times
        if len(queue) > 1 and queue[-2][1] is body:  # the request has not started: the error replaces it
            del queue[-2], arrival_times[-2]
            return
        queue.pop()
        arrival_times.pop()
        # Otherwise the request is finished, and aiohttp is discarding the rest of its body until the lingering time.
        if self._current_request is not None:
            body.set_exception(web.RequestPayloadError("the request body is malformed"))
            # With a lingering time, aiohttp would read the body again, and log this exception as unhandled.
            self._lingering_time = 0.0


def _find_headers_end(data: bytes, start: int) -> int:
    """Return the end of the next blank line, or the length of the data."""
    index = data.find(HEADERS_END, start)
    return len(data) if index < 0 else index + HEADERS_END_LENGTH
