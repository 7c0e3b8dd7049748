"""Traces by OpenTelemetry's SDK; the one place that imports it, and imported only where its variables ask for it.

sdk        provider, resource, exporters: from the variables
spans      an exchange becomes spans
legs       a question that is passed on becomes a span, and is told the trace
ids        sampling is decided before there is a span
said       what the SDK logs, once a minute
"""

from opentelemetry import trace

from service.settings import Settings
from service.telemetry.otel import said, sdk
from service.telemetry.otel.spans import Traces

__all__ = ["Traces", "installed"]


def installed(exporters: tuple[str, ...], settings: Settings) -> Traces:
    """Return what traces exchanges, and make its provider the process's: the code's own spans join. Raises any."""
    said.quieten()
    provider = sdk.provider([sdk.exporter(name) for name in exporters])
    trace.set_tracer_provider(provider)
    scheme = "http" if settings.tls_cert is None else "https"
    return Traces(provider, scheme=scheme, prefix=settings.prefix, questions=settings.log_questions)
