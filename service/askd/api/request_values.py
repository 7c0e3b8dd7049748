"""Parse and validate the question in a query string, a JSON body or a form body.

Parsing is strict: malformed input raises BadQuestion, which names the parameter. This module does not depend on
aiohttp, because the fast path uses it too.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from askd.errors import BadQuestion, BodyTooLarge, UnsupportedMediaType
from askd.models import QuestionForm

FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"

THREAD_ID_PATTERN: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
"""Valid thread ids. They become keys in third-party databases, some of which reject control characters."""

RawParameters = dict[str, Any]
"""Parameters, not validated, without a question that is text: lists of strings from a query or form, else JSON."""

_TEXT_FORM: Final = QuestionForm()
_MAX_NAME_LENGTH: Final = 100
"""Maximum number of characters of a parameter name, or of a header value, that an error message repeats."""


def parse_query(raw: str, form: QuestionForm = _TEXT_FORM) -> tuple[str, RawParameters]:
    """Split a raw query string into the question's text and the parameters.

    Percent-escapes that are not valid UTF-8 are rejected. (aiohttp would replace them with U+FFFD.)

    Args:
        raw: The query string.
        form: How the answerer's requests send the question.

    Raises:
        BadQuestion: `q` is missing or repeated, or a name or value is not valid UTF-8.
    """
    # Most requests have nothing to decode; this branch keeps the fast path fast.
    if raw.startswith("q=") and "&" not in raw and "%" not in raw and "+" not in raw and raw.isascii():
        return raw[2:], {} if form.schema is None else {form.name: [raw[2:]]}
    parameters: RawParameters = {}
    for pair in raw.split("&"):
        if pair:
            encoded_name, _, value = pair.partition("=")
            name = _percent_decode(encoded_name, "parameter name")
            parameters.setdefault(name, []).append(_percent_decode(value, name))
    return pop_question(parameters, form, from_strings=True), parameters


def _percent_decode(text: str, name: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        name = name[:_MAX_NAME_LENGTH]
        raise BadQuestion(name, f"{name!r} is not valid UTF-8. Percent-encode its UTF-8 bytes.") from None


def pop_question(parameters: RawParameters, form: QuestionForm, *, from_strings: bool) -> str:
    """Remove the question from the parameters and return its text.

    A question that is not text stays there under `form.name`, and its JSON is the text. If there is none, the JSON of
    all parameters is: the answerer decides whether it may be missing.
    """
    name = form.name if form.name in parameters else "q"
    if name != "q" and "q" in parameters:
        raise BadQuestion(name, f"'q' and {name!r} are both the question. Send one of them.")
    value = parameters.pop(name, None)
    if form.schema is not None:
        if value is not None:
            parameters[form.name] = value
        return _question_text(parameters if value is None else value)
    if value is None:
        raise BadQuestion("q", '\'q\' is missing. Send the question as ?q=… or as {"q": "…"}.')
    if from_strings and len(value) != 1:
        raise BadQuestion(name, f"{name!r} was sent {len(value)} times. Send it once.")
    text = value[0] if from_strings else value
    if form.accepts_json and isinstance(text, dict | list | int | float):
        if form.passes_json:
            parameters[form.name] = text
        return json.dumps(text, ensure_ascii=False)
    if not isinstance(text, str):
        shown = "…" if isinstance(text, list | dict) else json.dumps(text)[:_MAX_NAME_LENGTH]
        raise BadQuestion(name, f'{name!r} is not a string. Send {{"{name}": "{shown}"}}.')
    return text


def _question_text(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class _JsonObject(dict[str, Any]):
    """JSON object that records its first duplicate key."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.duplicate_key = next(_duplicate_keys(pairs)) if len(pairs) != len(self) else None


def _duplicate_keys(pairs: list[tuple[str, Any]]) -> Iterator[str]:
    unique: set[str] = set()
    for name, _ in pairs:
        if name in unique:
            yield name
        unique.add(name)


def parse_json(body: bytes, form: QuestionForm = _TEXT_FORM) -> tuple[str, RawParameters]:
    """Parse a body such as `{"q": "…", …}` into the question's text and the parameters.

    Raises:
        BadQuestion: The body is not a valid JSON object, or `q` is missing or not a string.
    """
    parameters = parse_json_object(body)
    return pop_question(parameters, form, from_strings=False), parameters


def parse_json_object(body: bytes, *, hint: str = 'Send {"q": "…"}.') -> RawParameters:
    """Parse a JSON object; `hint` ends the error messages.

    Raises:
        BadQuestion: The body is not a JSON object in UTF-8, is nested too deeply, has a duplicate key, an unpaired
            surrogate or a number that is too large.
    """
    try:
        parsed = json.loads(
            body.decode(), object_pairs_hook=_JsonObject, parse_float=_parse_number, parse_constant=_reject_constant
        )
    except UnicodeDecodeError:
        raise BadQuestion("body", "The body is not valid UTF-8. Send JSON in UTF-8.") from None
    except (ValueError, RecursionError):
        raise BadQuestion("body", f"The body is not valid JSON. {hint}") from None
    if not isinstance(parsed, _JsonObject):
        raise BadQuestion("body", f"The body is not a JSON object. {hint}")
    if b"\\u" in body:
        _check_surrogates(parsed)
    if parsed.duplicate_key is not None:
        name = parsed.duplicate_key[:_MAX_NAME_LENGTH]
        raise BadQuestion(name, f"{name!r} was sent more than once. Send it once.")
    return dict(parsed)


def _check_surrogates(parsed: _JsonObject) -> None:
    """Reject unpaired surrogates, which can be neither logged nor sent. Only JSON escapes can produce them."""
    for name, value in parsed.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            is_name_invalid = name.encode(errors="replace") != name.encode(errors="ignore")
            parameter = "body" if is_name_invalid else name[:_MAX_NAME_LENGTH]
            raise BadQuestion(
                parameter, f"{parameter!r} contains an unpaired surrogate. Send complete Unicode characters."
            ) from None


def _parse_number(text: str) -> int | float:
    """Return 3 for 3.0, because JSON Schema treats them as equal. Raises ValueError if a float cannot hold it."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _reject_constant(name: str) -> None:
    """Reject NaN and Infinity, which Python accepts and JSON does not have."""
    raise ValueError(name)


def parse_form(body: bytes, form: QuestionForm = _TEXT_FORM) -> tuple[str, RawParameters]:
    """Parse a URL-encoded form body into the question's text and the parameters. Raises BadQuestion."""
    return parse_query(body.decode("utf-8", "surrogateescape"), form)


def looks_like_json(body: bytes) -> bool:
    """Return whether a body that is declared as a form is JSON: `curl -d` declares everything as a form."""
    return body.lstrip()[:1] == b"{"


def parse_media_type(header: str | None) -> str:
    """Return JSON_TYPE or FORM_TYPE for a `Content-Type` header.

    Raises:
        UnsupportedMediaType: The body is neither JSON nor a form, or is not in UTF-8.
    """
    media_type, *parameters = (part.strip().lower() for part in (header or "").split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip('"')
        if name == "charset" and charset not in {"utf-8", "utf8", "us-ascii"}:
            raise UnsupportedMediaType(f"Unsupported charset {charset[:_MAX_NAME_LENGTH]!a}. Send the body in UTF-8.")
    if media_type == FORM_TYPE:
        return FORM_TYPE
    if media_type == JSON_TYPE or (media_type.startswith("application/") and media_type.endswith("+json")):
        return JSON_TYPE
    problem = f"Unsupported Content-Type {media_type[:_MAX_NAME_LENGTH]!a}" if media_type else "Content-Type is missing"
    raise UnsupportedMediaType(f"{problem}. Send {JSON_TYPE} or {FORM_TYPE}.")


def pop_thread_id(parameters: RawParameters, *, from_strings: bool) -> str | None:
    """Remove `thread` from the parameters and return its value, or None if the request does not belong to a thread.

    Args:
        parameters: Parsed parameters; modified in place.
        from_strings: Whether the values are lists of strings (query or form) rather than JSON values.

    Raises:
        BadQuestion: The thread id is repeated or malformed.
    """
    thread_id = parameters.pop("thread", None)
    if from_strings and thread_id is not None:
        if len(thread_id) != 1:
            raise BadQuestion("thread", f"'thread' was sent {len(thread_id)} times. Send it once.")
        thread_id = thread_id[0]
    if thread_id is None:
        return None
    if not isinstance(thread_id, str) or not THREAD_ID_PATTERN.fullmatch(thread_id):
        raise BadQuestion("thread", "'thread' must be a string of 1 to 256 characters without control characters.")
    return thread_id


def body_too_large(limit: int) -> BodyTooLarge:
    """Return the error for a body of more than `limit` bytes."""
    return BodyTooLarge(f"The body is larger than {limit} bytes. Send a smaller body.")
