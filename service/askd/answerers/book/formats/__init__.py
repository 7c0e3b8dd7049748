"""Common parts of the book formats: the entry, the reader interface and the error."""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, NamedTuple

import msgspec

BATCH_SIZE: Final = 1000
"""Number of entries that a reader yields at once: a few milliseconds of work, after which other threads can run."""

_KEY: Final = rb"(?mi)(?:^|[\s\"'{,-])(?:%b)[\"']?[ \t]*[:,;\t]"
_ENTRY_KEY: Final = re.compile(_KEY % rb"ask|questions?|patterns|conversations")
_SHORT_KEY: Final = re.compile(_KEY % rb"q|prompt|query")
_LOOK_BYTES: Final = 64 << 10
"""Size of the start of a file that is searched for the name of an entry's key."""
_QUESTION_END: Final = re.compile(r"[?\uff1f\u061f]\W*$")
_QUESTION_WORD: Final = re.compile(r"\W*(?:what|how|why|when|where|who|which)(?:'?s)?\b", re.IGNORECASE)


class Entry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One answer with its question, or with several wordings of the question."""

    ask: str | list[str]
    answer: str
    keywords: list[str] = []
    """Further ways of asking, which count only if no other entry has the same keyword or question."""
    fields: dict[str, Any] = msgspec.field(default_factory=dict, name="extra fields")
    """Extra fields of the answer: the members of the entry that have no meaning for askd, such as `category`."""

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
    """Functions that read one file format. All raise BookFormatError."""

    read_entries: Callable[[bytes], Iterator[list[Entry]]]
    """Yields the entries of a file in batches."""
    find_entry_lines: Callable[[bytes, Collection[int]], dict[int, int]]
    """Returns the lines of the entries with these indexes in their file. All entries up to the last must be valid."""
    is_book: Callable[[bytes], bool]
    """Whether a file of a folder looks like a book; reads only the start of a large file."""


def is_question(text: str) -> bool:
    """Return whether a title reads as a question: it ends with a question mark or begins with a question word."""
    return bool(_QUESTION_END.search(text) or _QUESTION_WORD.match(text))


def has_book_content(read_entries: Callable[[bytes], Iterator[list[Entry]]], data: bytes) -> bool:
    """Return whether a file names a key of entries, so that its errors count, or has entries that read as questions."""
    if _ENTRY_KEY.search(data, 0, _LOOK_BYTES):
        return True
    try:
        first_batch = next(read_entries(data), [])
    except BookFormatError:
        return False
    if _SHORT_KEY.search(data, 0, _LOOK_BYTES):
        return bool(first_batch)
    return any(is_question(question) for entry in first_batch for question in entry.questions)


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


def find_lines(locate: Iterator[Callable[[], int]], indexes: Collection[int]) -> dict[int, int]:
    """Call the functions with these indexes, each of which returns the line of an entry."""
    last = max(indexes, default=-1)
    return {index: find_line() for index, find_line in zip(range(last + 1), locate, strict=False) if index in indexes}
