"""HTTP/1.1 responses as bytes, with the headers in the order in which aiohttp writes them."""

import json
from http import HTTPStatus
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from askd.httpserver.response_templates import http_date, http_date_bytes

PROBLEM_TYPE: Final = "application/problem+json"
MALFORMED_REQUEST_BODY: Final = (
    b'{"type":"about:blank","title":"Bad request","status":400,"detail":"The request is not well-formed HTTP/1.1."}'
)
"""Body of the response to a malformed request: constant, because nothing in such a request can be trusted."""


class StaticResponse(NamedTuple):
    """A complete response without its date."""

    status: int
    head: bytes
    body: bytes

    def render(self) -> bytes:
        """Return the response with the current date."""
        return b"%bDate: %b\r\n\r\n%b" % (self.head, http_date_bytes(), self.body)


class StaticStreamResponse(web.StreamResponse):
    """Adapter that makes aiohttp send a static response."""

    def __init__(self, response: StaticResponse) -> None:
        super().__init__(status=response.status)
        self._rendered = response.render()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the whole response."""
        await request.writer.write(self._rendered)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has sent the whole response."""


def _static_response(status: int, reason: str, body: bytes, *extra_headers: str) -> StaticResponse:
    lines = (
        f"HTTP/1.1 {status} {reason}",
        f"Content-Type: {PROBLEM_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Server: askd",
        "Connection: close",
        *extra_headers,
        "",
    )
    return StaticResponse(status, "\r\n".join(lines).encode(), body)


def _problem_json(status: int, title: str, detail: str) -> bytes:
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return json.dumps(members, separators=(",", ":")).encode()


MALFORMED_REQUEST: Final = _static_response(400, "Bad Request", MALFORMED_REQUEST_BODY)
URI_TOO_LONG: Final = _static_response(
    414,
    "URI Too Long",
    _problem_json(
        414,
        "Request line too long",
        "The request line or a header is too long. Send the question with POST.",
    ),
)
HEADERS_TOO_LARGE: Final = _static_response(
    431,
    "Request Header Fields Too Large",
    _problem_json(431, "Headers too large", "The headers are too long, or there are too many. Send fewer of them."),
)
METHOD_NOT_IMPLEMENTED: Final = _static_response(
    501,
    "Not Implemented",
    _problem_json(501, "Method not implemented", "This server does not know the method. Send GET or POST."),
)
VERSION_NOT_SUPPORTED: Final = _static_response(
    505,
    "HTTP Version Not Supported",
    _problem_json(505, "HTTP version not supported", "This server speaks HTTP/1.1. Send the request with it."),
)
INTERNAL_ERROR: Final = _static_response(
    500,
    "Internal Server Error",
    _problem_json(500, "Internal error", "The server failed. See its log for the cause."),
)
TOO_MANY_CONNECTIONS: Final = _static_response(
    503,
    "Service Unavailable",
    _problem_json(
        503,
        "Unavailable",
        "The server has reached its limit of connections. Retry after a second, and reuse connections.",
    ),
    "Retry-After: 1",
)
TOO_MANY_RECEIVED_BYTES: Final = _static_response(
    503,
    "Service Unavailable",
    _problem_json(
        503, "Unavailable", "The server holds too many unfinished requests. Retry after a second, and send faster."
    ),
    "Retry-After: 1",
)
DEADLINE_EXCEEDED: Final = _static_response(
    504,
    "Gateway Timeout",
    _problem_json(504, "Deadline exceeded", "There was no answer before the deadline."),
)


_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
# A 204 must not have Content-Length, and a 304 only that of the 200 (RFC 9110, section 8.6).
_STATUSES_WITHOUT_BODY: Final = frozenset({204, 304})


class RenderedResponse(NamedTuple):
    """A response without the headers that every response gets."""

    status: int
    headers: dict[str, str]
    body: bytes

    def to_aiohttp(self) -> web.Response:
        """Convert to an aiohttp response."""
        return web.Response(status=self.status, body=self.body or None, headers=self.headers)


def serialize_response(response: RenderedResponse, *, omit_body: bool, close_connection: bool) -> bytes:
    """Serialize a whole response.

    Args:
        omit_body: Whether to leave out the body, as in the response to HEAD.
        close_connection: Whether to add `Connection: close`.
    """
    status = response.status
    lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"]
    for name, value in response.headers.items():
        lines.append(f"{name}: {value}\r\n")
    if status not in _STATUSES_WITHOUT_BODY:
        lines.append(f"Content-Length: {len(response.body)}\r\n")
    lines.append(
        f"Date: {http_date()}\r\nConnection: close\r\n\r\n" if close_connection else f"Date: {http_date()}\r\n\r\n"
    )
    head = "".join(lines).encode()
    return head if omit_body or status in _STATUSES_WITHOUT_BODY else head + response.body
