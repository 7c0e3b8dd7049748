"""Server spans: one per request, with child spans for queue and answerer, made from the measured stage times.

Names follow OpenTelemetry's semantic conventions for HTTP, as far as they are stable.
"""

import threading
from collections.abc import Mapping
from random import getrandbits
from time import monotonic, time_ns
from typing import Final, NamedTuple

from opentelemetry.context import Context, attach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, ParentBasedTraceIdRatio, Sampler, TraceIdRatioBased
from opentelemetry.semconv.attributes import (
    client_attributes,
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
    user_agent_attributes,
)
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from askd import __version__
from askd.context import TRACEPARENT_HEADER, RequestContext, parse_trace_id, request_context_var
from askd.models import client_span_var
from askd.telemetry.metrics import KNOWN_METHODS, OTHER_METHOD, UNMATCHED_ROUTE
from askd.telemetry.tracing.client_spans import PROPAGATOR, ClientSpanFactory

_PARENT_BASED_SAMPLERS: Final = (ParentBased, ParentBasedTraceIdRatio)
_random_ids: Final = RandomIdGenerator()


class PresetTraceIdGenerator(RandomIdGenerator):
    """Random ids, except that the next trace of this thread gets the id for which sampling was decided."""

    def __init__(self) -> None:
        self._thread_local = threading.local()

    def preset_trace_id(self, trace_id: int) -> None:
        """Set the id of the next trace in this thread."""
        self._thread_local.next = trace_id

    def generate_trace_id(self) -> int:
        """Return the preset id once, then random ids."""
        preset_id: int = getattr(self._thread_local, "next", 0)
        self._thread_local.next = 0
        return preset_id or super().generate_trace_id()


class UnsampledSpan(NonRecordingSpan):
    """Parent span of everything that an unsampled request starts, so that it is not sampled either.

    One instance serves all requests. Few requests use the ids, so they are generated on demand and kept in the request
    context.
    """

    def __init__(self) -> None:
        """Skip the base class, which would store a span context."""

    def get_span_context(self) -> SpanContext:
        """Return the ids of the current request, with the sampled flag cleared."""
        request = request_context_var.get()
        if request is None:
            return INVALID_SPAN_CONTEXT
        if request.unsampled_span_context is None:
            trace_id, flags = _random_ids.generate_trace_id(), TraceFlags(TraceFlags.RANDOM_TRACE_ID)
            request.unsampled_span_context = SpanContext(
                trace_id, _random_ids.generate_span_id(), is_remote=False, trace_flags=flags
            )
        span_context: SpanContext = request.unsampled_span_context
        return span_context

    def __repr__(self) -> str:
        return f"UnsampledSpan({self.get_span_context()!r})"


def root_sampling_bound(sampler: Sampler) -> int | None:
    """Return the bound for the low 64 bits of a root trace id: ids below are sampled. None for unknown samplers.

    Asking the SDK's sampler takes longer than everything else that an unsampled request does.
    """
    root = getattr(sampler, "_root", None) if type(sampler) in _PARENT_BASED_SAMPLERS else sampler
    return root.bound if type(root) is TraceIdRatioBased else None


CLIENT_CLOSED_REQUEST: Final = 499
"""Internal status of a request whose client disconnected: it was never sent, so it is not an attribute."""
_EMPTY_CONTEXT: Final = Context()
_UNSAMPLED_CONTEXT: Final = set_span_in_context(UnsampledSpan(), _EMPTY_CONTEXT)
_RECORD_AND_SAMPLE: Final = Decision.RECORD_AND_SAMPLE


class SampledTrace(NamedTuple):
    """A sampled request: its parent context, which may be empty, and its trace id."""

    parent: Context
    trace_id: int


class OpenSpan(NamedTuple):
    """The span of a request and its start in nanoseconds of Unix time."""

    span: Span
    start_time_ns: int


class OtelRequestTracer:
    """Traces requests with OpenTelemetry's SDK.

    Args:
        provider: Its sampler decides; its `id_generator` must be a PresetTraceIdGenerator.
        scheme: http or https.
        prefix: Path prefix of the server, part of `http.route`.
        record_questions: Whether the text of the question is an attribute.

    Raises:
        TypeError: The provider has another id generator.
    """

    def __init__(self, provider: TracerProvider, *, scheme: str, prefix: str, record_questions: bool) -> None:
        if not isinstance(provider.id_generator, PresetTraceIdGenerator):
            raise TypeError("the provider needs a PresetTraceIdGenerator as its id_generator")
        self._provider = provider
        self._id_generator = provider.id_generator
        self._sampler = provider.sampler
        self._root_sampling_bound = root_sampling_bound(provider.sampler)
        self._tracer = provider.get_tracer("askd", __version__)
        self._client_span_factory = ClientSpanFactory(self._tracer)
        self._scheme = scheme
        self._prefix = prefix
        self._record_questions = record_questions

    def sample(self, method: str, headers: Mapping[str, str]) -> SampledTrace | None:
        """Decide whether a request is sampled: by its parent if it has one, else by a new trace id."""
        parent_trace_id = parse_trace_id(headers[TRACEPARENT_HEADER]) if TRACEPARENT_HEADER in headers else ""
        low_bits = getrandbits(64)
        if not parent_trace_id and self._root_sampling_bound is not None and low_bits >= self._root_sampling_bound:
            return None
        trace_id = int(parent_trace_id, 16) if parent_trace_id else getrandbits(64) << 64 | low_bits or 1
        parent = PROPAGATOR.extract(headers, _EMPTY_CONTEXT) if parent_trace_id else _EMPTY_CONTEXT
        decision = self._sampler.should_sample(parent, trace_id, method, SpanKind.SERVER).decision
        return SampledTrace(parent, trace_id) if decision is _RECORD_AND_SAMPLE else None

    def start(
        self, context: RequestContext, headers: Mapping[str, str], target: str, sampled: SampledTrace | None
    ) -> None:
        """Start the span of a sampled request, or make everything that the request starts unsampled.

        The OpenTelemetry context is never detached: the next request attaches its own.
        """
        client_span_var.set(self._client_span_factory)
        if sampled is None:
            parent = PROPAGATOR.extract(headers, _EMPTY_CONTEXT) if context.trace_id else _EMPTY_CONTEXT
            attach(parent or _UNSAMPLED_CONTEXT)
            return
        start_time_ns = time_ns() - int((monotonic() - context.arrived_at) * 1e9)
        span = self._start_server_span(context, headers, target, sampled, start_time_ns=start_time_ns)
        context.span = OpenSpan(span, start_time_ns)
        attach(set_span_in_context(span, _EMPTY_CONTEXT))

    def record_finished(
        self, context: RequestContext, headers: Mapping[str, str], target: str, sampled: SampledTrace, seconds: float
    ) -> None:
        """Create the span of a finished request with all attributes at once, which takes half the time."""
        end_time_ns = time_ns()
        span = self._start_server_span(
            context,
            headers,
            target,
            sampled,
            start_time_ns=end_time_ns - int(seconds * 1e9),
            end_attributes=self._end_attributes(context, _error_type(context)),
        )
        if context.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(end_time_ns)

    def finish(self, context: RequestContext, seconds: float) -> None:
        """Add stages and outcome to the span of a request, and end it."""
        open_span: OpenSpan = context.span
        context.span = None
        end_time_ns, error_type = open_span.start_time_ns + int(seconds * 1e9), _error_type(context)
        self._add_stage_spans(context, open_span, end_time_ns, error_type)
        open_span.span.set_attributes(self._end_attributes(context, error_type))
        if context.status >= 500:
            open_span.span.set_status(StatusCode.ERROR)
        open_span.span.end(end_time_ns)

    def close(self) -> None:
        """Send pending spans. Blocks until the receiver has taken them."""
        self._provider.shutdown()

    def _start_server_span(
        self,
        context: RequestContext,
        headers: Mapping[str, str],
        target: str,
        sampled: SampledTrace,
        *,
        start_time_ns: int,
        end_attributes: dict[str, str | int] | None = None,
    ) -> Span:
        """Start the span and store its ids in the request context."""
        method, parent = context.method, sampled.parent
        if not parent:  # with a parent, the SDK uses the parent's id, and the preset one would go to another trace
            self._id_generator.preset_trace_id(sampled.trace_id)
        path = target.partition("?")[0]
        route = self._full_route(context.route, path)
        name = f"{method if method in KNOWN_METHODS else 'HTTP'} {route}".strip()
        attributes = self._start_attributes(context, headers, path, route) | (end_attributes or {})
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes, start_time=start_time_ns)
        ids = span.get_span_context()
        context.trace_id, context.span_id = format_trace_id(ids.trace_id), format_span_id(ids.span_id)
        return span

    def _full_route(self, template: str, path: str) -> str:
        """Return the route with the prefix; empty for unmatched paths, which would be unbounded span names."""
        if template == UNMATCHED_ROUTE:
            return ""
        has_prefix = self._prefix and path.startswith(self._prefix)
        return (self._prefix + template.rstrip("/") or "/") if has_prefix else template

    def _start_attributes(
        self, context: RequestContext, headers: Mapping[str, str], path: str, route: str
    ) -> dict[str, str | int]:
        """Return the attributes known at the start. The query is not one of them, because it contains the question."""
        method = context.method
        attributes: dict[str, str | int] = {
            http_attributes.HTTP_REQUEST_METHOD: method if method in KNOWN_METHODS else OTHER_METHOD,
            url_attributes.URL_SCHEME: self._scheme,
            url_attributes.URL_PATH: path,
            client_attributes.CLIENT_ADDRESS: context.client,
        }
        if method not in KNOWN_METHODS:
            attributes[http_attributes.HTTP_REQUEST_METHOD_ORIGINAL] = method
        if route:
            attributes[http_attributes.HTTP_ROUTE] = route
        if host := headers.get("Host"):
            _set_server_address(attributes, host)
        if user_agent := headers.get("User-Agent"):
            attributes[user_agent_attributes.USER_AGENT_ORIGINAL] = user_agent
        return attributes

    def _end_attributes(self, context: RequestContext, error_type: str) -> dict[str, str | int]:
        attributes: dict[str, str | int] = {"askd.request.id": context.request_id}
        if context.status != CLIENT_CLOSED_REQUEST:
            attributes[http_attributes.HTTP_RESPONSE_STATUS_CODE] = context.status
        if error_type:
            attributes[error_attributes.ERROR_TYPE] = error_type
        if context.caller:
            attributes["askd.caller"] = context.caller
        if context.leader_id:
            attributes["askd.leader"] = context.leader_id
        if self._record_questions and context.question_text:
            attributes["askd.question"] = context.question_text
        return attributes

    def _add_stage_spans(self, context: RequestContext, open_span: OpenSpan, end_time_ns: int, error_type: str) -> None:
        """Add spans for the queue and the answerer, if the request reached the answerer.

        A call that has not ended, because it goes on for other requests or is being cancelled, ends with the request.
        """
        stages = context.stages
        if stages.queue is None:
            return
        parent = set_span_in_context(open_span.span, _EMPTY_CONTEXT)
        call_time_ns = open_span.start_time_ns + int(stages.queue * 1e9)
        self._tracer.start_span("queue", parent, start_time=open_span.start_time_ns).end(call_time_ns)
        span = self._tracer.start_span("answerer", parent, start_time=call_time_ns)
        if error_type:
            span.set_attribute(error_attributes.ERROR_TYPE, error_type)
        if error_type not in {"", "cancelled"}:
            span.set_status(StatusCode.ERROR)
        span.end(end_time_ns if stages.answerer is None else call_time_ns + int(stages.answerer * 1e9))


def _error_type(context: RequestContext) -> str:
    if context.status >= 500:
        return context.error_type or str(context.status)
    return "cancelled" if context.status == CLIENT_CLOSED_REQUEST else ""


def _set_server_address(attributes: dict[str, str | int], host: str) -> None:
    """Add address and port of the `Host` header."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():  # no port, or an IPv6 address without one
        name, port = host, ""
    attributes[server_attributes.SERVER_ADDRESS] = name.strip("[]")
    if port:
        attributes[server_attributes.SERVER_PORT] = int(port)
