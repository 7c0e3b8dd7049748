"""Incremental parser for server-sent events. It does no I/O: bytes in, events out.

Follows the HTML standard, section "Interpreting an event stream", without `id` and `retry`, which only clients that
reconnect need. Reconnecting here would send the question again. aiohttp does not parse events, and the packages on
PyPI are unmaintained or require their own HTTP session.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_LINE_END: Final = re.compile(r"\r\n|\n|\r")


class ServerSentEvent(NamedTuple):
    """One event."""

    name: str
    """Value of the `event` field; `message` by default."""
    data: str
    """The `data` lines, joined with line feeds."""


class EventTooLong(ValueError):
    """An event exceeds the maximum length."""


class SSEParser:
    """Parses a stream of bytes that can be split anywhere.

    Args:
        max_length: Maximum length of an event in characters.
    """

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._partial_line: list[str] = []
        self._event_length = 0
        self._ended_with_cr = False
        self._event_name = ""
        self._data_lines: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that `chunk` completes. Raises EventTooLong."""
        text = self._decoder.decode(chunk)
        if self._ended_with_cr and text:
            # The carriage return at the end of the last chunk has already ended its line. A line feed that follows it
            # belongs to the same line end.
            self._ended_with_cr, text = False, text.removeprefix("\n")
        start = 0
        for line_end in _LINE_END.finditer(text):
            yield from self._process_line(text[start : line_end.start()])
            start = line_end.end()
        self._ended_with_cr = self._ended_with_cr or text.endswith("\r")
        self._buffer_partial_line(text[start:])

    def _buffer_partial_line(self, text: str) -> None:
        if text:
            self._partial_line.append(text)
            self._event_length += len(text)
        if self._event_length > self._max_length:
            raise EventTooLong(f"the event is longer than {self._max_length} characters")

    def _process_line(self, line_rest: str) -> Iterator[ServerSentEvent]:
        line = "".join((*self._partial_line, line_rest))
        self._partial_line.clear()
        self._event_length += len(line_rest)
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event_name = value
        elif name == "data":
            self._data_lines.append(value)
        if not self._data_lines:
            self._event_length = 0  # only data is buffered, so comments may be sent indefinitely
        self._buffer_partial_line("")

    def _dispatch(self) -> Iterator[ServerSentEvent]:
        name, data_lines = self._event_name, self._data_lines
        self._event_name, self._data_lines, self._event_length = "", [], 0
        if data_lines:
            yield ServerSentEvent(name or "message", "\n".join(data_lines))
