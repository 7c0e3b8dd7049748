"""An exchange as spans: one of the server, and below it the stages that it waited in, made of what was measured.

The names are those of OpenTelemetry's semantic conventions for HTTP, where they are stable.
"""

from collections.abc import Mapping
from random import getrandbits
from time import monotonic, time_ns
from typing import Final, NamedTuple

from opentelemetry.context import Context, attach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.semconv.attributes import (
    client_attributes,
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
    user_agent_attributes,
)
from opentelemetry.trace import Span, SpanKind, StatusCode, format_span_id, format_trace_id, set_span_in_context

from service import __version__
from service.models import LEAVING
from service.telemetry.exchange import TRACEPARENT, Exchange, trace_id
from service.telemetry.metrics import UNMATCHED
from service.telemetry.otel.ids import Ids, Unsampled, root_bound
from service.telemetry.otel.legs import PROPAGATOR, Departure
from service.telemetry.tally import METHODS

LEFT: Final = 499
"""Status of an exchange whose client left: it was never sent, and is no attribute."""
_NOTHING: Final = Context()
_UNSAMPLED: Final = set_span_in_context(Unsampled(), _NOTHING)
_SAMPLED: Final = Decision.RECORD_AND_SAMPLE


class Chosen(NamedTuple):
    """An exchange that is sampled: its parent, which has nothing in it where there is none, and its trace's id."""

    parent: Context
    trace_id: int


class Begun(NamedTuple):
    """The span of an exchange, and when it began, in nanoseconds since 1970."""

    span: Span
    at: int


class Traces:
    """Makes spans of exchanges.

    `scheme` is http or https; `prefix` stands before each route that the prefix stands before; `questions` True: their
    text is an attribute. The ids of `provider`, whose sampler decides, must be `Ids`.
    """

    def __init__(self, provider: TracerProvider, *, scheme: str, prefix: str, questions: bool) -> None:
        if not isinstance(provider.id_generator, Ids):
            raise TypeError("the provider needs an id_generator that takes what was decided: Ids")
        self._provider = provider
        self._ids = provider.id_generator
        self._sampler = provider.sampler
        self._bound = root_bound(provider.sampler)
        self._tracer = provider.get_tracer("askd", __version__)
        self._leave = Departure(self._tracer)
        self._scheme = scheme
        self._prefix = prefix
        self._questions = questions

    def decide(self, method: str, headers: Mapping[str, str]) -> Chosen | None:
        """Decide whether an exchange is sampled: by its parent where it has one, else by an id that it gets then."""
        known = trace_id(headers[TRACEPARENT]) if TRACEPARENT in headers else ""
        low = getrandbits(64)
        if not known and self._bound is not None and low >= self._bound:
            return None
        id = int(known, 16) if known else getrandbits(64) << 64 | low or 1
        parent = PROPAGATOR.extract(headers, _NOTHING) if known else _NOTHING
        decision = self._sampler.should_sample(parent, id, method, SpanKind.SERVER).decision
        return Chosen(parent, id) if decision is _SAMPLED else None

    def begin(self, exchange: Exchange, headers: Mapping[str, str], target: str, sampled: Chosen | None) -> None:
        """Begin the span of an exchange that is sampled; the others have none, and what their code begins neither."""
        LEAVING.set(self._leave)
        if sampled is None:
            parent = PROPAGATOR.extract(headers, _NOTHING) if exchange.trace_id else _NOTHING
            attach(parent or _UNSAMPLED)
            return
        self._begin(exchange, headers, target, sampled)

    def _begin(self, exchange: Exchange, headers: Mapping[str, str], target: str, sampled: Chosen) -> None:
        """Begin the span. Its context is never detached: the next exchange has its own."""
        at = time_ns() - int((monotonic() - exchange.arrived) * 1e9)
        span = self._start(exchange, headers, target, sampled, at=at)
        exchange.span = Begun(span, at)
        attach(set_span_in_context(span, _NOTHING))

    def _start(
        self,
        exchange: Exchange,
        headers: Mapping[str, str],
        target: str,
        sampled: Chosen,
        *,
        at: int,
        known: dict[str, str | int] | None = None,
    ) -> Span:
        """Start the server's span with what is `known` of its end, and note its ids on the exchange."""
        method, parent = exchange.method, sampled.parent
        if not parent:  # below a parent the SDK takes the parent's, and this would be left for a stranger
            self._ids.decided(sampled.trace_id)
        path = target.partition("?")[0]
        route = self._route(exchange.route, path)
        name = f"{method if method in METHODS else 'HTTP'} {route}".strip()
        attributes = self._attributes(exchange, headers, path, route) | (known or {})
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes, start_time=at)
        ids = span.get_span_context()
        exchange.trace_id, exchange.span_id = format_trace_id(ids.trace_id), format_span_id(ids.span_id)
        return span

    def whole(
        self, exchange: Exchange, headers: Mapping[str, str], target: str, sampled: Chosen, seconds: float
    ) -> None:
        """Make the span of an exchange that is over; all its attributes at once, which takes half the time."""
        ended = time_ns()
        at, known = ended - int(seconds * 1e9), self._outcome(exchange, "")
        self._start(exchange, headers, target, sampled, at=at, known=known).end(ended)

    def end(self, exchange: Exchange, seconds: float) -> None:
        """Add the stages and what became of the exchange, and end its span."""
        span, at = exchange.span
        exchange.span = None
        ended, status = at + int(seconds * 1e9), exchange.status
        fault = (exchange.fault or str(status)) if status >= 500 else "cancelled" if status == LEFT else ""
        self._stages(exchange, Begun(span, at), ended, fault)
        span.set_attributes(self._outcome(exchange, fault))
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _route(self, template: str, path: str) -> str:
        """Return the whole template; empty where no route was found: a stranger's path names no span."""
        if template == UNMATCHED:
            return ""
        below = self._prefix and path.startswith(self._prefix)
        return (self._prefix + template.rstrip("/") or "/") if below else template

    def _attributes(
        self, exchange: Exchange, headers: Mapping[str, str], path: str, route: str
    ) -> dict[str, str | int]:
        """Return what is known at the beginning. The query, which holds the question, is not among it."""
        method = exchange.method
        found: dict[str, str | int] = {
            http_attributes.HTTP_REQUEST_METHOD: method if method in METHODS else "_OTHER",
            url_attributes.URL_SCHEME: self._scheme,
            url_attributes.URL_PATH: path,
            client_attributes.CLIENT_ADDRESS: exchange.client,
        }
        if method not in METHODS:
            found[http_attributes.HTTP_REQUEST_METHOD_ORIGINAL] = method
        if route:
            found[http_attributes.HTTP_ROUTE] = route
        if host := headers.get("Host"):
            _place(found, host)
        if agent := headers.get("User-Agent"):
            found[user_agent_attributes.USER_AGENT_ORIGINAL] = agent
        return found

    def _outcome(self, exchange: Exchange, fault: str) -> dict[str, str | int]:
        """Return what is known at the end."""
        found: dict[str, str | int] = {"askd.request.id": exchange.id}
        if exchange.status != LEFT:
            found[http_attributes.HTTP_RESPONSE_STATUS_CODE] = exchange.status
        if fault:
            found[error_attributes.ERROR_TYPE] = fault
        if exchange.caller:
            found["askd.caller"] = exchange.caller
        if exchange.leader:
            found["askd.leader"] = exchange.leader
        if self._questions and exchange.question:
            found["askd.question"] = exchange.question
        return found

    def _stages(self, exchange: Exchange, begun: Begun, ended: int, fault: str) -> None:
        """Add a span for the wait until the code began, and one for the code, where the exchange came so far.

        Code that has no end yet, as it goes on for others or is being cancelled, is shown until the exchange's.
        """
        stages = exchange.stages
        if stages.queue is None:
            return
        parent = set_span_in_context(begun.span, _NOTHING)
        entered = begun.at + int(stages.queue * 1e9)
        self._tracer.start_span("queue", parent, start_time=begun.at).end(entered)
        code = self._tracer.start_span("code", parent, start_time=entered)
        if fault:
            code.set_attribute(error_attributes.ERROR_TYPE, fault)
        if fault not in {"", "cancelled"}:
            code.set_status(StatusCode.ERROR)
        code.end(ended if stages.code is None else entered + int(stages.code * 1e9))


def _place(found: dict[str, str | int], host: str) -> None:
    """Note the address and the port that the client asked for."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():  # no port, or an address of IPv6 without one
        name, port = host, ""
    found[server_attributes.SERVER_ADDRESS] = name.strip("[]")
    if port:
        found[server_attributes.SERVER_PORT] = int(port)
