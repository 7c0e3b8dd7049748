"""What is asked again and again and is always at hand: answered without being read again.

Only answers that the answerer itself has at hand, as the book has those to its own questions, which hold as long as its
version does; and those that the cache has, as long as it has them. Everything that could make the answer another is in
the key, or keeps the request from here.
"""

from collections.abc import Mapping
from time import monotonic, perf_counter
from typing import Final, NamedTuple

from aiohttp import HttpVersion11, hdrs
from aiohttp.http_parser import RawRequestMessage

from service.guards.cache import Cache
from service.guards.wishes import NONE
from service.models import Answer
from service.pipeline import Pipeline
from service.telemetry.exchange import TRACEPARENT, Exchange, request_id, server_timing, trace_id
from service.telemetry.tracing import Sampled
from service.turn import Key, Turn
from service.web import cache_fields, deadline, form
from service.web.client import Clients
from service.web.doorway import Doorway
from service.web.form import Form
from service.web.observe import REQUEST_ID, Kind, Observer

ENTRIES: Final = 1024
"""Responses that are remembered; when there are more, all are forgotten."""
LONGEST: Final = 512
"""Characters of the longest target and headers that are remembered."""
LARGEST: Final = 256 << 10
"""Bytes of the largest response that is remembered: what making one anew costs is little beside sending more."""
MOST: Final = 16 << 20
"""Bytes of all responses that are remembered; when there are more, all are forgotten."""

_Asked = tuple[str, str, str, str]


class _Known(NamedTuple):
    """A response, the version of the answerer that it is from, its question, and what counts it.

    `kept`: the key and the answer that the cache must still have; None: the answerer itself has it.
    """

    form: Form
    version: str
    route: str
    text: str
    status: int
    kept: tuple[Key, Answer] | None
    kind: Kind


class Hot:
    """Remembers responses of one pipeline."""

    def __init__(self, pipeline: Pipeline, observer: Observer, clients: Clients) -> None:
        self._pipeline = pipeline
        self._observer = observer
        self._clients = clients
        self.known: dict[_Asked, _Known] = {}
        """What is remembered; empty where nothing is ever at hand. Always the same object."""
        self._bytes = 0

    def give(self, message: RawRequestMessage, intake: Doorway, sampled: Sampled | None = None) -> bytes | None:
        """Return the response to the same request as before, and tell of it all at once; None: there is none.

        Only where `Observer.plain` says so. Whoever is let in is asked before. `sampled`: what `Observer.decide` said.
        """
        known = self._find(message)
        headers = message.headers
        if known is None or message.version != HttpVersion11 or hdrs.EXPECT in headers or intake.closes(message):
            return None
        cache, seconds = b"", None
        if known.kept is not None:
            started = perf_counter()
            found = _from(self._pipeline.cache, known.kept, headers)
            if found is None:
                return None
            cache, seconds = found, perf_counter() - started
        name = request_id(headers.get(REQUEST_ID))
        if sampled is not None:
            record = self._record(message, intake, known, name)
            record.stages.cache = seconds
            self._observer.whole(record, headers, message.path, sampled)
            return known.form.fill(name, server_timing(record, monotonic()), cache)
        spent = "" if seconds is None else f"{seconds * 1e3:.3f}"
        total = self._observer.answered(
            known.kind,
            name,
            intake.arrived,
            client=self._clients.of(intake.peer, headers),
            trace_id=trace_id(headers.get(TRACEPARENT)),
            cache=spent,
        )
        before = f"cache;dur={spent}, " if spent else ""
        return known.form.fill(name, f"{before}render;dur=0.000, total;dur={total}", cache)

    def _record(self, message: RawRequestMessage, intake: Doorway, known: _Known, name: str) -> Exchange:
        """Return the record of an exchange that gets a remembered response; `name` is its id."""
        headers = message.headers
        record = Exchange(
            id=name,
            trace_id=trace_id(headers.get(TRACEPARENT)),
            method=message.method,
            route=known.route,
            client=self._clients.of(intake.peer, headers),
            arrived=intake.arrived,
            status=known.status,
            question=known.text,
        )
        record.stages.render = 0.0
        return record

    def find(self, message: RawRequestMessage, record: Exchange) -> bytes | None:
        """Return the response to the same request as before, and note it on the record; None: there is none."""
        known = self._find(message)
        if known is None:
            return None
        cache = b""
        if known.kept is not None:
            started = perf_counter()
            found = _from(self._pipeline.cache, known.kept, message.headers)
            if found is None:
                return None
            cache, record.stages.cache = found, perf_counter() - started
        record.question, record.status, record.stages.render = known.text, known.status, 0.0
        return known.form.fill(record.id, server_timing(record, monotonic()), cache)

    def _find(self, message: RawRequestMessage) -> _Known | None:
        known = self.known.get(_asked(message))
        if known is None or known.version != self._pipeline.answerer.version or deadline.given(message.headers):
            return None
        return known

    def keep(self, message: RawRequestMessage, turn: Turn, record: Exchange, data: bytes) -> None:
        """Remember the response of an exchange that has ended, if it may be given again."""
        status = record.status
        if turn.at_hand is None or not turn.keeps or status not in {200, 304} or len(data) > LARGEST:
            return
        asked = _asked(message)
        if sum(map(len, asked)) > LONGEST or deadline.given(message.headers):
            return
        kept = None
        if turn.kept is not None:
            if turn.key is None or turn.wishes is not NONE:
                return
            kept = turn.key, turn.at_hand
        self._bytes += len(data)
        if len(self.known) >= ENTRIES or self._bytes > MOST:
            self.known.clear()
            self._bytes = len(data)
        version, text = turn.guards.answerer.version, turn.question.text
        kind = self._observer.kind(record.route, record.method, status)
        self.known[asked] = _Known(form.cut(data), version, record.route, text, status, kept, kind)


def _asked(message: RawRequestMessage) -> _Asked:
    headers = message.headers
    return message.method, message.path, headers.get(hdrs.ACCEPT, ""), headers.get(hdrs.IF_NONE_MATCH, "")


def _from(cache: Cache, kept: tuple[Key, Answer], headers: Mapping[str, str]) -> bytes | None:
    """Return the lines with which the cache gives the same answer again; None: it does not, or must be asked."""
    if hdrs.CACHE_CONTROL in headers or hdrs.PRAGMA in headers:
        return None
    found = cache.again(*kept)
    if found is None:
        return None
    return f"Cache-Status: {cache_fields.hit(found)}\r\nAge: {cache_fields.age(found)}\r\n".encode()
