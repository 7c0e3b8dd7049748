"""Refusals under overload: ready bytes, for what a refusal costs decides how much is left for answers.

They are cut from what the ordinary way renders, with places for what differs, so that both say the same.
"""

import re
import time
from typing import Final, NamedTuple

from aiohttp import hdrs
from aiohttp.http_parser import RawRequestMessage

from service.errors import Overloaded
from service.telemetry.exchange import CURRENT, Exchange, server_timing
from service.web import wire
from service.web.failures import Failures
from service.web.negotiate import prefers_html
from service.web.observe import Observer

_MARK: Final = "0askd0id0"
"""Stands where the id goes; long enough not to be anything else."""
_TIMING: Final = re.compile(rb"(?<=Server-Timing: )[^\r]*")
_LENGTH: Final = re.compile(rb"(?<=Content-Length: )\d+")


class Refusals:
    """Refuses questions at `path`. What is refused is counted at once and logged in sum."""

    def __init__(self, failures: Failures, observer: Observer, path: str) -> None:
        self._failures = failures
        self._observer = observer
        self._path = path
        self._made: dict[int, _Form] = {}  # by Retry-After, for the date made anew each second

    def refuse(self, record: Exchange, error: Overloaded, message: RawRequestMessage, *, closes: bool) -> bytes:
        """End the record of a question that was shed, and return what is sent."""
        record.status, record.shed = error.status, True
        observer, headers = self._observer, message.headers
        accept = headers.get(hdrs.ACCEPT, "")
        special = closes or record.rate_limit is not None or observer.crosses or message.method == "HEAD"
        if special or (accept and prefers_html(accept)):
            found = self._failures.reply(error, self._path, accept)
            observer.put_on(headers, found.headers)
            data = wire.written(found, head=message.method == "HEAD", closes=closes)
        else:
            data = self._ready(error.retry_after or 0, record)
        observer.end(record, quiet=False)
        return data

    def _ready(self, retry_after: int, record: Exchange) -> bytes:
        """Return the refusal, with what this question has of its own put in."""
        second, known = int(time.time()), self._made.get(retry_after)
        if known is None or known.second != second:
            known = self._made[retry_after] = self._cut(retry_after, second)
        timing = server_timing(record, time.monotonic())
        id = record.id.encode()
        return known.form % {b"id": id, b"timing": timing.encode(), b"length": known.length + len(id)}

    def _cut(self, retry_after: int, second: int) -> "_Form":
        """Render one as on the ordinary way, and cut out what differs."""
        before = CURRENT.get()
        CURRENT.set(Exchange(id=_MARK, method="GET", route=self._path, arrived=time.monotonic()))
        try:
            found = self._failures.reply(Overloaded(retry_after), self._path, "")
            self._observer.put_on({}, found.headers)
        finally:
            CURRENT.set(before)
        data = wire.written(found, head=False, closes=False).replace(b"%", b"%%")
        data = data.replace(_MARK.encode(), b"%(id)b")
        form = _LENGTH.sub(b"%(length)d", _TIMING.sub(b"%(timing)b", data, count=1), count=1)
        return _Form(second, form, len(found.body) - len(_MARK))


class _Form(NamedTuple):
    """A refusal with places for what differs: id, times, length. `length` is that of the body without an id."""

    second: int
    form: bytes
    length: int
