"""Output of `askd explain`: JSON, or text in 79 columns with a timeline of one request or statistics of several."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from askd.client.errors import RequestFailed
from askd.client.request_measurement import NETWORK_STEP, RequestMeasurement, TimedStep
from askd.client.terminal_text import truncate

LINE_WIDTH: Final = 79
PERCENTILES: Final = (50, 90, 99, 100)
FULL_BLOCK: Final = "█"
SHADED_BLOCK: Final = "▒"
"""Bar of the network and the server's stages, which are parts of `waiting`."""
_NAME_WIDTH: Final = 13
_TIMELINE_BAR_WIDTH: Final = 34
_TIME_WIDTH: Final = 11
_NOTE_WIDTH: Final = LINE_WIDTH - _NAME_WIDTH - _TIMELINE_BAR_WIDTH - _TIME_WIDTH - 2
_SUMMARY_NAME_WIDTH: Final = 13
_REPLICA_NAME_WIDTH: Final = 36
_REPLICA_BAR_WIDTH: Final = 30
_MAX_REPLICA_LINES: Final = 20


def render(question: str, measurements: Sequence[RequestMeasurement], failures: Sequence[RequestFailed]) -> list[str]:
    """Return the report for the terminal. `failures` are those of requests without a response."""
    if len(measurements) == 1 and not failures:
        return [*render_timeline(question, measurements[0])]
    return [*render_summary(question, measurements, failures)] if measurements else []


def to_json(measurements: Sequence[RequestMeasurement], failures: Sequence[RequestFailed]) -> str:
    """Return the report as JSON: one measurement, a failure, or a summary with all measurements."""
    report: Any = build_summary(measurements, failures)
    if not measurements:
        report = failures[0].to_dict()
    elif len(measurements) == 1 and not failures:
        report = measurements[0]
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def render_timeline(question: str, measurement: RequestMeasurement) -> Iterator[str]:
    """Yield the lines for one request: question and answer, the timeline, and details."""
    answer = f"{measurement.status}" if measurement.answer is None else measurement.answer
    yield truncate(f"{question} → {answer}", LINE_WIDTH)
    yield ""
    for step in measurement.steps:
        yield render_step(step, measurement)
    yield f"{'total':<{_NAME_WIDTH}}{'':<{_TIMELINE_BAR_WIDTH}}{format_seconds(measurement.seconds):>{_TIME_WIDTH}}"
    yield ""
    yield from render_details(measurement)


def render_details(measurement: RequestMeasurement) -> Iterator[str]:
    """Yield server, response, cache status and request id, a line each."""
    addresses = ", ".join(measurement.addresses)
    details = {
        "url": measurement.url,
        "addresses": addresses if len(measurement.addresses) > 1 else "",
        "server": " at ".join(filter(None, (measurement.served_by, measurement.address))),
        "response": f"status {measurement.status}, {measurement.protocol}",
        "cache": measurement.cache,
        "request id": measurement.id,
    }
    for label, text in details.items():
        if text:
            yield f"{label:<{_NAME_WIDTH}} {truncate(text, LINE_WIDTH - _NAME_WIDTH - 1)}"


def render_step(step: TimedStep, measurement: RequestMeasurement) -> str:
    """Return the line of a step: name, bar, duration and a note."""
    nested = step.server or step.name == NETWORK_STEP
    bar = render_bar(step.began, step.seconds, measurement.seconds, SHADED_BLOCK if nested else FULL_BLOCK)
    name = _indent_name(step.name, _NAME_WIDTH, nested=nested)
    note = truncate(_step_note(step, measurement), _NOTE_WIDTH)
    return f"{name}{bar:<{_TIMELINE_BAR_WIDTH}}{format_seconds(step.seconds):>{_TIME_WIDTH}}  {note}".rstrip()


def _indent_name(name: str, width: int, *, nested: bool) -> str:
    return f"{'  ' + truncate(name, width - 3) if nested else truncate(name, width):<{width}}"


def render_bar(began: float, length: float, total: float, symbol: str) -> str:
    """Return a bar to scale, at least one symbol long so that short steps are visible."""
    scale = _TIMELINE_BAR_WIDTH / total if total > 0 else 0.0
    start = min(int(began * scale), _TIMELINE_BAR_WIDTH - 1)
    return " " * start + symbol * max(min(round(length * scale), _TIMELINE_BAR_WIDTH - start), 1)


def format_seconds(value: float) -> str:
    """Return a duration in µs, ms or s."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.3f} s"


def _step_note(step: TimedStep, measurement: RequestMeasurement) -> str:
    match step.name:
        case "name":
            count = len(measurement.addresses)
            return f"{count} address" + ("es" if count != 1 else "")
        case "connect":
            return measurement.address
        case "TLS":
            return measurement.protocol.partition(" over ")[2]
        case "request":
            return f"{measurement.sent:,} bytes"
        case "answer":
            return f"{measurement.received:,} bytes"
    return ""


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the percentile of at least one value by the nearest-rank method."""
    ranked = sorted(values)
    return ranked[max(-(-len(ranked) * percent // 100), 1) - 1]


def durations_by_step(measurements: Iterable[RequestMeasurement]) -> dict[str, list[float]]:
    """Return the durations of each step in seconds, in the order of a request, `total` last."""
    measurements = list(measurements)
    longest = max(measurements, key=lambda measurement: len(measurement.steps))
    names = dict.fromkeys([step.name for step in longest.steps])
    names |= dict.fromkeys(step.name for measurement in measurements for step in measurement.steps)
    durations: dict[str, list[float]] = {name: [] for name in names}
    for measurement in measurements:
        for step in measurement.steps:
            durations[step.name].append(step.seconds)
    return {**durations, "total": [measurement.seconds for measurement in measurements]}


def count_by_replica(measurements: Iterable[RequestMeasurement]) -> Counter[str]:
    """Return the number of responses by replica, or by address if the replica does not send its name."""
    return Counter(measurement.served_by or measurement.address for measurement in measurements)


def count_by_outcome(measurements: Iterable[RequestMeasurement], failures: Iterable[RequestFailed]) -> Counter[str]:
    """Return the number of responses by status, and of requests without a response by the step that failed."""
    return Counter(str(measurement.status) for measurement in measurements) + Counter(
        f"none ({failure.step})" for failure in failures
    )


def build_summary(measurements: Sequence[RequestMeasurement], failures: Sequence[RequestFailed]) -> dict[str, Any]:
    """Return the summary for `--json`; durations are seconds."""
    durations = durations_by_step(measurements) if measurements else {}
    return {
        "asked": len(measurements) + len(failures),
        "statuses": dict(count_by_outcome(measurements, failures)),
        "replicas": dict(count_by_replica(measurements).most_common()),
        "steps": {
            name: {f"p{percent}": percentile(values, percent) for percent in PERCENTILES}
            for name, values in durations.items()
        },
        "requests": measurements,
    }


def render_summary(
    question: str, measurements: Sequence[RequestMeasurement], failures: Sequence[RequestFailed]
) -> Iterator[str]:
    """Yield the lines for several requests: outcomes, percentiles of each step, and responses by replica."""
    count = len(measurements) + len(failures)
    outcomes = count_by_outcome(measurements, failures).most_common()
    listed = ", ".join(f"{number:,} × {outcome}" for outcome, number in outcomes)
    yield truncate(f"{question} → {count:,} requests: {listed}", LINE_WIDTH)
    steps = [step for measurement in measurements for step in measurement.steps]
    nested = {step.name for step in steps if step.server} | {NETWORK_STEP}
    yield ""
    yield f"{'':<{_SUMMARY_NAME_WIDTH}}{'p50':>12}{'p90':>12}{'p99':>12}{'max':>12}"
    for name, values in durations_by_step(measurements).items():
        times = "".join(f"{format_seconds(percentile(values, percent)):>12}" for percent in PERCENTILES)
        yield _indent_name(name, _SUMMARY_NAME_WIDTH, nested=name in nested) + times
    yield ""
    yield from _render_replicas(count_by_replica(measurements))


def _render_replicas(counts: Counter[str]) -> Iterator[str]:
    largest = max(counts.values())
    yield "responses by server"
    for name, count in counts.most_common(_MAX_REPLICA_LINES):
        bar = FULL_BLOCK * max(round(count / largest * _REPLICA_BAR_WIDTH), 1)
        yield f"  {truncate(name, _REPLICA_NAME_WIDTH):<{_REPLICA_NAME_WIDTH}}{count:>8,}  {bar}"
    if len(counts) > _MAX_REPLICA_LINES:
        yield f"  … and {len(counts) - _MAX_REPLICA_LINES:,} more"
