"""Records the spans of an app that is traced by the real SDK."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBased, Sampler, TraceIdRatioBased

from askd.telemetry.tracing.server_spans import OtelRequestTracer, PresetTraceIdGenerator

SAMPLE_NONE = ParentBased(TraceIdRatioBased(0.0))


class SpanRecorder:
    """A tracer that keeps its finished spans in memory."""

    def __init__(self, sampler: Sampler = DEFAULT_ON, *, prefix: str = "", questions: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, id_generator=PresetTraceIdGenerator(), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = OtelRequestTracer(self.provider, scheme="http", prefix=prefix, record_questions=questions)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The finished spans, in the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """Return the only span of this name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span


def span_attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """Return the attributes of a span."""
    assert span.attributes is not None
    return span.attributes


def trace_and_span_id(span: ReadableSpan) -> tuple[str, str]:
    """Return the trace id and the span id in hexadecimal."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent_span_id(span: ReadableSpan) -> str:
    """Return the id of the parent span in hexadecimal; empty for a root span."""
    return f"{span.parent.span_id:016x}" if span.parent else ""
