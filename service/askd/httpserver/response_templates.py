"""Response templates: serialized responses with slots for the request id, the timings, the date and the body.

A template is cut from a response that was rendered and serialized in full, so that both produce the same bytes.
"""

import re
import time
from email.utils import formatdate
from time import monotonic
from typing import Final, NamedTuple

from askd.context import RequestContext

_CACHE_HEADERS_PATTERN: Final = re.compile(rb"(.*\r\n)Cache-Status: [^\r]*\r\nAge: [^\r]*\r\n(.*)", re.DOTALL)
_VARIABLE_HEADERS_PATTERN: Final = re.compile(
    rb"(.*\r\nX-Request-Id: )[^\r]*(\r\nServer-Timing: )[^\r]*(\r\n.*\r\nDate: )[^\r]*(.*)", re.DOTALL
)
_CONTENT_LENGTH_PATTERN: Final = re.compile(rb"(?<=\r\nContent-Length: )\d+")
_cached_date: Final = [(-1, "", b"")]
"""The second of the last date, and that date as text and as bytes."""
_HEADERS_END: Final = b"\r\n\r\n"


class ResponseTemplate(NamedTuple):
    """A whole response without its request id, timings, date and cache headers, as the parts between them.

    The order of the slots is that of `Instrumentation.add_headers` and `responses.serialize_response`.
    """

    before_cache_headers: bytes
    """Empty if the response has no cache headers."""
    before_request_id: bytes
    before_server_timing: bytes
    before_date: bytes
    after_date: tuple[bytes, ...]
    """Everything after the date, split at each occurrence of the request id."""

    def render(self, context: RequestContext, cache_headers: bytes = b"") -> bytes:
        """Return the response to a request. `cache_headers` are complete header lines."""
        id_bytes = context.request_id.encode()
        before_cache, before_id, before_timing, before_date, after = self
        rest = after[0] if len(after) == 1 else id_bytes.join(after)
        return b"".join(
            (
                before_cache,
                cache_headers,
                before_id,
                id_bytes,
                before_timing,
                format_server_timing(context, monotonic()).encode(),
                before_date,
                _current_date()[2],
                rest,
            )
        )


class HeadersTemplate(NamedTuple):
    """The headers of a response without request id, timings, content length and date, as the parts between them."""

    before_request_id: bytes
    before_server_timing: bytes
    before_content_length: bytes
    before_date: bytes

    def render(self, context: RequestContext, body: bytes) -> bytes:
        """Return the response to a request, with this body."""
        before_id, before_timing, before_length, before_date = self
        return b"".join(
            (
                before_id,
                context.request_id.encode(),
                before_timing,
                format_server_timing(context, monotonic()).encode(),
                before_length,
                b"%d" % len(body),
                before_date,
                _current_date()[2],
                _HEADERS_END,
                body,
            )
        )


def make_headers_template(response: bytes) -> HeadersTemplate:
    """Cut a headers template from a keep-alive response.

    Raises:
        ValueError: A header with a slot is missing from the response.
    """
    # Only the headers are matched, because an answer in plain text may contain lines that look like them.
    match = _VARIABLE_HEADERS_PATTERN.fullmatch(response.partition(_HEADERS_END)[0])
    if match is None:
        raise ValueError(f"response without X-Request-Id, Server-Timing or Date: {response!r}")
    before_id, before_timing, before_date, _ = match.groups()
    length = _CONTENT_LENGTH_PATTERN.search(before_date)
    if length is None:
        raise ValueError(f"response without Content-Length: {response!r}")
    return HeadersTemplate(before_id, before_timing, before_date[: length.start()], before_date[length.end() :])


def make_response_template(
    response: bytes, *, request_id: str | None = None, request_id_length: int = 0
) -> ResponseTemplate:
    """Cut a response template from a response.

    Args:
        response: The serialized response.
        request_id: Request id of the response, if its body contains it; else None.
        request_id_length: Length of the ids that the template is for, if `request_id` is given: the content length
            of the template is constant.

    Raises:
        ValueError: A header with a slot is missing from the response.
    """
    head, _, body = response.partition(_HEADERS_END)
    if request_id is not None:
        head = _CONTENT_LENGTH_PATTERN.sub(
            lambda match: b"%d" % (int(match[0]) + request_id_length - len(request_id)), head, count=1
        )
    match = _VARIABLE_HEADERS_PATTERN.fullmatch(head)
    if match is None:
        raise ValueError(f"response without X-Request-Id, Server-Timing or Date: {head!r}")
    before_id, before_timing, before_date, after_date = match.groups()
    cache_headers = _CACHE_HEADERS_PATTERN.fullmatch(before_id)
    before_cache, before_id = cache_headers.groups() if cache_headers else (b"", before_id)
    rest = after_date + _HEADERS_END + body
    return ResponseTemplate(
        before_cache,
        before_id,
        before_timing,
        before_date,
        (rest,) if request_id is None else tuple(rest.split(request_id.encode())),
    )


def format_server_timing(context: RequestContext, now: float) -> str:
    """Return the value of `Server-Timing`: the stages so far and the total, in milliseconds.

    Args:
        context: The request.
        now: Seconds of `time.monotonic`.
    """
    stages = context.stages
    parts = []
    if stages.auth is not None:
        parts.append(f"auth;dur={stages.auth * 1e3:.3f}")
    if stages.rate_limit is not None:
        parts.append(f"rate_limit;dur={stages.rate_limit * 1e3:.3f}")
    if stages.cache is not None:
        parts.append(f"cache;dur={stages.cache * 1e3:.3f}")
    if stages.queue is not None:
        parts.append(f"queue;dur={stages.queue * 1e3:.3f}")
    if stages.answerer is not None:
        parts.append(f"answerer;dur={stages.answerer * 1e3:.3f}")
    if stages.render is not None:
        parts.append(f"render;dur={stages.render * 1e3:.3f}")
    parts.append(f"total;dur={(now - context.arrived_at) * 1e3:.3f}")
    return ", ".join(parts)


def http_date() -> str:
    """Return the value of the `Date` header, cached for a second."""
    return _current_date()[1]


def http_date_bytes() -> bytes:
    """Return the value of the `Date` header as bytes, cached for a second."""
    return _current_date()[2]


def _current_date() -> tuple[int, str, bytes]:
    now = int(time.time())
    cached = _cached_date[0]
    if cached[0] != now:
        text = formatdate(now, usegmt=True)
        cached = _cached_date[0] = now, text, text.encode()
    return cached
