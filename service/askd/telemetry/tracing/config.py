"""Tracing: whether OpenTelemetry's own variables ask for it, and what observes exchanges then.

OpenTelemetry is imported only where they do: it costs time at the start. What is wrong with them never ends the start,
for a platform sets them for everything that runs on it, whether askd can do as they say or not: it is one warning, and
nothing is traced.
"""

import os
from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog

from service.settings import Settings
from service.telemetry.exchange import Exchange

DISABLED: Final = "OTEL_SDK_DISABLED"
EXPORTER: Final = "OTEL_TRACES_EXPORTER"
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTERS: Final = ("otlp", "console")
PROTOCOL: Final = "http/protobuf"

_log = structlog.get_logger("askd.tracing")


Sampled = Any
"""What was decided of an exchange that is traced: the tracing's own, passed from `decide` to `begin`."""


class Tracing(Protocol):
    """Makes a trace of exchanges. Nothing of it raises, or waits for anybody."""

    def decide(self, method: str, headers: Mapping[str, str]) -> Sampled | None:
        """Decide whether an exchange is traced, before there is a record of it; None: it is not."""
        ...

    def begin(self, exchange: Exchange, headers: Mapping[str, str], target: str, sampled: Sampled | None) -> None:
        """Begin the trace that was decided on, and note its ids on the exchange. `target` is path and query as sent."""
        ...

    def end(self, exchange: Exchange, seconds: float) -> None:
        """Finish the trace of an exchange that has one, and that took so long."""
        ...

    def whole(
        self, exchange: Exchange, headers: Mapping[str, str], target: str, sampled: Sampled, seconds: float
    ) -> None:
        """Do at once what `begin` and `end` do, for an exchange that is over and in which no code ran."""
        ...

    def close(self) -> None:
        """Send what is left; this one blocks, for as long as whoever receives it takes."""
        ...


class Unusable(Exception):
    """What the variables ask for cannot be done; the text says why, and what to do."""


def wanted(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the exporters that traces go to; none: nothing is traced. Raises Unusable.

    An empty variable counts as unset, as OpenTelemetry's specification has it.
    """
    if _word(environ, DISABLED) == "true":
        return ()
    names = [name.strip() for name in _word(environ, EXPORTER).split(",") if name.strip() not in {"", "none"}]
    if not _word(environ, EXPORTER) and any(_word(environ, name) for name in ENDPOINTS):
        names = ["otlp"]
    for name in names:
        if name not in EXPORTERS:
            raise Unusable(f"{EXPORTER} names {name!r}: give {' or '.join(EXPORTERS)}, or none")
    protocol = next(filter(None, (_word(environ, name) for name in PROTOCOLS)), PROTOCOL)
    if "otlp" in names and protocol != PROTOCOL:
        raise Unusable(f"{PROTOCOLS[1]} is {protocol!r}: give {PROTOCOL}, and the port for that, mostly 4318")
    return tuple(dict.fromkeys(names))


def begun(settings: Settings) -> Tracing | None:
    """Return the tracing that this process's environment asks for; None: nothing is traced. Does not raise."""
    try:
        exporters = wanted(os.environ)
        return _made(exporters, settings) if exporters else None
    except Unusable as fault:
        _log.warning("nothing is traced", reason=str(fault))
        return None


def described(environ: Mapping[str, str]) -> str:
    """Say for people where traces go; empty: nothing is traced."""
    try:
        exporters = wanted(environ)
        _look_for_package(exporters)
    except Unusable as fault:
        return f"none, {fault}"
    places = {"console": "standard output", "otlp": _word(environ, ENDPOINTS[0]) or _word(environ, ENDPOINTS[1])}
    sampler = _word(environ, "OTEL_TRACES_SAMPLER") or "parentbased_always_on"
    sampler = f"{sampler} {_word(environ, 'OTEL_TRACES_SAMPLER_ARG')}".strip()
    named = " and ".join(places[each] or "http://localhost:4318" for each in exporters)
    return f"sent to {named}, sampled by {sampler}" if exporters else ""


def _made(exporters: tuple[str, ...], settings: Settings) -> Tracing:
    _look_for_package(exporters)
    from service.telemetry.otel import installed  # noqa: PLC0415 - an extra: imported only where it is configured

    try:
        return installed(exporters, settings)
    except Exception as error:
        raise Unusable(f"OpenTelemetry does not take its variables: {error}") from error


def _look_for_package(exporters: tuple[str, ...]) -> None:
    """Raise Unusable where traces are wanted and the extra is not installed."""
    if not exporters:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http  # noqa: PLC0415 - as above
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - as above
    except ImportError:
        raise Unusable("OTEL_ variables ask for traces, which need a package: pip install 'askd[otel]'") from None


def _word(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name, "").strip()
    return text if name in ENDPOINTS else text.lower()
