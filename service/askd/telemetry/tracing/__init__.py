"""Tracing with OpenTelemetry; its SDK is imported only if its environment variables configure it."""

import os
from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog

from askd.config import Settings
from askd.context import RequestContext

DISABLED_VARIABLE: Final = "OTEL_SDK_DISABLED"
EXPORTER_VARIABLE: Final = "OTEL_TRACES_EXPORTER"
ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOL_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SUPPORTED_EXPORTERS: Final = ("otlp", "console")
SUPPORTED_PROTOCOL: Final = "http/protobuf"
_DEFAULT_ENDPOINT: Final = "http://localhost:4318"

_log = structlog.get_logger("askd.tracing")

SamplingDecision = Any
"""The tracer's decision for a traced request, passed from `sample` to `start` or `record_finished`."""


class RequestTracer(Protocol):
    """Traces requests. No method but `close` blocks, and none raises."""

    def sample(self, method: str, headers: Mapping[str, str]) -> SamplingDecision | None:
        """Decide whether a request is traced, before its context exists; None means that it is not."""
        ...

    def start(
        self, context: RequestContext, headers: Mapping[str, str], target: str, sampled: SamplingDecision | None
    ) -> None:
        """Start the trace of the current request and store its ids in the context. `target`: raw path and query."""
        ...

    def finish(self, context: RequestContext, seconds: float) -> None:
        """Finish the trace of a sampled request that took `seconds`."""
        ...

    def record_finished(
        self,
        context: RequestContext,
        headers: Mapping[str, str],
        target: str,
        sampled: SamplingDecision,
        seconds: float,
    ) -> None:
        """Start and finish at once the trace of a request that has ended and ran no user code."""
        ...

    def close(self) -> None:
        """Send pending spans. Blocks until the receiver has taken them."""
        ...


class WorkerTracing(Protocol):
    """Traces what the code does in a worker process."""

    def attach(self, headers: Mapping[str, str]) -> None:
        """Make the span in these headers the parent of the spans of the current task."""
        ...

    def close(self) -> None:
        """Send pending spans. Blocks until the receiver has taken them."""
        ...


class TracingConfigError(Exception):
    """The variables ask for something that askd cannot do; the message says what and how to fix it."""


def configured_exporters(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the exporters that the variables ask for; empty if tracing is disabled. Raises TracingConfigError.

    An empty variable counts as unset (OpenTelemetry specification, environment variables).
    """
    if _read_variable(environ, DISABLED_VARIABLE) == "true":
        return ()
    exporter_list = _read_variable(environ, EXPORTER_VARIABLE)
    names = [name.strip() for name in exporter_list.split(",") if name.strip() not in {"", "none"}]
    if not exporter_list and any(_read_variable(environ, name) for name in ENDPOINT_VARIABLES):
        names = ["otlp"]
    for name in names:
        if name not in SUPPORTED_EXPORTERS:
            raise TracingConfigError(
                f"{EXPORTER_VARIABLE}: unknown exporter {name!r}: expected {', '.join(SUPPORTED_EXPORTERS)} or none"
            )
    protocol = next(filter(None, (_read_variable(environ, name) for name in PROTOCOL_VARIABLES)), SUPPORTED_PROTOCOL)
    if "otlp" in names and protocol != SUPPORTED_PROTOCOL:
        raise TracingConfigError(
            f"{PROTOCOL_VARIABLES[1]}: unsupported protocol {protocol!r}: use {SUPPORTED_PROTOCOL}, and its port, "
            "usually 4318"
        )
    return tuple(dict.fromkeys(names))


def create_request_tracer(settings: Settings) -> RequestTracer | None:
    """Return the tracer that this process's environment asks for, None if tracing is disabled. Does not raise."""
    try:
        exporters = configured_exporters(os.environ)
        return _build_request_tracer(exporters, settings) if exporters else None
    except TracingConfigError as error:
        _log.warning("tracing_disabled", error=str(error))
        return None


def create_worker_tracing() -> WorkerTracing | None:
    """Return the tracing of a worker process, None if tracing is disabled. The server logs errors of the variables."""
    try:
        exporters = configured_exporters(os.environ)
        _require_otel_packages(exporters)
    except TracingConfigError:
        return None
    if not exporters:
        return None
    from askd.telemetry.tracing.provider import install_worker_tracing  # noqa: PLC0415 - an extra: imported only if it is configured

    try:
        return install_worker_tracing(exporters)
    except Exception:
        return None


def describe_tracing(environ: Mapping[str, str]) -> str:
    """Describe for people where traces are sent; empty if tracing is disabled."""
    try:
        exporters = configured_exporters(environ)
        _require_otel_packages(exporters)
    except TracingConfigError as error:
        return f"disabled: {error}"
    endpoint = next(filter(None, (_read_variable(environ, name) for name in ENDPOINT_VARIABLES)), _DEFAULT_ENDPOINT)
    destinations = {"console": "standard output", "otlp": endpoint}
    sampler = _read_variable(environ, "OTEL_TRACES_SAMPLER") or "parentbased_always_on"
    sampler = f"{sampler} {_read_variable(environ, 'OTEL_TRACES_SAMPLER_ARG')}".strip()
    sent_to = " and ".join(destinations[name] for name in exporters)
    return f"sent to {sent_to}, sampled by {sampler}" if exporters else ""


def _build_request_tracer(exporters: tuple[str, ...], settings: Settings) -> RequestTracer:
    _require_otel_packages(exporters)
    from askd.telemetry.tracing.provider import install_request_tracer  # noqa: PLC0415 - an extra: imported only if it is configured

    try:
        return install_request_tracer(exporters, settings)
    except Exception as error:
        raise TracingConfigError(f"OpenTelemetry rejects its environment variables: {error}") from error


def _require_otel_packages(exporters: tuple[str, ...]) -> None:
    """Raise TracingConfigError if tracing is configured and the extra is not installed."""
    if not exporters:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http  # noqa: PLC0415 - as above
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - as above
    except ImportError:
        raise TracingConfigError('OpenTelemetry is configured but not installed: pip install "askd[otel]"') from None


def _read_variable(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name, "").strip()
    return text if name in ENDPOINT_VARIABLES else text.lower()
