"""JSON and JSON Lines books. A JSON list is decoded in slices.

Decoding a file of 250 MB in one call would hold the interpreter's lock for a second and need as much memory again. So
the list is cut about every `SLICE_BYTES` bytes, at a place that looks like the end of an entry. Strings can contain
text that looks the same, but a slice that is cut there has an open string or bracket and does not decode. If the
previous slice was cut correctly and a slice decodes, it was cut correctly too.

Lists of `{"ask": string or [strings], "answer": string}` are decoded by msgspec; all other shapes by the slower json
module, which keeps the offsets of the elements.
"""

import functools
import io
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import msgspec

from askd.answerers.book.formats import (
    BATCH_SIZE,
    BookFormatError,
    Entry,
    FormatReader,
    decode_utf8,
    find_lines,
    has_book_content,
    line_number_at,
)
from askd.answerers.book.formats.entry_extraction import Path, StructureError, find_entries

SLICE_BYTES: Final = 256 << 10
"""Minimum size of a slice; it takes about a millisecond to decode."""
_MAX_CUT_ATTEMPTS: Final = 16
"""Number of cuts to try before the rest is decoded as a whole, which succeeds or shows the error."""

_BOM: Final = b"\xef\xbb\xbf"
_ENTRY_BOUNDARY: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*(?=\{)")
_WHITESPACE: Final = re.compile(r"[ \t\r\n]*")
_LIST_DECODER: Final = msgspec.json.Decoder(list[Entry])
_DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _DuplicateKeyError(Exception):
    """An object has the same key twice. The argument is the key."""


class _SyntaxError(BookFormatError):
    """The JSON is malformed."""


def read_entries(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in batches, one per slice. Raises BookFormatError."""
    position = _find_first_value(data)
    if data[position : position + 1] != b"[":
        yield [entry for _, entry in _find_located_entries(decode_utf8(data))]
        return
    position += 1
    while position < len(data):
        entries, position = _decode_slice(data, position)
        yield entries


def find_entry_lines(data: bytes, indexes: Collection[int]) -> dict[int, int]:
    """Return the lines where these entries begin."""
    return find_lines((find_line for find_line, _ in _find_located_entries(decode_utf8(data))), indexes)


def _find_first_value(data: bytes) -> int:
    """Return the offset of the file's value. Raises BookFormatError if the file is blank."""
    start = len(_BOM) if data.startswith(_BOM) else 0
    while start < len(data) and data[start] in b" \t\r\n":
        start += 1
    if start == len(data):
        raise BookFormatError(line_number_at(data, start), "the file is empty: write a list of entries")
    return start


def _decode_slice(data: bytes, position: int) -> tuple[list[Entry], int]:
    """Decode one slice of entries from `position`. Returns the entries and the position of the next slice."""
    search_from = position + SLICE_BYTES
    for _ in range(_MAX_CUT_ATTEMPTS):
        boundary = _ENTRY_BOUNDARY.search(data, search_from)
        if not boundary:
            break
        try:
            return _decode_entries(b"[%b]" % data[position : boundary.start() + 1], data, position), boundary.end()
        except _SyntaxError:
            search_from = boundary.end()
    return _decode_entries(b"[" + data[position:], data, position), len(data)


def _decode_entries(json_list: bytes, data: bytes, position: int) -> list[Entry]:
    """Decode a list of entries that begins at `position` of `data`. Raises BookFormatError.

    msgspec keeps the last of two equal keys, which would silently drop a question. Counting the keys is fast. If the
    counts differ, for example because an answer is just the word "ask", the entries are decoded with the slow parser.
    """
    try:
        entries = _LIST_DECODER.decode(json_list)
        has_fields = b'"extra fields"' in json_list  # they must not have reserved names
        if not has_fields and json_list.count(b'"ask"') == json_list.count(b'"answer"') == len(entries):
            return entries
    except _DECODE_ERRORS:
        pass  # the slow parser knows more shapes, and the line of an error
    try:
        return [entry for _, entry in _find_located_entries(decode_utf8(json_list))]
    except BookFormatError as error:
        lines_before = line_number_at(data, position) - 1
        raise type(error)(lines_before + error.line, error.message) from None


def _find_located_entries(text: str) -> Iterator[tuple[Callable[[], int], Entry]]:
    """Yield each entry of a file with a function that returns its line. Raises BookFormatError."""
    for start, path, value in _scan_elements(text):
        locate = functools.partial(_find_line, text, start, path)
        try:
            for entry_path, entry in find_entries(value, path):
                yield functools.partial(locate, entry_path), entry
        except StructureError as error:
            raise BookFormatError(locate(error.path), error.message) from None
        except RecursionError:
            raise BookFormatError(locate(path), "nested too deeply: an entry is an object of texts") from None


def _find_line(text: str, start: int, start_path: Path, path: Path) -> int:
    """Return the line of the value at `path`, given the offset of the value at `start_path`."""
    for step in path[len(start_path) :]:
        start = next(offset for name, offset in _scan_members(text, start) if name == step)
    return text.count("\n", 0, start) + 1


def _scan_members(text: str, position: int) -> Iterator[tuple[str | int, int]]:
    """Yield the name or index and the offset of each value in the object or list at `position`, which is valid JSON."""
    decode_value = json.JSONDecoder().raw_decode
    is_object = text[position] == "{"
    for index in itertools.count():
        position = _skip_whitespace(text, position + 1)
        name: str | int = index
        if is_object:
            name, position = decode_value(text, position)
            position = _skip_whitespace(text, _skip_whitespace(text, position) + 1)
        yield name, position
        position = _skip_whitespace(text, decode_value(text, position)[1])


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKeyError(next(name for name in names if names.count(name) > 1))
    return members


def _scan_elements(text: str) -> Iterator[tuple[int, Path, Any]]:
    """Yield the offset, the path and the value of each element of the file's list, or of the file's only value.

    Raises BookFormatError if the rest of the text is not valid JSON.
    """
    decode_value = json.JSONDecoder(object_pairs_hook=_reject_duplicate_keys).raw_decode
    start = position = _skip_whitespace(text, 0)
    try:
        if not text.startswith("[", start):
            value, position = decode_value(text, start)
            yield start, (), value
            _expect_end(text, position)
            return
        position += 1
        for index in itertools.count():
            start = _skip_whitespace(text, position)
            if text.startswith("]", start):
                break
            value, end = decode_value(text, start)
            yield start, (index,), value
            position = _skip_whitespace(text, end)
            if not text.startswith((",", "]"), position):
                raise json.JSONDecodeError("a comma or ] is missing", text, position)  # noqa: TRY301 - handled below
            if text.startswith(",", position):
                comma, position = position, position + 1
                if text.startswith("]", _skip_whitespace(text, position)):
                    raise json.JSONDecodeError("trailing comma before ]", text, comma)  # noqa: TRY301 - handled below
        _expect_end(text, start + 1)
    except json.JSONDecodeError as error:
        reason = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise _SyntaxError(error.lineno, f"not valid JSON ({reason}): fix the syntax") from None
    except _DuplicateKeyError as error:
        line = text.count("\n", 0, start) + 1
        raise BookFormatError(line, f"duplicate key `{error}` in one entry: write several texts as a list") from None
    except RecursionError:
        line = text.count("\n", 0, _skip_whitespace(text, position)) + 1
        raise _SyntaxError(line, "nested too deeply: an entry is an object of texts") from None


def _expect_end(text: str, position: int) -> None:
    if _skip_whitespace(text, position) < len(text):
        raise json.JSONDecodeError("text after the end of the list", text, position)


def _skip_whitespace(text: str, position: int) -> int:
    return _WHITESPACE.match(text, position).end()  # type: ignore[union-attr]  # it also matches the empty string


def read_json_lines(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries of a JSON Lines file in batches. Raises BookFormatError."""
    entries = (entry for _, entry in _parse_json_lines(data))
    while batch := list(itertools.islice(entries, BATCH_SIZE)):
        yield batch


def _find_json_lines(data: bytes, indexes: Collection[int]) -> dict[int, int]:
    return find_lines((functools.partial(int, number) for number, _ in _parse_json_lines(data)), indexes)


def _parse_json_lines(data: bytes) -> Iterator[tuple[int, Entry]]:
    for number, line in enumerate(io.BytesIO(data.removeprefix(_BOM)), 1):
        if not line.strip():
            continue
        try:
            entries = _decode_entries(b"[%b]" % line, b"", 0)
        except BookFormatError as error:
            raise BookFormatError(number, error.message) from None
        for entry in entries:
            yield number, entry


READER: Final = FormatReader(read_entries, find_entry_lines, functools.partial(has_book_content, read_entries))
LINES_READER: Final = FormatReader(
    read_json_lines, _find_json_lines, functools.partial(has_book_content, read_json_lines)
)
