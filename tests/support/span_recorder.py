"""An app whose exchanges are traced by the real SDK, with what it sends kept in memory."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBased, Sampler, TraceIdRatioBased

from service.telemetry.otel import Traces
from service.telemetry.otel.ids import Ids

NONE = ParentBased(TraceIdRatioBased(0.0))


class Kept:
    """Tracing, and the spans that it has ended; `prefix` and `questions` are what the settings say."""

    def __init__(self, sampler: Sampler = DEFAULT_ON, *, prefix: str = "", questions: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, id_generator=Ids(), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Traces(self.provider, scheme="http", prefix=prefix, questions=questions)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in their order."""
        return list(self._exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """Return the only span of this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


def told(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes."""
    assert span.attributes is not None
    return span.attributes


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return its trace id and span id, in hex."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def below(span: ReadableSpan) -> str:
    """Return the id of the span that it is below, in hex; empty: none."""
    return f"{span.parent.span_id:016x}" if span.parent else ""
