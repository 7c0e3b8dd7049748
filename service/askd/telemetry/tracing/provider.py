"""Set-up of OpenTelemetry's SDK from its environment variables: provider, resource and exporters.

Spans are sent in batches by a thread of the SDK. Its queue is bounded; spans beyond are dropped.
"""

import socket
import sys
from collections.abc import Iterable, Mapping

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.semconv.attributes import service_attributes

from askd import __version__
from askd.config import Settings
from askd.telemetry import log_throttle
from askd.telemetry.tracing.client_spans import PROPAGATOR
from askd.telemetry.tracing.server_spans import OtelRequestTracer, PresetTraceIdGenerator


def create_exporter(name: str) -> SpanExporter:
    """Return the exporter `otlp` or `console`. Raises ValueError and others if a variable is invalid."""
    if name == "console":
        return ConsoleSpanExporter(out=sys.stdout)
    return OTLPSpanExporter()


def create_provider(exporters: Iterable[SpanExporter]) -> TracerProvider:
    """Return a provider that sends spans to the exporters. Raises ValueError if a variable is invalid."""
    # Graceful shutdown closes the provider, with a timeout; an exit handler of the SDK could wait for longer.
    provider = TracerProvider(resource=create_resource(), id_generator=PresetTraceIdGenerator(), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def create_resource() -> Resource:
    """Return the resource of this process. OpenTelemetry's variables take precedence over the defaults here."""
    defaults = {
        service_attributes.SERVICE_VERSION: __version__,
        service_attributes.SERVICE_INSTANCE_ID: socket.gethostname(),
    }
    resource = Resource(defaults).merge(Resource.create())
    if str(resource.attributes[service_attributes.SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({service_attributes.SERVICE_NAME: "askd"}))
    return resource


def install_request_tracer(exporters: tuple[str, ...], settings: Settings) -> OtelRequestTracer:
    """Return a request tracer, and install its provider globally, so that spans of user code join the traces.

    Raises any exception of the SDK if a variable is invalid.
    """
    log_throttle.throttle_otel_logs()
    provider = create_provider([create_exporter(name) for name in exporters])
    trace.set_tracer_provider(provider)
    scheme = "http" if settings.tls_cert is None else "https"
    return OtelRequestTracer(provider, scheme=scheme, prefix=settings.prefix, record_questions=settings.log_questions)


class OtelWorkerTracing:
    """Traces the spans of the code in a worker process, below the span of the server."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def attach(self, headers: Mapping[str, str]) -> None:
        """Make the span in these headers the parent of the spans of the current task."""
        attach(PROPAGATOR.extract(headers, Context()))

    def close(self) -> None:
        """Send pending spans."""
        self._provider.shutdown()


def install_worker_tracing(exporters: tuple[str, ...]) -> OtelWorkerTracing:
    """Install a provider globally, so that spans of the code join the traces. Raises any exception of the SDK."""
    log_throttle.throttle_otel_logs()
    provider = create_provider([create_exporter(name) for name in exporters])
    trace.set_tracer_provider(provider)
    return OtelWorkerTracing(provider)
