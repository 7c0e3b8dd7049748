"""The intake: how bytes become requests, each with the time of its first byte.

The parser is aiohttp's; what is rested on, `footing` lists.
"""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

BLANK: Final = b"\r\n\r\n"
"""The end of a request's headers, and nowhere else but in bodies."""
BLANKS: Final = len(BLANK)
AT_ONCE: Final = 32
"""Answers at hand that one connection gets in one turn of the loop; the rest goes the ordinary way, as others' do."""
BARREN: Final = 8
"""Blank lines in one segment, with no request's end at them, after which it is not cut any more: they are in a body."""


_received: Final = RequestHandler.data_received


class Intake(RequestHandler):
    """The half of a connection that takes things in. `clock` returns seconds that only rise."""

    __slots__ = ("_body", "_clock", "_fresh", "_had", "_rest", "_rest_at", "_stamps", "arrived", "head")

    def __init__(self, *args: Any, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock
        self.head: float | None = None
        """When the first byte of a request came whose headers are not complete."""
        self.arrived = 0.0
        """When the first byte of the request under way came, by the clock."""
        self._fresh = True  # nothing has come yet
        self._stamps: list[float] = []  # the same for each in `_messages`
        self._rest, self._rest_at = b"", 0.0  # what was not fed to the parser yet, and when it came
        self._had = False  # a whole request has come, the last one aside
        self._body: StreamReader | None = None  # the last request's

    @property
    def asked(self) -> bool:
        """Whether a whole request has ever come."""
        return self._had or (self._body is not None and self._body.is_eof())

    @property
    def unread(self) -> bool:
        """Whether the last request's body has still to come."""
        return self._body is not None and not self._body.is_eof()

    def _turn(self) -> None:
        """Turn to the next request, whose exchange begins."""
        if self._stamps:
            self.arrived = self._stamps.pop(0)
        else:  # it came behind an upgrade, which aiohttp feeds to the parser by itself
            self.arrived, self.head = self._clock(), None

    def data_received(self, data: bytes) -> None:
        """Take bytes as they come; aiohttp calls with none where its queue has a place for more."""
        if self._close or self._force_close:
            return
        if data.find(BLANK) + BLANKS != len(data) or self.head is not None or self._rest:
            self._take_by_parts(data)
        else:  # one whole request without a body, as most are
            self._take(data, self._clock())

    def _take_by_parts(self, data: bytes) -> None:
        """Feed the parser one request at a time.

        It forgets the requests before a malformed one that came with them; and what is at hand is answered only while
        nothing is queued. What there is no place for, in the queue or in this turn of the loop, waits as `_rest`.
        """
        self._fresh = False
        now = self._rest_at if self._rest else self._clock()
        data, self._rest = self._rest + data, b""
        at, barren, at_once = 0, 0, AT_ONCE
        end = 0 if self.head is None else len(data) - len(data.lstrip(BLANK))  # of a blank line that was cut in two
        while at_once and not self._full:
            end = end or (_next_end(data, at) if barren < BARREN else len(data))
            took = self._take(data[at:end], now)
            at, end = end, 0
            barren += not took
            at_once -= took and not self._messages
            if at == len(data) or self._ends():
                return
        self._rest, self._rest_at = data[at:], now
        if at_once:
            self._take(b"", now)  # the parser may have something left, of a body that is being read
        else:
            self._pause_reading_for_buffer()
            self._loop.call_soon(self._go_on)

    def _resume_reading_if_drained(self) -> None:
        """Go on with the rest in the next turn of the loop, where aiohttp would at once: others have theirs first."""
        if self._rest:
            self._loop.call_soon(self._go_on)
        else:
            super()._resume_reading_if_drained()

    def _go_on(self) -> None:
        self.data_received(b"")
        if not self._rest and not self._full:
            self._resume_reading_for_buffer()

    @property
    def _full(self) -> bool:
        return len(self._messages) >= self._max_msg_queue_size

    def _ends(self) -> bool:
        """Say whether nothing that comes now will be read."""
        broken = self._messages and type(self._messages[-1][0]) is not RawRequestMessage
        return bool(broken) or self._close or self._force_close

    def _take(self, data: bytes, now: float) -> bool:
        """Take what came at a time; says whether a request's headers ended."""
        return self._feed(data, now)

    def _feed(self, data: bytes, now: float) -> bool:
        """Feed the parser, and keep the books of what comes out; says whether a request's headers ended."""
        queue, body = self._messages, self._body
        queued = len(queue)
        inside = body is not None and not body.is_eof()
        _received(self, data)
        if len(queue) == queued:
            if self.head is None and data and not inside and not data.isspace():
                self.head = now  # blank lines between requests belong to none
            return False
        stamps = self._stamps
        stamps.append(now if self.head is None else self.head)
        self.head = None
        if len(stamps) < len(queue):
            stamps += [now] * (len(queue) - len(stamps))
        message, payload = queue[-1]
        if payload is not EMPTY_PAYLOAD:
            self._had, self._body = self._had or body is not None, payload
        elif body is not None and not body.is_eof() and type(message) is not RawRequestMessage:
            self._broken(body)
        else:
            self._had, self._body = True, None
        return True

    def _broken(self, body: StreamReader) -> None:
        """Let the request fail whose body the newest in the queue, an error, was found in.

        aiohttp would let whoever reads the body wait for ever, and answer that error besides.
        """
        queue, stamps = self._messages, self._stamps
        if len(queue) > 1 and queue[-2][1] is body:  # nobody reads it yet: the error is answered in its place
            del queue[-2], stamps[-2]
            return
        queue.pop()
        stamps.pop()
        if self._current_request is not None:  # else it is answered, and aiohttp waits for the rest of the body in vain
            body.set_exception(web.RequestPayloadError("the body is malformed"))
            self._lingering_time = 0.0


def _next_end(data: bytes, at: int) -> int:
    """Return where the next blank line ends, or the data."""
    found = data.find(BLANK, at)
    return len(data) if found < 0 else found + BLANKS
