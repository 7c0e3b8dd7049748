"""Serialize answers, stream events and problems to bytes.

The aiohttp handlers and the fast path both use it, so that they produce identical responses.
"""

from hashlib import blake2b
from time import perf_counter
from typing import Any, Final
from urllib.parse import quote

import msgspec
from aiohttp import hdrs, web

from askd.api import cache_headers
from askd.api.question_parser import Headers
from askd.errors import AnswererFailed, Problem
from askd.httpserver.negotiation import Representation
from askd.httpserver.responses import RenderedResponse
from askd.models import Answer
from askd.pipeline import Execution

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
EVENT_STREAM_TYPE = "text/event-stream"
HTML_TYPE = "text/html; charset=utf-8"

_json_encoder = msgspec.json.Encoder(order=None)
_URI_SAFE_CHARACTERS = "%/:@!$&'()*+,;=~-._"


def encode_answer(answer: Answer) -> bytes:
    """Return the answer as a JSON object. Raises AnswererFailed if it cannot be serialized."""
    value = answer.text if answer.value is None else answer.value
    if not answer.fields:
        return b'{"answer":' + encode_json(value) + b"}"
    return encode_json({"answer": value, **answer.fields})


def encode_answer_body(answer: Answer, representation: Representation) -> bytes:
    """Return the response body in the given representation. Raises AnswererFailed if it cannot be serialized."""
    if representation is not Representation.TEXT:
        return encode_answer(answer)
    try:
        return answer.text.encode() + b"\n"
    except UnicodeEncodeError as error:
        raise AnswererFailed from error


def etag(payload: bytes, version: str) -> str:
    """Return a strong ETag of the body and of the answerer's version.

    The version is included because replicas with different versions may give different answers.
    """
    digest = blake2b(payload, digest_size=8).hexdigest()
    return f'"{version}-{digest}"' if version else f'"{digest}"'


def etag_matches(if_none_match: str, tag: str) -> bool:
    """Return whether an `If-None-Match` header lists this ETag (weak comparison, RFC 9110, section 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == tag for part in if_none_match.split(","))


def encode_sse_event(name: str, payload: bytes) -> bytes:
    """Return one server-sent event; `payload` is JSON and therefore contains no line breaks."""
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"


def encode_sse_delta(text: str) -> bytes:
    """Return a `delta` event with a piece of the answer. Raises AnswererFailed if it cannot be serialized."""
    return encode_sse_event("delta", encode_json(text))


def problem_details(error: Problem, *, request_id: str, path: str, prefix: str) -> dict[str, Any]:
    """Return the members of an RFC 9457 problem.

    Args:
        error: The problem.
        request_id: Id of the request; may be empty.
        path: Raw request path; becomes `instance`, with characters that a URI does not allow percent-encoded.
        prefix: Path prefix of the server; `type` links to the problem's section in `/docs` below it.
    """
    return {
        "type": f"{prefix}/docs#{error.code}",
        "title": error.title,
        "status": int(error.status),
        "detail": error.detail,
        "instance": quote(path, safe=_URI_SAFE_CHARACTERS, errors="surrogateescape"),
        "request_id": request_id,
        **error.extensions,
    }


def encode_json(value: Any) -> bytes:
    """Return the value as JSON. Raises AnswererFailed if it cannot be serialized."""
    try:
        return _json_encoder.encode(value)
    except (TypeError, ValueError) as error:
        raise AnswererFailed from error


def json_response(body: bytes) -> web.Response:
    """Return the response with a JSON body that is not cached."""
    return web.Response(body=body, headers={"Content-Type": JSON_TYPE, "Cache-Control": "no-store"})


_CONTENT_TYPES: Final = {Representation.JSON: JSON_TYPE, Representation.TEXT: TEXT_TYPE}


def render_answer(
    execution: Execution, answer: Answer, representation: Representation, headers: Headers, *, safe_method: bool
) -> RenderedResponse:
    """Render an answer.

    Args:
        headers: The request headers.
        safe_method: Whether `If-None-Match` may lead to a 304 (RFC 9110, section 13.1.2).

    Raises:
        AnswererFailed: The answer cannot be encoded.
    """
    started = perf_counter()
    response_headers = {"Content-Type": _CONTENT_TYPES[representation], "Vary": "Accept", "Cache-Control": "no-store"}
    if not execution.cacheable:
        body = encode_answer_body(answer, representation)
        response = RenderedResponse(200, response_headers, body)
    else:
        body = encode_answer_body(answer, representation)
        tag = etag(body, execution.pipeline.answerer.version)
        response_headers |= {"Cache-Control": "no-cache", "ETag": tag, **cache_status_headers(execution)}
        condition = headers.get(hdrs.IF_NONE_MATCH)
        if condition is not None and safe_method and etag_matches(condition, tag):
            del response_headers["Content-Type"]
            response = RenderedResponse(304, response_headers, b"")
        else:
            response = RenderedResponse(200, response_headers, body)
    execution.question.stages.render = perf_counter() - started
    return response


def cache_status_headers(execution: Execution) -> dict[str, str]:
    """Return `Cache-Status` and, on a hit, `Age`; empty if the cache was not consulted."""
    if execution.cache_hit is not None:
        return {
            "Cache-Status": cache_headers.cache_status_hit(execution.cache_hit),
            "Age": cache_headers.age_header(execution.cache_hit),
        }
    if execution.miss_reason is None:
        return {}
    return {
        "Cache-Status": cache_headers.cache_status_forwarded(
            execution.miss_reason, stored=execution.stored, collapsed=execution.leader_id is not None
        )
    }
