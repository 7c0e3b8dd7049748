"""Text output of `askd top`, 79 columns wide: a panel for one server, or a table of several."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from askd.client.terminal_text import truncate
from askd.top.metrics_delta import NO_DELTA, MetricsDelta, MetricsSnapshot

SCREEN_WIDTH: Final = 79
HISTORY_LENGTH: Final = 40
"""Number of intervals in a sparkline."""
_TICKS: Final = "▁▂▃▄▅▆▇█"
_NAME_WIDTH: Final = 21
_COLUMN_WIDTHS: Final = (9, 8, 8, 10, 7, 8, 8)
_NO_VALUE: Final = "–"


class ServerStatus(NamedTuple):
    """Status of a server after a scrape: `delta` is None after the first one, `error` is set if it failed."""

    name: str
    snapshot: MetricsSnapshot | None = None
    delta: MetricsDelta | None = None
    error: str = ""


def table_header() -> str:
    """Return the column headings."""
    return _align_columns("server", "req/s", "p50", "p99", "in flight", "queue", "shed/s", "cached")


def render_row(status: ServerStatus) -> str:
    """Return the row of a server."""
    name = truncate(status.name.rpartition("//")[2], _NAME_WIDTH - 1)
    if status.snapshot is None:
        return f"{name:<{_NAME_WIDTH}}" + truncate(status.error, SCREEN_WIDTH - _NAME_WIDTH)
    snapshot, delta = status.snapshot, status.delta or NO_DELTA
    return _align_columns(
        name,
        format_rate(delta.request_rate),
        format_duration(delta.p50),
        format_duration(delta.p99),
        f"{format_count(snapshot.in_flight)}/{format_count(snapshot.concurrency_limit)}",
        format_count(snapshot.queue_length),
        format_rate(delta.shed_rate),
        format_percentage(delta.cache_hit_ratio),
    )


def _align_columns(name: str, *values: str) -> str:
    columns = zip(values, _COLUMN_WIDTHS, strict=True)
    return f"{name:<{_NAME_WIDTH}}" + "".join(f"{value:>{width}}" for value, width in columns)


def render_panel(status: ServerStatus, history: Sequence[MetricsDelta]) -> Iterator[str]:
    """Yield the lines for one server. `history` ends with the latest interval."""
    if status.snapshot is None:
        yield truncate(f"{status.name}: {status.error}", SCREEN_WIDTH)
        return
    snapshot = status.snapshot
    state = "ready" if snapshot.ready else "not ready"
    yield truncate(f"askd {snapshot.version} · {snapshot.answerer_kind} · {state} · {status.name}", SCREEN_WIDTH)
    yield ""
    last = history[-1] if history else NO_DELTA
    for label, value, values in (
        ("requests", f"{format_rate(last.request_rate)} /s", [delta.request_rate for delta in history]),
        ("errors", f"{format_rate(last.error_rate)} /s", [delta.error_rate for delta in history]),
        ("shed", f"{format_rate(last.shed_rate)} /s", [delta.shed_rate for delta in history]),
        ("p50", format_duration(last.p50), [delta.p50 for delta in history]),
        ("p99", format_duration(last.p99), [delta.p99 for delta in history]),
        ("cached", format_percentage(last.cache_hit_ratio), [delta.cache_hit_ratio for delta in history]),
    ):
        yield f"{label:<10}{value:>14}  {render_sparkline(values[-HISTORY_LENGTH:])}".rstrip()
    yield f"{'in flight':<10}{_format_usage(snapshot.in_flight, snapshot.concurrency_limit):>14}"
    yield f"{'queue':<10}{_format_usage(snapshot.queue_length, snapshot.queue_limit):>14}"


def _format_usage(value: float, limit: float) -> str:
    return f"{format_count(value)} of {format_count(limit)}"


def fit_to_screen(lines: Sequence[str], columns: int, rows: int) -> list[str]:
    """Return the lines cut to the size of the screen; the last row shows the number of omitted lines."""
    shown = [line[:columns] for line in lines]
    if len(shown) <= rows:
        return shown
    kept = max(rows - 1, 0)
    return [*shown[:kept], f"… {len(shown) - kept} more; enlarge the terminal to see them"[:columns]]


def render_sparkline(values: Sequence[float]) -> str:
    """Return a character for each value, scaled from 0 to the largest; missing and zero values are blank."""
    finite = [value for value in values if math.isfinite(value)]
    largest = max(finite, default=0.0)
    return "".join(_sparkline_tick(value, largest) for value in values)


def _sparkline_tick(value: float, largest: float) -> str:
    if math.isnan(value) or value <= 0:
        return " "
    return _TICKS[-1] if value >= largest else _TICKS[int(value / largest * len(_TICKS))]


def format_rate(value: float) -> str:
    """Return a number per second."""
    if math.isnan(value):
        return _NO_VALUE
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def format_duration(value: float) -> str:
    """Return a duration with two or three digits. Infinity is above the last histogram bucket."""
    if math.isnan(value):
        return _NO_VALUE
    if math.isinf(value):
        return "+Inf"
    if value < 0.1:
        return f"{value * 1000:.1f}ms"
    return f"{value * 1000:.0f}ms" if value < 1 else f"{value:.1f}s"


def format_percentage(value: float) -> str:
    """Return a ratio from 0 to 1 in percent."""
    return _NO_VALUE if math.isnan(value) else f"{value:.0%}"


def format_count(value: float) -> str:
    """Return a whole number."""
    return _NO_VALUE if math.isnan(value) else f"{value:.0f}"
