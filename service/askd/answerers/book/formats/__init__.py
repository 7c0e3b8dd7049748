"""What every reader of a book's files yields, and how it reports what is wrong."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

PIECE = 1000
"""Entries that a reader yields at once: a few milliseconds of work, after which other threads get their turn."""


class Entry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One answer and the question, or the ways of asking it, that it belongs to."""

    ask: str | list[str]
    answer: str

    @property
    def questions(self) -> list[str]:
        """The ways of asking, as written."""
        return [self.ask] if isinstance(self.ask, str) else self.ask


class Fault(Exception):
    """What is wrong in a file, and its mend. `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


class Reader(NamedTuple):
    """How files of one kind are read. Both functions raise Fault."""

    read: Callable[[bytes], Iterator[list[Entry]]]
    line_of: Callable[[bytes, int], int]
    """The line of the entry with this index in its file; the data are known to be readable."""


def decoded(data: bytes) -> str:
    """Return the text of a file, without a byte order mark. Raises Fault where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = line_at(data, fault.start)
        raise Fault(line, f"the byte 0x{data[fault.start]:02x} is not UTF-8: save the file as UTF-8") from None


def line_at(data: bytes, offset: int) -> int:
    """Return the line of a byte, counted from 1."""
    return data.count(b"\n", 0, offset) + 1


def no_list(kind: str) -> str:
    """Say that a file holds something else than a list."""
    return f"holds {kind} where a list is expected: give a list of entries with `ask` and `answer`"
