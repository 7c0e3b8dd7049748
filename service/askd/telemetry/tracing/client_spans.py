"""Client spans for requests to an upstream server, with the headers that propagate the trace.

Baggage is not propagated: clients set it, and the upstream server need not trust them.
"""

from collections.abc import Mapping
from time import time_ns
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes, url_attributes
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from askd.models import ClientSpan

PROPAGATOR: Final = TraceContextTextMapPropagator()
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class ClientSpanFactory:
    """Starts client spans below the span of the current request."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, method: str, url: str) -> ClientSpan:
        """Start a span. If the request is not sampled, only its ids are propagated, with the sampled flag cleared."""
        current = get_current_span()
        if not current.is_recording():
            return _NoopClientSpan(_propagation_headers(current))
        parts = urlsplit(url)
        attributes: dict[str, str | int] = {
            http_attributes.HTTP_REQUEST_METHOD: method,
            server_attributes.SERVER_ADDRESS: parts.hostname or "",
            server_attributes.SERVER_PORT: parts.port or _DEFAULT_PORTS.get(parts.scheme, 0),
            url_attributes.URL_FULL: url,
        }
        parent = set_span_in_context(current, Context())
        return _RecordingClientSpan(self._tracer.start_span(method, parent, SpanKind.CLIENT, attributes))

    def propagation_headers(self) -> Mapping[str, str]:
        """Return the headers that propagate the span of the current request."""
        return _propagation_headers(get_current_span())


class _NoopClientSpan:
    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def record_status(self, status: int) -> None:
        """Do nothing."""

    def end(self, error: str = "") -> None:
        """Do nothing."""


class _RecordingClientSpan(_NoopClientSpan):
    def __init__(self, span: Span) -> None:
        super().__init__(_propagation_headers(span))
        self._span = span
        self._error_type = ""

    def record_status(self, status: int) -> None:
        """Record the status; for client spans, 4xx and 5xx are errors."""
        self._span.set_attribute(http_attributes.HTTP_RESPONSE_STATUS_CODE, status)
        self._error_type = str(status) if status >= 400 else ""

    def end(self, error: str = "") -> None:
        """End the span, once. A cancelled request is not an error."""
        error_type = self._error_type or error
        if not self._span.is_recording():
            return
        if error_type:
            self._span.set_attribute(error_attributes.ERROR_TYPE, error_type)
        if error_type not in {"", "cancelled"}:
            self._span.set_status(StatusCode.ERROR)
        self._span.end(time_ns())


def _propagation_headers(span: Span) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, set_span_in_context(span, Context()))
    return headers
