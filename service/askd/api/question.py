"""What was asked: a question read out of a request's headers, target and body, with how its answer is to come."""

from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple

from aiohttp import hdrs
from multidict import MultiMapping

from service.errors import DeadlineExceeded, Unavailable
from service.guards.health import Health
from service.guards.wishes import Wishes
from service.models import Answerer, Question
from service.telemetry.exchange import Exchange
from service.web import cache_fields, deadline, negotiate, parse
from service.web.access import Withheld, scoped
from service.web.negotiate import Representation

Headers = Mapping[str, str]


class Limits(NamedTuple):
    """How much of what a question may take: characters, bytes, seconds."""

    longest: int
    body: int
    body_timeout: float
    deadline: float
    stream_deadline: float


class Manner(NamedTuple):
    """How an answer is to come: its form, until when (`time.monotonic`), and each event in how many seconds."""

    representation: Representation
    until: float
    between: float


class Asked(NamedTuple):
    """A question, how its answer is to come, and what is wished of the cache."""

    question: Question
    manner: Manner
    wishes: Wishes


class Reader:
    """Reads questions; each step raises a Problem that names the input, the fault and the mend."""

    def __init__(self, answerer: Answerer, health: Health, limits: Limits) -> None:
        self._answerer = answerer
        self._health = health
        self.limits = limits

    def get(self, exchange: Exchange, headers: Headers, target: str) -> Asked:
        """Read `GET /ask?q=…`; `target` is as it was sent."""
        manner = self.manner(exchange, headers)
        text, given = parse.query(target.partition("?")[2])
        return self._asked(exchange, headers, manner, text, given, textual=True)

    def post(self, exchange: Exchange, headers: Headers, manner: Manner, media: str, body: bytes) -> Asked:
        """Read a body of a `media` type that is JSON or a form."""
        text, given = parse.json_body(body) if media == parse.JSON else parse.form_body(body)
        return self._asked(exchange, headers, manner, text, given, textual=media == parse.FORM)

    def manner(self, exchange: Exchange, headers: Headers) -> Manner:
        """Read how the answer is to come. Raises DeadlineExceeded, too: where the time is over already."""
        representation = negotiate.representation(headers.get(hdrs.ACCEPT, ""))
        between = deadline.seconds(self.limits.deadline, headers)
        whole = self.limits.stream_deadline if representation is Representation.STREAM else between
        if exchange.arrived + whole <= monotonic():
            raise DeadlineExceeded(whole)
        return Manner(representation, exchange.arrived + whole, between)

    def _asked(
        self, exchange: Exchange, headers: Headers, manner: Manner, text: str, given: parse.Given, *, textual: bool
    ) -> Asked:
        if not self._health.answers:
            raise Unavailable(self._health.fault or "The answerer is being loaded. Ask again in a moment.")
        parse.check_length(text, self.limits.longest)
        thread = self._thread(given, exchange.caller, textual=textual)
        exchange.question = text
        question = Question(
            text=text,
            parameters=self._answerer.bind(given, textual=textual),
            thread=thread,
            id=exchange.id,
            client=exchange.client,
            caller=exchange.caller,
            headers=Withheld(headers) if exchange.caller else headers,
            stages=exchange.stages,
            arrived=exchange.arrived,
            deadline=manner.until,
        )
        return Asked(question, manner, _wishes(headers))

    def _thread(self, given: parse.Given, caller: str, *, textual: bool) -> str | None:
        """Take the conversation out of `given`, where the answerer has such; else the name is a parameter as others.

        Here, and nowhere else, a thread gets the scope of whoever asks, where callers have names.
        """
        thread = parse.thread(given, textual=textual) if self._answerer.conversational else None
        return scoped(thread, caller) if thread is not None and caller else thread


def _wishes(headers: Headers) -> Wishes:
    """Read what is wished of the cache; several `Cache-Control` lines hold together."""
    control = headers.get(hdrs.CACHE_CONTROL)
    if control is not None and isinstance(headers, MultiMapping):
        control = ",".join(headers.getall(hdrs.CACHE_CONTROL))
    return cache_fields.wishes(control, headers.get(hdrs.PRAGMA))
