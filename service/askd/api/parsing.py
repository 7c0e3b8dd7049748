"""Reading a question out of a request: strict, and every fault names the parameter. No aiohttp."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from service.errors import BadQuestion, BodyTooLarge, Unsupported

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

THREAD: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
"""The name of a conversation: a key in other people's databases, which refuse control characters or worse."""

Given = dict[str, Any]
"""What came beside the question: lists of strings from a query or form, JSON values from a JSON body."""


def query(raw: str) -> tuple[str, Given]:
    """Split a raw query string into the question and the rest. Raises BadQuestion.

    Bytes that are no UTF-8 are refused, where aiohttp would put U+FFFD in their place.
    """
    if raw.startswith("q=") and "&" not in raw and "%" not in raw and "+" not in raw and raw.isascii():
        return raw[2:], {}
    given: Given = {}
    for pair in raw.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            key = _decode(name, "a parameter's name")
            given.setdefault(key, []).append(_decode(value, key))
    return _only_text(given.pop("q", [])), given


def _decode(text: str, name: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise BadQuestion(name[:100], f"{name[:100]!r} is not UTF-8. Percent-encode its UTF-8 bytes.") from None


def _only_text(values: list[str]) -> str:
    if len(values) > 1:
        raise BadQuestion("q", f"'q' is given {len(values)} times. Give it once.")
    if not values:
        raise BadQuestion("q", '\'q\' is missing. Give the question as ?q=… or as {"q": "…"}.')
    return values[0]


class _Pairs(dict[str, Any]):
    """A JSON object that remembers the first of its names that came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = next(_twice(pairs)) if len(pairs) != len(self) else None


def _twice(pairs: list[tuple[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            yield name
        seen.add(name)


def json_body(body: bytes) -> tuple[str, Given]:
    """Read `{"q": "…", …}`. Raises BadQuestion."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_Pairs, parse_float=_number, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadQuestion("body", "The body is not UTF-8. Send JSON in UTF-8.") from None
    except (ValueError, RecursionError):
        raise BadQuestion("body", 'The body is not JSON. Send {"q": "…"}.') from None
    if not isinstance(found, _Pairs):
        raise BadQuestion("body", 'The body is not a JSON object. Send {"q": "…"}.')
    if b"\\u" in body:
        _check_whole(found)
    if found.twice is not None:
        raise BadQuestion(found.twice[:100], f"{found.twice[:100]!r} is given more than once. Give it once.")
    text = found.pop("q", None)
    if text is None:
        return _only_text([]), {}
    if not isinstance(text, str):
        raise BadQuestion("q", '\'q\' is not a string. Send {"q": "…"}.')
    return text, dict(found)


def _check_whole(found: _Pairs) -> None:
    """Refuse halves of surrogate pairs, which only escapes bring: they can be neither logged nor sent."""
    for name, value in found.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            where = "body" if name.encode(errors="replace") != name.encode(errors="ignore") else name[:100]
            raise BadQuestion(where, f"{where!r} has half of a surrogate pair. Send whole characters.") from None


def _number(text: str) -> int | float:
    """Return 3 for 3.0, which JSON and its schemas do not tell apart. Raises ValueError for what is over any float."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def form_body(body: bytes) -> tuple[str, Given]:
    """Read `q=…&…` as a form is sent. Raises BadQuestion."""
    return query(body.decode("utf-8", "surrogateescape"))


def media_type(header: str | None) -> str:
    """Return JSON or FORM for a `Content-Type` header. Raises Unsupported."""
    media, *parameters = (part.strip().lower() for part in (header or "").split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in {"utf-8", "utf8", "us-ascii"}:
            raise Unsupported("The body's charset is not read. Send UTF-8.")
    if media == FORM:
        return FORM
    if media == JSON or (media.startswith("application/") and media.endswith("+json")):
        return JSON
    raise Unsupported(f"A body of this Content-Type is not read. Send {JSON} or {FORM}.")


def check_length(text: str, longest: int) -> None:
    """Raise BadQuestion when the question is empty or longer than `longest` characters."""
    if not text or text.isspace():
        raise BadQuestion("q", "'q' is empty. Ask something.")
    if len(text) > longest:
        raise BadQuestion("q", f"'q' has {len(text)} characters, {longest} are allowed. Ask something shorter.")


def thread(given: Given, *, textual: bool) -> str | None:
    """Take the conversation's name out of what was given; None: there is none. Raises BadQuestion."""
    found = given.pop("thread", None)
    if textual and found is not None:
        if len(found) != 1:
            raise BadQuestion("thread", f"'thread' is given {len(found)} times. Give it once.")
        found = found[0]
    if found is None:
        return None
    if not isinstance(found, str) or not THREAD.fullmatch(found):
        raise BadQuestion("thread", "'thread' is not 1 to 256 characters, none of them a control character.")
    return found


def too_large(limit: int) -> BodyTooLarge:
    """Return the error for a body over `limit` bytes."""
    return BodyTooLarge(f"The body is larger than {limit} bytes. Send a shorter one.")
