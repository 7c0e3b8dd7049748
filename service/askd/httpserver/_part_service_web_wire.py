"""Replies as bytes: HTTP/1.1 as aiohttp writes it, for answers that go out where the request came in."""

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from service.web.reply import Reply

_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})
_second = [(-1, "", b"")]


def date() -> str:
    """Return the value of `Date`; made once a second."""
    return _dates()[1]


def date_bytes() -> bytes:
    """Return the value of `Date` as it is sent."""
    return _dates()[2]


def _dates() -> tuple[int, str, bytes]:
    now = int(time.time())
    known = _second[0]
    if known[0] != now:
        text = formatdate(now, usegmt=True)
        known = _second[0] = now, text, text.encode()
    return known


def written(reply: Reply, *, head: bool, closes: bool) -> bytes:
    """Return the whole response; `head`: without its body; `closes`: the connection ends with it."""
    status = reply.status
    lines = [_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"]
    for name, value in reply.headers.items():
        lines.append(f"{name}: {value}\r\n")
    if status not in _BODILESS:
        lines.append(f"Content-Length: {len(reply.body)}\r\n")
    lines.append(f"Date: {date()}\r\nConnection: close\r\n\r\n" if closes else f"Date: {date()}\r\n\r\n")
    found = "".join(lines).encode()
    return found if head or status in _BODILESS else found + reply.body
