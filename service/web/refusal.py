"""Refusals under overload: ready bytes, for what a refusal costs decides how much is left for answers.

They are cut from what the ordinary way renders, so that both say the same.
"""

from time import monotonic
from typing import Final

from aiohttp import hdrs
from aiohttp.http_parser import RawRequestMessage

from service.errors import Overloaded
from service.telemetry.exchange import CURRENT, Exchange, server_timing
from service.web import form, wire
from service.web.failures import Failures, fault
from service.web.negotiate import prefers_html
from service.web.observe import Observer

_MARK: Final = "0askd0id0"
"""The id of the refusal that others are cut from; long enough not to stand for anything else in it."""


class Refusals:
    """Refuses questions at `path`. What is refused is counted at once, and logged in sum."""

    def __init__(self, failures: Failures, observer: Observer, path: str) -> None:
        self._failures = failures
        self._observer = observer
        self._path = path
        self._made: dict[int, form.Form] = {}  # by Retry-After

    def refuse(self, record: Exchange, error: Overloaded, message: RawRequestMessage, *, closes: bool) -> bytes:
        """End the record of a question that was shed, and return what is sent."""
        record.status, record.shed, record.fault = error.status, True, fault(error)
        observer, headers = self._observer, message.headers
        accept = headers.get(hdrs.ACCEPT, "")
        special = closes or record.rate_limit is not None or observer.crosses or message.method == "HEAD"
        if special or (accept and prefers_html(accept)):
            found = self._failures.reply(error, self._path, accept)
            observer.put_on(headers, found.headers)
            data = wire.written(found, head=message.method == "HEAD", closes=closes)
        else:
            seconds = error.retry_after or 0
            ready = self._made.get(seconds) or self._cut(seconds)
            data = ready.fill(record.id, server_timing(record, monotonic()))
        observer.end(record, quiet=False)
        return data

    def _cut(self, seconds: int) -> form.Form:
        """Render one as on the ordinary way, and cut it."""
        before = CURRENT.get()
        CURRENT.set(Exchange(id=_MARK, method="GET", route=self._path, arrived=monotonic()))
        try:
            found = self._failures.reply(Overloaded(seconds), self._path, "")
            self._observer.put_on({}, found.headers)
        finally:
            CURRENT.set(before)
        made = self._made[seconds] = form.cut(wire.written(found, head=False, closes=False), id=_MARK)
        return made
