"""Refusals under overload: ready bytes, for what a refusal costs decides how much is left for answers.

They are cut from what the ordinary way renders, so that both say the same.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Final

from aiohttp import hdrs
from aiohttp.http_parser import RawRequestMessage

from service.errors import Overloaded
from service.guards.limiter import retry_after
from service.telemetry.exchange import CURRENT, Exchange, request_id, server_timing
from service.web import form, wire
from service.web.failures import Failures, fault
from service.web.negotiate import prefers_html
from service.web.observe import REQUEST_ID, Kind, Observer

_MARK: Final = "0askd0id0"
"""The id of the refusal that others are cut from; long enough not to stand for anything else in it."""
LENGTHS: Final = 32
"""Kinds of refusals that are ready, at most: three times to wait for each length of an id. askd's own have one."""


class Refusals:
    """Refuses questions at `path`. What is refused is counted at once, and logged in sum."""

    def __init__(self, failures: Failures, observer: Observer, path: str) -> None:
        self._failures = failures
        self._observer = observer
        self._path = path
        self._made: dict[tuple[int, int], form.Form] = {}  # by Retry-After and length of the id
        self._kind: Kind | None = None  # of those that have no record; None: there was none yet

    def at_once(self, message: RawRequestMessage, arrived: float, client: str, *, closes: bool) -> bytes | None:
        """Return what is sent to a client whose question is shed before there is a record of it.

        None: it needs one, as what is said depends on more than on the id. What is traced needs one in any case.
        """
        observer, headers = self._observer, message.headers
        if closes or observer.crosses or message.method != "GET" or _html(headers):
            return None
        name = request_id(headers.get(REQUEST_ID))
        if self._kind is None:
            self._kind = observer.kind("/ask", "GET", int(Overloaded.status))
        seconds = observer.shed_at_once(self._kind, arrived, client=client)
        return self._ready(retry_after(), name).fill(name, f"total;dur={seconds * 1e3:.3f}")

    def refuse(self, record: Exchange, error: Overloaded, message: RawRequestMessage, *, closes: bool) -> bytes:
        """End the record of a question that was shed, and return what is sent."""
        record.status, record.shed, record.fault = error.status, True, fault(error)
        observer, headers = self._observer, message.headers
        special = closes or record.rate_limit is not None or observer.crosses or message.method == "HEAD"
        if special or _html(headers):
            found = self._failures.reply(error, self._path, headers.get(hdrs.ACCEPT, ""))
            observer.put_on(headers, found.headers)
            data = wire.written(found, head=message.method == "HEAD", closes=closes)
        else:
            data = self._ready(error.retry_after or 0, record.id).fill(record.id, server_timing(record, monotonic()))
        observer.end(record, quiet=False)
        return data

    def _ready(self, seconds: int, name: str) -> form.Form:
        kind = seconds, len(name)
        return self._made.get(kind) or self._cut(*kind)

    def _cut(self, seconds: int, length: int) -> form.Form:
        """Render one as on the ordinary way, and cut it."""
        before = CURRENT.get()
        CURRENT.set(Exchange(id=_MARK, method="GET", route=self._path, arrived=monotonic()))
        try:
            found = self._failures.reply(Overloaded(seconds), self._path, "")
            self._observer.put_on({}, found.headers)
        finally:
            CURRENT.set(before)
        if len(self._made) >= 3 * LENGTHS:
            self._made.clear()
        made = form.cut(wire.written(found, head=False, closes=False), id=_MARK, length=length)
        self._made[seconds, length] = made
        return made


def _html(headers: Mapping[str, str]) -> bool:
    accept = headers.get(hdrs.ACCEPT, "")
    return bool(accept) and prefers_html(accept)
