"""Server-sent events, read piece by piece as they come. Pure: bytes in, events out.

After the HTML standard, section "Interpreting an event stream". What a client that reconnects needs (`id`, `retry`) is
left out: nobody reconnects here, the question would be asked again. aiohttp has no reader, and those on PyPI for it
are unkept or bring a session of their own.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_END: Final = re.compile(r"\r\n|\n|\r")


class Event(NamedTuple):
    """One event. `name` is `message` where the stream names none; the lines of `data` are joined with a line feed."""

    name: str
    data: str


class TooLong(ValueError):
    """An event is longer than is read."""


class Reader:
    """Takes bytes, cut anywhere, and gives the events that are whole. `longest` is in characters."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest: list[str] = []
        self._size = 0
        self._after_cr = False
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that `chunk` completes. Raises TooLong."""
        text = self._decoder.decode(chunk)
        if self._after_cr and text:
            # The carriage return that ended the last chunk has ended its line already: its line feed adds nothing.
            self._after_cr, text = False, text.removeprefix("\n")
        start = 0
        for end in _END.finditer(text):
            yield from self._line(text[start : end.start()])
            start = end.end()
        self._after_cr = self._after_cr or text.endswith("\r")
        self._keep(text[start:])

    def _keep(self, text: str) -> None:
        if text:
            self._rest.append(text)
            self._size += len(text)
        if self._size > self._longest:
            raise TooLong(f"an event is longer than {self._longest} characters")

    def _line(self, end: str) -> Iterator[Event]:
        line = "".join((*self._rest, end))
        self._rest.clear()
        self._size += len(end)
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        if not self._data:
            self._size = 0  # comments and names are not kept
        self._keep("")

    def _dispatch(self) -> Iterator[Event]:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        if data:
            yield Event(name or "message", "\n".join(data))
