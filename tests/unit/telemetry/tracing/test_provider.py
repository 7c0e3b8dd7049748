"""Set-up of the SDK: resource, sampler, ids and log lines."""

import logging

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    TraceIdRatioBased,
)

from askd import __version__
from askd.telemetry.log_throttle import OTEL_LOG_INTERVAL, OtelLogHandler
from askd.telemetry.tracing import provider
from askd.telemetry.tracing.server_spans import OtelRequestTracer, PresetTraceIdGenerator, root_sampling_bound
from tests.support.fakes import Clock
from tests.support.log_capture import LogCapture


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "askd"),
        ({"OTEL_SERVICE_NAME": "answers"}, "answers"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=answers,service.instance.id=mine"}, "answers"),
    ],
)
def test_resource(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], name: str) -> None:
    """The variables set name and instance of the service; the defaults are askd and the host name."""
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, text in environ.items():
        monkeypatch.setenv(variable, text)
    attributes = provider.create_resource().attributes
    assert (attributes["service.name"], attributes["service.version"]) == (name, __version__)
    assert (attributes["service.instance.id"] == "mine") is ("instance" in str(environ))


def test_sampler_is_configurable(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_TRACES_SAMPLER and its argument set the sampler."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    sampler = provider.create_provider([]).sampler
    assert isinstance(sampler, TraceIdRatioBased)
    assert sampler.rate == 0.25


def test_preset_id_is_used_once() -> None:
    """The next trace has the preset id, the one after it a random id."""
    generator = PresetTraceIdGenerator()
    generator.preset_trace_id(7)
    assert (generator.generate_trace_id(), generator.generate_trace_id() > 7) == (7, True)


def test_other_id_generators_are_rejected() -> None:
    """A provider with another id generator would give traces other ids than those sampled."""
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    with pytest.raises(TypeError, match="PresetTraceIdGenerator"):
        OtelRequestTracer(provider, scheme="http", prefix="", record_questions=False)


def test_otel_warnings_are_throttled() -> None:
    """Export failures are one line per minute with the number suppressed; other loggers have their own line."""
    clock = Clock()
    handler = OtelLogHandler(clock)

    def log_error(name: str, text: str) -> None:
        handler.handle(logging.LogRecord(name, logging.ERROR, "x.py", 1, "%s", (text,), None))

    with LogCapture() as log:
        for number in range(5):
            log_error("opentelemetry.exporter.otlp", f"refused {number}")
            log_error("opentelemetry.sdk._shared_internal", "Queue full")
        log_error("opentelemetry.trace", "malformed")
        clock.advance(OTEL_LOG_INTERVAL)
        log_error("opentelemetry.sdk.trace", "again")
        lines = [(line["event"], line["error"], line["suppressed"]) for line in log.lines()]
    assert lines == [
        ("trace_export_failed", "refused 0", 0),
        ("opentelemetry_warning", "malformed", 0),
        ("trace_export_failed", "again", 9),
    ]


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_bound_agrees_with_the_sampler(ratio: float) -> None:
    """Ids below the bound are exactly those that the SDK's sampler samples; the bound of other samplers is None."""
    root = TraceIdRatioBased(ratio)
    for sampler in (root, ParentBased(root), ParentBasedTraceIdRatio(ratio)):
        bound = root_sampling_bound(sampler)
        assert bound is not None
        edges = (1, bound - 1, bound, bound + 1, TraceIdRatioBased.TRACE_ID_LIMIT)
        for low_bits in (edge for edge in edges if 0 <= edge <= TraceIdRatioBased.TRACE_ID_LIMIT):
            trace_id = (7 << 64) | low_bits
            is_sampled = sampler.should_sample(Context(), trace_id, "x").decision is Decision.RECORD_AND_SAMPLE
            assert (low_bits < bound) is is_sampled
    assert [root_sampling_bound(sampler) for sampler in (ALWAYS_ON, DEFAULT_ON)] == [None, None]
