"""Rendering: answers, events and problems as bytes. No aiohttp, so that every way out of the server writes the same."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

import msgspec

from service.errors import AnswererFailed, Problem
from service.models import Answer
from service.web.negotiate import Representation

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
STREAM_TYPE = "text/event-stream"
PROBLEM_TYPE = "application/problem+json"
HTML_TYPE = "text/html; charset=utf-8"

MEMO_TEXT: Final = 1000
"""Characters of the longest text whose rendering is remembered."""
MEMO_ENTRIES: Final = 1024
"""Renderings remembered: at most some megabytes, and a third of the cost of rendering."""

_json = msgspec.json.Encoder(order=None)
_URI = "%/:@!$&'()*+,;=~-._"

MALFORMED = (
    b'{"type":"about:blank","title":"Bad request","status":400,"detail":"The request is not well-formed HTTP/1.1."}'
)
"""The body of every answer to bytes that are no HTTP: constant, because nothing of them can be trusted."""


def members(answer: Answer) -> bytes:
    """Return the answer as a JSON object. Raises AnswererFailed where it cannot be written so."""
    try:
        if not answer.fields:
            return b'{"answer":' + _json.encode(answer.text) + b"}"
        return _json.encode({"answer": answer.text, **answer.fields})
    except (TypeError, ValueError) as fault:
        raise AnswererFailed from fault


def body(answer: Answer, representation: Representation) -> bytes:
    """Return the whole answer in one representation. Raises AnswererFailed where it cannot be written so."""
    if representation is not Representation.TEXT:
        return members(answer)
    try:
        return answer.text.encode() + b"\n"
    except UnicodeEncodeError as fault:
        raise AnswererFailed from fault


def etag(payload: bytes, version: str) -> str:
    """Return a strong validator: of these bytes, and of the version of the answerer that gave them.

    The version is in it so that replicas that differ are seen.
    """
    digest = blake2b(payload, digest_size=8).hexdigest()
    return f'"{version}-{digest}"' if version else f'"{digest}"'


def rendered(answer: Answer, representation: Representation, version: str) -> tuple[bytes, str]:
    """Return body and validator of a deterministic answer; those of short texts are remembered."""
    if answer.fields or len(answer.text) > MEMO_TEXT:
        payload = body(answer, representation)
        return payload, etag(payload, version)
    return _remembered(answer.text, representation, version)


@lru_cache(maxsize=MEMO_ENTRIES)
def _remembered(text: str, representation: Representation, version: str) -> tuple[bytes, str]:
    payload = body(Answer(text), representation)
    return payload, etag(payload, version)


def matches(if_none_match: str, tag: str) -> bool:
    """Whether an `If-None-Match` header names this validator (weak comparison, RFC 9110, section 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == tag for part in if_none_match.split(","))


def event(name: str, payload: bytes) -> bytes:
    """Return one server-sent event; `payload` is JSON, so that it has no line breaks."""
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"


def delta(text: str) -> bytes:
    """Return the event for a piece of the answer's text. Raises AnswererFailed where it cannot be written so."""
    try:
        return event("delta", _json.encode(text))
    except (TypeError, ValueError) as fault:
        raise AnswererFailed from fault


def problem(error: Problem, *, id: str, path: str, prefix: str) -> dict[str, Any]:
    """Return an RFC 9457 problem: `type` leads to its description in `/docs`, `instance` is the path asked for.

    `path` is as it was sent; what a URI may not have in it is percent-encoded.
    """
    return {
        "type": f"{prefix}/docs#{error.code}",
        "title": error.title,
        "status": int(error.status),
        "detail": error.detail,
        "instance": quote(path, safe=_URI, errors="surrogateescape"),
        "request_id": id,
        **error.members,
    }


def encode(value: Mapping[str, Any]) -> bytes:
    """Return JSON."""
    return _json.encode(value)
