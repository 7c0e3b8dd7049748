"""The door: `GET` and `HEAD` of `/ask`, answered where their bytes arrive.

Python pays for a task, a request object, a routing and a response object as much as for the rest of an exchange. What
needs no waiting (an answer at hand, a 304, a refusal) gets none of them here; what needs the code gets a task of its
own, and nothing else. Admission, reading, pipeline, rendering and observation are the same as on the ordinary way,
which everything else goes: bodies, streams, pages, HTTP/1.0, `Expect`, and rates that are shared over a network.
"""

from time import monotonic
from typing import Final

from aiohttp import HttpVersion11, hdrs
from aiohttp.http_parser import RawRequestMessage

from service.errors import Overloaded
from service.guards.limiter import Ticket, retry_after
from service.pipeline import Pipeline
from service.telemetry.exchange import CURRENT, Exchange, server_timing
from service.telemetry.tracing import Sampled
from service.turn import Turn
from service.web import form, reply, wire
from service.web.admission import Admission
from service.web.asked import Asked, Headers, Reader
from service.web.client import Clients
from service.web.doorway import Doorway
from service.web.failures import Failures, known
from service.web.hot import Hot
from service.web.negotiate import STREAM
from service.web.observe import Observer
from service.web.refusal import Refusals
from service.web.reply import Reply
from service.web.underway import Underway

FRAMES: Final = 64
"""Kinds of answers of code whose headers are ready."""
_ROUTE: Final = "/ask"
_METHODS: Final = frozenset({"GET", "HEAD"})


class Door:
    """Answers what it can of the questions at `path`; `clients` tells whose they are."""

    def __init__(
        self,
        path: str,
        *,
        reader: Reader,
        pipeline: Pipeline,
        admission: Admission,
        clients: Clients,
        observer: Observer,
        failures: Failures,
    ) -> None:
        self._path = path
        self._query = path + "?"
        self._reader = reader
        self._pipeline = pipeline
        self._admission = admission
        self._clients = clients
        self.observer = observer
        self.failures = failures
        self._refusals = Refusals(failures, observer, path)
        self._hot = Hot(pipeline, observer, clients)
        self._known = self._hot.known
        self._frames: dict[tuple[int, tuple[str, ...]], form.Frame] = {}
        self._remembers = admission.open and observer.plain

    def __call__(self, message: RawRequestMessage, intake: Doorway) -> bytes | Underway | None:
        """Return the answer, or the exchange that it will come from; None: the request goes the ordinary way."""
        sampled = self.observer.decide(message.method, message.headers)
        if self._known and self._remembers:
            data = self._hot.give(message, intake, sampled)
            if data is not None:
                return data
        target = message.path
        if not (target.startswith(self._query) or target == self._path) or message.method not in _METHODS:
            return None
        headers = message.headers
        if message.version != HttpVersion11 or hdrs.EXPECT in headers or self._admission.waits:
            return None
        if STREAM in headers.get(hdrs.ACCEPT, ""):
            return None
        client = self._clients.of(intake.peer, headers)
        ticket = None
        if self._pipeline.bare and self._admission.open:  # nothing stands before the place
            ticket = self._pipeline.limiter.admit(intake.arrived)
            if ticket is None:
                return self._shed(message, intake, client, sampled)
        record = self._record(message, intake, client, sampled)
        try:
            return self._enter(record, message, intake, ticket)
        finally:
            CURRENT.set(None)  # what comes next in this context is another's

    def _record(self, message: RawRequestMessage, intake: Doorway, client: str, sampled: Sampled | None) -> Exchange:
        begin, target = self.observer.begin, message.path
        return begin(message.method, _ROUTE, message.headers, client, intake.arrived, target=target, sampled=sampled)

    def _shed(self, message: RawRequestMessage, intake: Doorway, client: str, sampled: Sampled | None) -> bytes:
        """Refuse what is too much, without a record of it where that will do."""
        closes = intake.closes(message)
        data = None
        if sampled is None:
            data = self._refusals.at_once(message, intake.arrived, client, closes=closes)
        if data is None:
            record = self._record(message, intake, client, sampled)
            try:
                data = self._refusals.refuse(record, Overloaded(retry_after()), message, closes=closes)
            finally:
                CURRENT.set(None)
        return data

    def _enter(
        self, record: Exchange, message: RawRequestMessage, intake: Doorway, ticket: Ticket | None
    ) -> bytes | Underway:
        try:
            self._admission.admit(message.headers, record)
            return self._admitted(record, message, intake, ticket)
        except Overloaded as error:
            return self._refusals.refuse(record, error, message, closes=intake.closes(message))
        except Exception as error:
            return self.finished(record, self.failed(message, error), message, intake)

    def _admitted(
        self, record: Exchange, message: RawRequestMessage, intake: Doorway, ticket: Ticket | None
    ) -> bytes | Underway:
        """Answer what is at hand, at once where the same was asked before, or ask the code."""
        plain = record.rate_limit is None and not self.observer.crosses and not intake.closes(message)
        look = plain and not self._remembers  # else that has been done
        if look and (data := self._hot.find(message, record)) is not None:
            self.observer.end(record, quiet=False)
            return data
        turn, asked = self._begin(record, message.headers, message.path, ticket)
        if turn.at_hand is None:
            return Underway(self, record, message=message, intake=intake, asked=asked, turn=turn)
        found = reply.answered(turn, turn.at_hand, asked.manner.representation, message.headers, safe=True)
        data = self.finished(record, found, message, intake)
        if plain:
            self._hot.keep(message, turn, record, data)
        return data

    def _begin(self, record: Exchange, headers: Headers, target: str, ticket: Ticket | None) -> tuple[Turn, Asked]:
        """Read the question, and begin its turn; where nothing can be at hand, its place is asked for first."""
        pipeline = self._pipeline
        if ticket is None and pipeline.bare:
            ticket = pipeline.guards.place(record.arrived)
        try:
            asked = self._reader.get(record, headers, target)
            return pipeline.begin(asked.question, asked.wishes, ticket=ticket), asked
        except BaseException:
            if ticket is not None:
                ticket.leave()
            raise

    def failed(self, message: RawRequestMessage, error: Exception) -> Reply:
        """Render what went wrong with a request."""
        return self.failures.reply(known(error), self._path, message.headers.get(hdrs.ACCEPT, ""))

    def finished(self, record: Exchange, found: Reply, message: RawRequestMessage, intake: Doorway) -> bytes:
        """End the record of an exchange, and return what is sent."""
        record.status = found.status
        head, closes = message.method == "HEAD", intake.closes(message)
        if head or closes or record.rate_limit is not None or found.varies or self.observer.crosses:
            self.observer.put_on(message.headers, found.headers)
            data = wire.written(found, head=head, closes=closes)
        else:
            data = self._framed(record, found)
        self.observer.end(record, quiet=False)
        return data

    def _framed(self, record: Exchange, found: Reply) -> bytes:
        """Return what is sent, where headers like these have been sent before, and frame it where not."""
        kind = found.status, tuple(found.headers.values())
        frame = self._frames.get(kind)
        if frame is not None:
            return frame.fill(record.id, server_timing(record, monotonic()), found.body)
        self.observer.put_on({}, found.headers)
        data = wire.written(found, head=False, closes=False)
        if len(self._frames) < FRAMES:
            self._frames[kind] = form.frame(data)
        return data
