"""The SDK's own parts, as its variables say: who this is, what is sampled, and where spans go in batches.

A batch is sent by a thread of the SDK's; its queue is bounded, and what finds it full is dropped.
"""

import socket
import sys
from collections.abc import Iterable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.semconv.attributes import service_attributes

from service import __version__
from service.telemetry.otel.ids import Ids


def exporter(name: str) -> SpanExporter:
    """Return the exporter of this name, `otlp` or `console`. Raises ValueError and others for faulty variables."""
    if name == "console":
        return ConsoleSpanExporter(out=sys.stdout)
    return OTLPSpanExporter()


def provider(exporters: Iterable[SpanExporter]) -> TracerProvider:
    """Return a provider that sends spans to these. Raises ValueError for faulty variables."""
    # The drain closes it, in its time; at the interpreter's exit it might wait for longer.
    made = TracerProvider(resource=resource(), id_generator=Ids(), shutdown_on_exit=False)
    for each in exporters:
        made.add_span_processor(BatchSpanProcessor(each))
    return made


def resource() -> Resource:
    """Return who sends: what the variables say goes before what askd says of itself."""
    own = {
        service_attributes.SERVICE_VERSION: __version__,
        service_attributes.SERVICE_INSTANCE_ID: socket.gethostname(),
    }
    found = Resource(own).merge(Resource.create())
    if str(found.attributes[service_attributes.SERVICE_NAME]).startswith("unknown_service"):
        found = found.merge(Resource({service_attributes.SERVICE_NAME: "askd"}))
    return found
