"""Whether anything is traced: OpenTelemetry's own variables say so, and never end the start."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.check import report
from service.settings import Settings
from service.telemetry import tracing
from tests.telemetry.captured import Captured

URL = "http://collector:4318"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Give a way to set variables, where none is set that OpenTelemetry reads."""
    for name in (tracing.DISABLED, tracing.EXPORTER, *tracing.ENDPOINTS, *tracing.PROTOCOLS, "OTEL_TRACES_SAMPLER"):
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
def test_where_traces_go(environ: dict[str, str], expected: tuple[str, ...]) -> None:
    """An endpoint or an exporter turns tracing on; `none` and the switch for the whole SDK turn it off."""
    assert tracing.wanted(environ) == expected


@pytest.mark.parametrize(
    ("environ", "mend"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER names 'zipkin': give otlp or console, or none"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': give http/protobuf, and the port for that, mostly 4318",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
            "OpenTelemetry does not take its variables: max_queue_size must be a positive integer.",
        ),
    ],
)
def test_what_cannot_be_done_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], mend: str
) -> None:
    """Variables that ask for what askd cannot do cost the traces, and not the start; the line has the mend."""
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    with Captured() as log:
        assert tracing.begun(Settings()) is None
        (line,) = log.lines()
    assert (line["level"], line["event"], line["reason"]) == ("warning", "nothing is traced", mend)


def test_the_package_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the start goes on, with one line that says how to install it; so does the check."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with Captured() as log:
        assert tracing.begun(Settings()) is None
        assert "pip install 'askd[otel]'" in log.lines("nothing is traced")[0]["reason"]
    assert "pip install 'askd[otel]'" in next(line for line in report(Settings()) if line.startswith("traces"))


def test_the_package_is_imported_only_where_it_is_configured() -> None:
    """A server that traces nothing neither needs the package nor waits for its import."""
    code = (
        "import sys; import service.server; from service.settings import Settings;"
        "from service.telemetry import tracing;"
        "assert tracing.begun(Settings()) is None; service.server.create_app(Settings());"
        "sys.exit(any(name.partition('.')[0] in {'opentelemetry', 'requests', 'google'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_check_says_where_traces_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """`askd check` has a line with place and sampler, and none where nothing is traced."""
    assert not [line for line in report(Settings()) if line.startswith("traces")]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.01")
    (line,) = [line for line in report(Settings()) if line.startswith("traces")]
    assert line.split(maxsplit=1)[1] == f"sent to {URL}, sampled by parentbased_traceidratio 0.01"
