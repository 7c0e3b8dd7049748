"""Tracing configuration: OpenTelemetry's variables enable tracing, and never prevent the start."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from askd.cli.check_report import build_report
from askd.config import Settings
from askd.telemetry import tracing
from tests.support.log_capture import LogCapture

URL = "http://collector:4318"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Unset all variables that enable or configure tracing."""
    for name in (
        tracing.DISABLED_VARIABLE,
        tracing.EXPORTER_VARIABLE,
        *tracing.ENDPOINT_VARIABLES,
        *tracing.PROTOCOL_VARIABLES,
        "OTEL_TRACES_SAMPLER",
    ):
        monkeypatch.delenv(name, raising=False)
    return iter([monkeypatch])


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "mine", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": URL}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": URL}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": " Console , otlp,console"}, ("console", "otlp")),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": URL}, ()),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": URL}, ()),
        ({"OTEL_SDK_DISABLED": "false", "OTEL_EXPORTER_OTLP_ENDPOINT": URL}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": URL}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("console",)),
    ],
)
def test_configured_exporters(environ: dict[str, str], expected: tuple[str, ...]) -> None:
    """An endpoint or an exporter enables tracing; `none` and OTEL_SDK_DISABLED disable it."""
    assert tracing.configured_exporters(environ) == expected


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            "OTEL_TRACES_EXPORTER: unknown exporter 'zipkin': expected otlp, console or none",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: unsupported protocol 'grpc': use http/protobuf, and its port, usually 4318",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
            "OpenTelemetry rejects its environment variables: max_queue_size must be a positive integer.",
        ),
    ],
)
def test_invalid_variables_disable_tracing(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], error: str
) -> None:
    """Invalid variables disable tracing with one warning that has the reason and the fix."""
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    with LogCapture() as log:
        assert tracing.create_request_tracer(Settings()) is None
        (line,) = log.lines()
    assert (line["level"], line["event"], line["error"]) == ("warning", "tracing_disabled", error)


def test_missing_package_disables_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, tracing is disabled; the log and `askd check` show how to install it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with LogCapture() as log:
        assert tracing.create_request_tracer(Settings()) is None
        assert 'pip install "askd[otel]"' in log.lines("tracing_disabled")[0]["error"]
    assert 'pip install "askd[otel]"' in next(line for line in build_report(Settings())[0] if line.startswith("traces"))


def test_package_is_imported_only_if_configured() -> None:
    """Without tracing, the server does not import the package."""
    code = (
        "import sys; import askd.process.server; from askd.config import Settings;"
        "from askd.telemetry import tracing;"
        "assert tracing.create_request_tracer(Settings()) is None; askd.process.server.create_app(Settings());"
        "sys.exit(any(name.partition('.')[0] in {'opentelemetry', 'requests', 'google'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_check_shows_the_destination_of_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """`askd check` shows endpoint and sampler, and nothing if tracing is disabled."""
    assert not [line for line in build_report(Settings())[0] if line.startswith("traces")]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.01")
    (line,) = [line for line in build_report(Settings())[0] if line.startswith("traces")]
    assert line.split(maxsplit=1)[1] == f"sent to {URL}, sampled by parentbased_traceidratio 0.01"
