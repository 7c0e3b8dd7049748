"""Legs: a question that is passed on to another server becomes a client span, whose ids go along.

Baggage does not: it is what clients say of themselves, and the other server is none of theirs.
"""

from collections.abc import Mapping
from time import time_ns
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes, url_attributes
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.models import Leg

PROPAGATOR: Final = TraceContextTextMapPropagator()
_PORTS: Final = {"http": 80, "https": 443}


class Departure:
    """Begins legs, on behalf of the exchange that is the current one."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, method: str, url: str) -> Leg:
        """Begin one; where the exchange is not sampled, only the ids go along, with the word that they are not."""
        current = get_current_span()
        if not current.is_recording():
            return _Untold(_headers(current))
        parts = urlsplit(url)
        attributes: dict[str, str | int] = {
            http_attributes.HTTP_REQUEST_METHOD: method,
            server_attributes.SERVER_ADDRESS: parts.hostname or "",
            server_attributes.SERVER_PORT: parts.port or _PORTS.get(parts.scheme, 0),
            url_attributes.URL_FULL: url,
        }
        parent = set_span_in_context(current, Context())
        return _Told(self._tracer.start_span(method, parent, SpanKind.CLIENT, attributes))


class _Untold:
    """A leg without a span."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def answered(self, status: int) -> None:
        """There is nothing to be noted on."""

    def ended(self, fault: str = "") -> None:
        """There is nothing to end."""


class _Told(_Untold):
    """A leg with a span, which ends once."""

    def __init__(self, span: Span) -> None:
        super().__init__(_headers(span))
        self._span = span
        self._fault = ""

    def answered(self, status: int) -> None:
        """Note the status; to a client one of 400 and more is an error."""
        self._span.set_attribute(http_attributes.HTTP_RESPONSE_STATUS_CODE, status)
        self._fault = str(status) if status >= 400 else ""

    def ended(self, fault: str = "") -> None:
        """End the span. A client that left is no error of anybody's."""
        fault = self._fault or fault
        if not self._span.is_recording():
            return
        if fault:
            self._span.set_attribute(error_attributes.ERROR_TYPE, fault)
        if fault not in {"", "cancelled"}:
            self._span.set_status(StatusCode.ERROR)
        self._span.end(time_ns())


def _headers(span: Span) -> Mapping[str, str]:
    found: dict[str, str] = {}
    PROPAGATOR.inject(found, set_span_in_context(span, Context()))
    return found
