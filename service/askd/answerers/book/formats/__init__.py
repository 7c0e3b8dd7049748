"""Common parts of the book formats: the entry, the reader interface and the error."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

BATCH_SIZE = 1000
"""Number of entries that a reader yields at once: a few milliseconds of work, after which other threads can run."""


class Entry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One answer with its question, or with several wordings of the question."""

    ask: str | list[str]
    answer: str

    @property
    def questions(self) -> list[str]:
        """All wordings of the question, as written."""
        return [self.ask] if isinstance(self.ask, str) else self.ask


class BookFormatError(Exception):
    """A book file is invalid. The message includes how to fix it; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class FormatReader(NamedTuple):
    """Functions that read one file format. Both raise BookFormatError."""

    read_entries: Callable[[bytes], Iterator[list[Entry]]]
    """Yields the entries of a file in batches."""
    find_entry_line: Callable[[bytes, int], int]
    """Returns the line of the entry with this index in its file. The entries up to this one must be valid."""


def decode_utf8(data: bytes) -> str:
    """Return the text of a file without a byte order mark. Raises BookFormatError if it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = line_number_at(data, error.start)
        raise BookFormatError(
            line, f"the byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from None


def line_number_at(data: bytes, offset: int) -> int:
    """Return the line of the byte at `offset`, counted from 1."""
    return data.count(b"\n", 0, offset) + 1


def not_a_list_message(content: str) -> str:
    """Return the error message for a file that contains something other than a list."""
    return f"expected a list but found {content}: write a list of entries with `ask` and `answer`"
