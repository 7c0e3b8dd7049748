"""Ready answers: constant bytes for where there is no request to answer, or no time. Each ends its connection."""

import json
from email.utils import formatdate
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from service.web import render


class Ready(NamedTuple):
    """A whole answer, but for its date."""

    status: int
    head: bytes
    body: bytes

    def dated(self) -> bytes:
        """Return it as it is sent now."""
        return b"%bDate: %b\r\n\r\n%b" % (self.head, formatdate(usegmt=True).encode(), self.body)


class ReadyResponse(web.StreamResponse):
    """Sends a ready answer, whatever the request was."""

    def __init__(self, ready: Ready) -> None:
        super().__init__(status=ready.status)
        self._bytes = ready.dated()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it."""
        await request.writer.write(self._bytes)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Add nothing."""


def _made(status: int, reason: str, body: bytes, *fields: str) -> Ready:
    lines = (
        f"HTTP/1.1 {status} {reason}",
        f"Content-Type: {render.PROBLEM_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Server: askd",
        "Connection: close",
        *fields,
        "",
    )
    return Ready(status, "\r\n".join(lines).encode(), body)


def _problem(status: int, title: str, detail: str) -> bytes:
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return json.dumps(members, separators=(",", ":")).encode()


MALFORMED: Final = _made(400, "Bad Request", render.MALFORMED)
TOO_LONG: Final = _made(
    414,
    "URI Too Long",
    _problem(
        414,
        "Request line too long",
        "The request line or a header is too long. Send the question with POST.",
    ),
)
FAILED: Final = _made(
    500, "Internal Server Error", _problem(500, "Internal error", "The server failed. Its log has the cause.")
)
FULL: Final = _made(
    503,
    "Service Unavailable",
    _problem(
        503,
        "Unavailable",
        "The server has as many connections as it can take. Ask again in a moment, and keep the connection.",
    ),
    "Retry-After: 1",
)
OVERDUE: Final = _made(
    504,
    "Gateway Timeout",
    _problem(504, "Deadline exceeded", "There was no answer within the time that there was for it."),
)
