"""JSON books: a list of `{"ask": text or [texts], "answer": text}`, decoded slice by slice.

One decode of a file of 250 MB would hold the interpreter's lock for a second and need its size again in objects. So
the list is cut near every SLICE bytes, at a place that looks like the end of an entry. Text that looks like one may
stand inside a string, but a slice cut there has an open string or bracket and does not decode: a slice that decodes
was cut rightly, if the one before it was.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from service.answerers.book.entries import Entry, Fault, Reader, decoded, line_at, no_list

SLICE: Final = 256 << 10
"""Bytes: decoded in about a millisecond."""
_ATTEMPTS: Final = 16
"""Cuts that are tried before the rest is decoded as a whole, which then shows whether it is faulty."""

_BOM: Final = b"\xef\xbb\xbf"
_CUT: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*(?=\{)")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = msgspec.json.Decoder(list[Entry])
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_KINDS: Final = {dict: "an object", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def read(data: bytes) -> Iterator[list[Entry]]:
    """Yield the entries in slices. Raises Fault."""
    position = _opening(data)
    while position < len(data):
        entries, position = _slice(data, position)
        yield entries


def line_of(data: bytes, index: int) -> int:
    """Return the line where the entry begins."""
    text = decoded(data)
    for number, (start, _) in enumerate(_elements(text, _inside(text))):
        if number == index:
            return text.count("\n", 0, start) + 1
    return 1


def _opening(data: bytes) -> int:
    """Return the offset after the bracket that opens the list."""
    start = len(_BOM) if data.startswith(_BOM) else 0
    while start < len(data) and data[start] in b" \t\r\n":
        start += 1
    if data[start : start + 1] != b"[":
        text = decoded(data)
        raise Fault(line_at(data, start), _other(text) if text.strip() else "is empty: give it a list of entries")
    return start + 1


def _other(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return no_list("no JSON list")
    return no_list(_KINDS.get(type(value), "null"))


def _slice(data: bytes, position: int) -> tuple[list[Entry], int]:
    """Decode one slice of entries from `position`; return them and where the next begins."""
    search = position + SLICE
    for _ in range(_ATTEMPTS):
        cut = _CUT.search(data, search)
        if not cut:
            break
        try:
            return _decoded(b"[%b]" % data[position : cut.start() + 1], data, position), cut.end()
        except msgspec.ValidationError:
            raise _fault(data, position) from None
        except _FAULTS:
            search = cut.end()
    try:
        return _decoded(b"[" + data[position:], data, position), len(data)
    except _FAULTS as fault:
        raise _fault(data, position, str(fault)) from None


def _decoded(piece: bytes, data: bytes, position: int) -> list[Entry]:
    """Decode a list of entries, which stands at `position` in the whole data. Raises Fault where a key stands twice.

    A decoder takes the last of two equal keys, and a question would be lost in silence. Counting the keys is quick; an
    answer that is just the word "ask" costs no more than a closer look.
    """
    entries = _DECODER.decode(piece)
    if not piece.count(b'"ask"') == piece.count(b'"answer"') == len(entries):
        before = line_at(data, position) - 1
        try:
            for _ in _elements(decoded(piece), 1):
                pass
        except Fault as fault:
            raise Fault(before + fault.line, fault.text) from None
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found


class _TwiceError(Exception):
    """A key stands twice in one object; its argument is the key."""


def _fault(data: bytes, position: int, otherwise: str = "the JSON is malformed") -> Fault:
    """Find the first faulty element from `position` on, where an element begins, with its line."""
    before = line_at(data, position) - 1
    try:
        text = decoded(data[position:])
        for start, element in _elements(text, 0):
            try:
                msgspec.convert(element, Entry)
            except msgspec.ValidationError as fault:
                return Fault(before + text.count("\n", 0, start) + 1, _explained(fault))
    except Fault as fault:
        return Fault(before + fault.line, fault.text)
    return Fault(before + 1, otherwise)


def _explained(fault: msgspec.ValidationError) -> str:
    what = str(fault).replace(" - at `$.", " in `").replace("`$`", "the entry")
    return f'{what[0].lower()}{what[1:]}: an entry is {{"ask": text or [texts], "answer": text}}'


def _inside(text: str) -> int:
    return _SPACE.match(text).end() + 1  # type: ignore[union-attr]  # it matches the empty text too


def _elements(text: str, at: int) -> Iterator[tuple[int, Any]]:
    """Yield offset and value of each element of a list, from inside its bracket on. Raises Fault at what is no JSON."""
    scan = json.JSONDecoder(object_pairs_hook=_unique).raw_decode
    start = at
    try:
        while True:
            start = _skip(text, at)
            if text.startswith("]", start):
                break
            value, end = scan(text, start)
            yield start, value
            at = _skip(text, end)
            if not text.startswith((",", "]"), at):
                raise json.JSONDecodeError("a comma or ] is missing", text, at)  # noqa: TRY301 - one place explains all
            at, comma = at + text.startswith(",", at), at
            if comma < at and text.startswith("]", _skip(text, at)):
                raise json.JSONDecodeError("a comma stands before the ]", text, comma)  # noqa: TRY301 - as above
        if _skip(text, start + 1) < len(text):
            raise json.JSONDecodeError("text after the list's end", text, start)  # noqa: TRY301 - as above
    except json.JSONDecodeError as fault:
        raise Fault(fault.lineno, f"not valid JSON ({fault.msg[:1].lower()}{fault.msg[1:]}): mend it there") from None
    except _TwiceError as fault:
        line = text.count("\n", 0, start) + 1
        raise Fault(line, f"`{fault}` stands twice in one entry: give several texts as a list") from None
    except RecursionError:
        raise Fault(
            text.count("\n", 0, _skip(text, at)) + 1, "nested too deeply: an entry is an object of two texts"
        ) from None


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches the empty text too


READER: Final = Reader(read, line_of)
