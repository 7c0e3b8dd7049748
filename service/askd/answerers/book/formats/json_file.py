"""JSON books: a list of `{"ask": string or [strings], "answer": string}`, decoded in slices.

Decoding a file of 250 MB in one call would hold the interpreter's lock for a second and need as much memory again. So
the list is cut about every `SLICE_BYTES` bytes, at a place that looks like the end of an entry. Strings can contain
text that looks the same, but a slice that is cut there has an open string or bracket and does not decode. If the
previous slice was cut correctly and a slice decodes, it was cut correctly too.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from askd.answerers.book.formats import (
    BookFormatError,
    Entry,
    FormatReader,
    decode_utf8,
    line_number_at,
    not_a_list_message,
)

SLICE_BYTES: Final = 256 << 10
"""Minimum size of a slice; it takes about a millisecond to decode."""
_MAX_CUT_ATTEMPTS: Final = 16
"""Number of cuts to try before the rest is decoded as a whole, which succeeds or shows the error."""

_BOM: Final = b"\xef\xbb\xbf"
_ENTRY_BOUNDARY: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*(?=\{)")
_WHITESPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = msgspec.json.Decoder(list[Entry])
_DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TYPE_NAMES: Final = {dict: "an object", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


class _DuplicateKeyError(Exception):
    """An object has the same key twice. The argument is the key."""


def read_entries(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in batches, one per slice. Raises BookFormatError."""
    position = _find_list_start(data)
    while position < len(data):
        entries, position = _decode_slice(data, position)
        yield entries


def find_entry_line(data: bytes, index: int) -> int:
    """Return the line where the entry begins."""
    text = decode_utf8(data)
    for number, (start, _) in enumerate(_scan_elements(text, _first_element_offset(text))):
        if number == index:
            return text.count("\n", 0, start) + 1
    return 1


def _find_list_start(data: bytes) -> int:
    """Return the offset after the bracket that opens the list."""
    start = len(_BOM) if data.startswith(_BOM) else 0
    while start < len(data) and data[start] in b" \t\r\n":
        start += 1
    if data[start : start + 1] != b"[":
        text = decode_utf8(data)
        message = _describe_non_list(text) if text.strip() else "the file is empty: write a list of entries"
        raise BookFormatError(line_number_at(data, start), message)
    return start + 1


def _describe_non_list(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return not_a_list_message("invalid JSON")
    return not_a_list_message(_TYPE_NAMES.get(type(value), "null"))


def _decode_slice(data: bytes, position: int) -> tuple[list[Entry], int]:
    """Decode one slice of entries from `position`. Returns the entries and the position of the next slice."""
    search_from = position + SLICE_BYTES
    for _ in range(_MAX_CUT_ATTEMPTS):
        boundary = _ENTRY_BOUNDARY.search(data, search_from)
        if not boundary:
            break
        try:
            return _decode_entries(b"[%b]" % data[position : boundary.start() + 1], data, position), boundary.end()
        except msgspec.ValidationError:
            raise _find_error(data, position) from None
        except _DECODE_ERRORS:
            search_from = boundary.end()
    try:
        return _decode_entries(b"[" + data[position:], data, position), len(data)
    except _DECODE_ERRORS as error:
        raise _find_error(data, position, str(error)) from None


def _decode_entries(json_list: bytes, data: bytes, position: int) -> list[Entry]:
    """Decode a list of entries that begins at `position` of `data`. Raises BookFormatError if a key is repeated.

    msgspec keeps the last of two equal keys, which would silently drop a question. Counting the keys is fast. If the
    counts differ, for example because an answer is just the word "ask", the entries are scanned with the slow parser.
    """
    entries = _DECODER.decode(json_list)
    if not json_list.count(b'"ask"') == json_list.count(b'"answer"') == len(entries):
        lines_before = line_number_at(data, position) - 1
        try:
            for _ in _scan_elements(decode_utf8(json_list), 1):
                pass
        except BookFormatError as error:
            raise BookFormatError(lines_before + error.line, error.message) from None
    return entries


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKeyError(next(name for name in names if names.count(name) > 1))
    return members


def _find_error(data: bytes, position: int, default_message: str = "the JSON is malformed") -> BookFormatError:
    """Return the error of the first invalid element at or after `position`, the start of an element."""
    lines_before = line_number_at(data, position) - 1
    try:
        text = decode_utf8(data[position:])
        for start, element in _scan_elements(text, 0):
            try:
                msgspec.convert(element, Entry)
            except msgspec.ValidationError as error:
                line = lines_before + text.count("\n", 0, start) + 1
                return BookFormatError(line, _describe_validation_error(error))
    except BookFormatError as error:
        return BookFormatError(lines_before + error.line, error.message)
    return BookFormatError(lines_before + 1, default_message)


def _describe_validation_error(error: msgspec.ValidationError) -> str:
    message = str(error).replace(" - at `$.", " in `").replace("`$`", "the entry")
    return f'{message[0].lower()}{message[1:]}: an entry is {{"ask": string or [strings], "answer": string}}'


def _first_element_offset(text: str) -> int:
    return _skip_whitespace(text, 0) + 1


def _scan_elements(text: str, position: int) -> Iterator[tuple[int, Any]]:
    """Yield the offset and the value of each element of a list, starting inside its bracket.

    Raises BookFormatError if the rest of the text is not valid JSON.
    """
    decode_value = json.JSONDecoder(object_pairs_hook=_reject_duplicate_keys).raw_decode
    start = position
    try:
        while True:
            start = _skip_whitespace(text, position)
            if text.startswith("]", start):
                break
            value, end = decode_value(text, start)
            yield start, value
            position = _skip_whitespace(text, end)
            if not text.startswith((",", "]"), position):
                raise json.JSONDecodeError("a comma or ] is missing", text, position)  # noqa: TRY301 - handled below
            if text.startswith(",", position):
                comma, position = position, position + 1
                if text.startswith("]", _skip_whitespace(text, position)):
                    raise json.JSONDecodeError("trailing comma before ]", text, comma)  # noqa: TRY301 - handled below
        if _skip_whitespace(text, start + 1) < len(text):
            raise json.JSONDecodeError("text after the end of the list", text, start)  # noqa: TRY301 - handled below
    except json.JSONDecodeError as error:
        reason = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise BookFormatError(error.lineno, f"not valid JSON ({reason}): fix the syntax") from None
    except _DuplicateKeyError as error:
        line = text.count("\n", 0, start) + 1
        raise BookFormatError(line, f"duplicate key `{error}` in one entry: write several texts as a list") from None
    except RecursionError:
        line = text.count("\n", 0, _skip_whitespace(text, position)) + 1
        raise BookFormatError(line, "nested too deeply: an entry is an object of two strings") from None


def _skip_whitespace(text: str, position: int) -> int:
    return _WHITESPACE.match(text, position).end()  # type: ignore[union-attr]  # it also matches the empty string


READER: Final = FormatReader(read_entries, find_entry_line)
