"""Output of `askd top` in 80 columns."""

import math

from askd.top.metrics_delta import compute_delta, parse_snapshot
from askd.top.view import (
    SCREEN_WIDTH,
    ServerStatus,
    fit_to_screen,
    format_duration,
    render_panel,
    render_row,
    render_sparkline,
    table_header,
)
from tests.unit.top.test_metrics_delta import SCRAPE


def test_output_fits_a_small_terminal() -> None:
    """Lines are truncated, and the last row shows the number of omitted rows."""
    lines = ["server", "one", "two", "three"]
    assert fit_to_screen(lines, 79, 4) == lines
    assert fit_to_screen(lines, 3, 4) == ["ser", "one", "two", "thr"]
    assert fit_to_screen(lines, 79, 3) == ["server", "one", "… 2 more; enlarge the terminal to see them"]
    assert fit_to_screen(lines, 79, 1) == ["… 4 more; enlarge the terminal to see them"]


def test_lines_fit_80_columns() -> None:
    """Rows and panel fit 80 columns with long names and errors; a failing server shows its error."""
    snapshot = parse_snapshot(SCRAPE.format(ok=10, bad=0), 1.0)
    delta = compute_delta(parse_snapshot(SCRAPE.format(ok=0, bad=0), 0.0), snapshot)
    available = ServerStatus("http://" + "long." * 30, snapshot, delta)
    unavailable = ServerStatus("http://a", error="connect: " + "nothing " * 20)
    lines = [
        table_header(),
        render_row(available),
        render_row(unavailable),
        *render_panel(available, [delta] * 99),
        *render_panel(unavailable, []),
    ]
    assert max(map(len, lines)) <= SCREEN_WIDTH
    assert "3/16" in render_row(available)
    assert "nothing" in render_row(unavailable)


def test_sparkline_and_durations() -> None:
    """A sparkline is scaled from 0 to the largest value; missing values are blank."""
    assert render_sparkline([0.0, 1.0, 8.0, math.nan]) == " ▂█ "
    assert [format_duration(value) for value in (math.nan, math.inf, 0.0123, 0.5, 12.0)] == [
        "–",
        "+Inf",
        "12.3ms",
        "500ms",
        "12.0s",
    ]
