"""Steps, bars, percentiles and summaries of measured requests."""

from askd.client.errors import RequestFailed
from askd.client.report import (
    LINE_WIDTH,
    build_summary,
    count_by_outcome,
    count_by_replica,
    format_seconds,
    percentile,
    render_bar,
    render_summary,
    render_timeline,
)
from askd.client.request_measurement import RequestMeasurement, TimedStep, build_steps, parse_server_timing


def create_measurement(served_by: str = "a", seconds: float = 0.1) -> RequestMeasurement:
    """Return a request that spent half of its time in the answerer."""
    server_timing = {"answerer": seconds / 2, "total": seconds * 0.6}
    steps = build_steps({"connect": (0.0, seconds * 0.1), "waiting": (seconds * 0.1, seconds * 0.9)}, server_timing)
    return RequestMeasurement(
        url="http://localhost:2024/ask?q=hello",
        status=200,
        answer="Hi",
        protocol="HTTP/1.1 over TLS 1.3",
        address="127.0.0.1:2024",
        addresses=["127.0.0.1", "::1"],
        served_by=served_by,
        id="x" * 128,
        seconds=seconds,
        sent=100,
        received=200,
        steps=steps,
        server_timing=server_timing,
    )


def test_server_timing_is_parsed_to_seconds() -> None:
    """Metrics with a duration are used; descriptions and malformed parts are ignored."""
    assert parse_server_timing("queue;dur=2.5, total;dur=4, cdn;desc=x, a;dur=-1, ;dur=1") == {
        "queue": 0.0025,
        "total": 0.004,
    }


def test_waiting_is_split_into_network_and_server_stages() -> None:
    """Waiting time outside the server's total is the network's, and the total minus its stages is the rest."""
    steps = build_steps({"waiting": (1.0, 2.0)}, {"queue": 0.1, "answerer": 0.5, "total": 0.8})
    assert [step.name for step in steps] == ["waiting", "network", "queue", "answerer", "the rest"]
    assert [round(step.seconds, 6) for step in steps] == [1.0, 0.2, 0.1, 0.5, 0.2]
    assert round(steps[2].began, 6) == 1.1
    assert build_steps({"waiting": (1.0, 2.0)}, {}) == [TimedStep("waiting", 1.0, 1.0)]


def test_bars_are_to_scale() -> None:
    """A bar starts where its step started, is at least one symbol long, and fits its column."""
    assert render_bar(0.5, 0.5, 1.0, "#") == " " * 17 + "#" * 17
    assert render_bar(0.0, 0.0, 1.0, "#") == "#"
    assert len(render_bar(1.0, 9.0, 1.0, "#")) == 34


def test_duration_units() -> None:
    """Durations are shown in microseconds, milliseconds or seconds."""
    assert [format_seconds(value) for value in (0.0000123, 0.0123, 12.3)] == ["12 µs", "12.30 ms", "12.300 s"]


def test_timeline_fits_80_columns() -> None:
    """Long questions, ids and names do not make lines longer, and control characters are replaced."""
    lines = list(render_timeline("long " * 50 + "\x1b[31m", create_measurement("pod" * 40)))
    assert max(map(len, lines)) <= LINE_WIDTH
    assert not any("\x1b" in line for line in lines)
    assert any(line.startswith("  answerer") and "50.00 ms" in line for line in lines)


def test_percentiles_are_nearest_ranks() -> None:
    """A percentile is one of the values; the 100th is the largest."""
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 1) == 7.0


def test_summary_counts_replicas_and_outcomes() -> None:
    """Responses are counted by replica, failures by step; the table fits 80 columns."""
    measurements = [create_measurement("a"), create_measurement("b" * 99), create_measurement("a")]
    failures = [RequestFailed(3, "connect", "nothing listens")]
    assert count_by_replica(measurements).most_common(1) == [("a", 2)]
    assert count_by_outcome(measurements, failures) == {"200": 3, "none (connect)": 1}
    lines = list(render_summary("hello", measurements, failures))
    assert max(map(len, lines)) <= LINE_WIDTH
    assert "4 requests: 3 × 200, 1 × none (connect)" in lines[0]


def test_summary_for_json() -> None:
    """The JSON summary contains every measurement."""
    measurements = [create_measurement("a"), create_measurement("b")]
    summary = build_summary(measurements, [])
    assert (summary["asked"], summary["requests"]) == (2, measurements)


def test_failure_for_json() -> None:
    """The JSON of a failure has step, error, hint and status, and the problem only if there is one."""
    failure = RequestFailed(3, "connect", "nothing listens", "start it")
    assert failure.to_dict() == {"step": "connect", "error": "nothing listens", "hint": "start it", "status": None}
    assert failure.message == "connect: nothing listens\n      start it"
    assert RequestFailed(1, "answer", "x", status=404, problem={}).to_dict()["problem"] == {}
