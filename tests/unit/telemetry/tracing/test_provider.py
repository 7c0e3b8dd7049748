"""The SDK's parts, as its variables say, and what it logs."""

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

from service import __version__
from service.telemetry.otel import Traces, sdk
from service.telemetry.otel.ids import Ids, root_bound
from service.telemetry.otel.said import EVERY, Said
from tests.fakes import Clock
from tests.telemetry.captured import Captured


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "askd"),
        ({"OTEL_SERVICE_NAME": "answers"}, "answers"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=answers,service.instance.id=mine"}, "answers"),
    ],
)
def test_who_sends(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], name: str) -> None:
    """The variables name the service and its instance; else it is askd, on this machine."""
    for each in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(each, raising=False)
    for each, text in environ.items():
        monkeypatch.setenv(each, text)
    found = sdk.resource().attributes
    assert (found["service.name"], found["service.version"]) == (name, __version__)
    assert (found["service.instance.id"] == "mine") is ("instance" in str(environ))


def test_the_sampler_is_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_TRACES_SAMPLER and its argument are heeded."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    sampler = sdk.provider([]).sampler
    assert isinstance(sampler, TraceIdRatioBased)
    assert sampler.rate == 0.25


def test_an_id_is_decided_on_once() -> None:
    """The next trace has the id that was decided on, the one after it another."""
    made = Ids()
    made.decided(7)
    assert (made.generate_trace_id(), made.generate_trace_id() > 7) == (7, True)


def test_a_provider_with_ids_of_its_own_is_refused() -> None:
    """Its traces would have other ids than those that were decided on."""
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    with pytest.raises(TypeError, match="Ids"):
        Traces(provider, scheme="http", prefix="", questions=False)


def test_trouble_is_told_once_a_minute() -> None:
    """What is said of sending is one line a minute, which counts those left out; any other trouble has its own."""
    clock = Clock()
    handler = Said(clock)

    def say(name: str, text: str) -> None:
        handler.handle(logging.LogRecord(name, logging.ERROR, "x.py", 1, "%s", (text,), None))

    with Captured() as log:
        for number in range(5):
            say("opentelemetry.exporter.otlp", f"refused {number}")
            say("opentelemetry.sdk._shared_internal", "Queue full")
        say("opentelemetry.trace", "malformed")
        clock.advance(EVERY)
        say("opentelemetry.sdk.trace", "again")
        lines = [(line["event"], line["cause"], line["left_out"]) for line in log.lines()]
    assert lines == [
        ("traces are not sent", "refused 0", 0),
        ("opentelemetry warns", "malformed", 0),
        ("traces are not sent", "again", 9),
    ]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_the_short_cut_decides_as_the_sampler(share: float) -> None:
    """What is below the bound is what the SDK's sampler takes, at its edges too; other samplers have no short cut."""
    alone = TraceIdRatioBased(share)
    for sampler in (alone, ParentBased(alone), ParentBasedTraceIdRatio(share)):
        bound = root_bound(sampler)
        assert bound is not None
        edges = (1, bound - 1, bound, bound + 1, TraceIdRatioBased.TRACE_ID_LIMIT)
        for low in (each for each in edges if 0 <= each <= TraceIdRatioBased.TRACE_ID_LIMIT):
            trace_id = (7 << 64) | low
            taken = sampler.should_sample(Context(), trace_id, "x").decision is Decision.RECORD_AND_SAMPLE
            assert (low < bound) is taken
    assert [root_bound(each) for each in (ALWAYS_ON, DEFAULT_ON)] == [None, None]
