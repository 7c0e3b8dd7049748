"""Draw docs/pictures/limiter.svg, the concurrency limiter under overload: `python -m tools.docs_pictures.limiter`.

The background is transparent, so the colours have a medium lightness that is readable on light and dark pages.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.simulated_server import SimulatedServer, TracePoint
from tests.support.simulated_workloads import WORKLOADS, run_overload

SVG_FILE = Path(__file__).parent.parent.parent / "docs" / "pictures" / "limiter.svg"
DURATION = 30.0
OVERLOAD_PERIOD = (5.0, 20.0)
WIDTH, HEIGHT = 172, 92
"""Pixels of one plot."""
LEFT, TOP, GAP_X, GAP_Y = 74, 66, 34, 34
TEXT_COLOUR, GRID_COLOUR, BLUE, ORANGE = "#6e7781", "#8c959f", "#2f81f7", "#d9730d"

ReadValue = Callable[[TracePoint], float]
ROWS: Sequence[tuple[str, str, int, Sequence[tuple[str, ReadValue]]]] = (
    ("permits", "", 1, ((ORANGE, lambda point: point.in_flight), (BLUE, lambda point: point.limit))),
    ("queued", "", 1, ((BLUE, lambda point: point.queued),)),
    ("delay", " ms", 1, ((BLUE, lambda point: 1000 * point.delay),)),
    ("answers", "/s", 5, ((BLUE, lambda point: point.goodput),)),
)
"""Label, unit, number of points for the moving average, and curves of each row."""


def render_svg() -> str:
    """Return the picture as SVG."""
    width = LEFT + len(WORKLOADS) * (WIDTH + GAP_X)
    height = TOP + len(ROWS) * (HEIGHT + GAP_Y) + 14
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="11" '
        f'fill="{TEXT_COLOUR}">'
    )
    parts = [
        opening,
        "<title>The concurrency limiter, simulated, under ten times the load that the code can handle</title>",
        _legend(),
    ]
    for column, name in enumerate(WORKLOADS):
        x = LEFT + column * (WIDTH + GAP_X)
        parts.append(f'<text x="{x}" y="{TOP - 14}" font-size="12" font-weight="600">{name}</text>')
        parts += [_plot(x, TOP + row * (HEIGHT + GAP_Y), row, run_overload(name)) for row in range(len(ROWS))]
    parts += [_label(row) for row in range(len(ROWS))]
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> str:
    return (
        f'<rect x="{LEFT}" y="10" width="22" height="11" fill="{GRID_COLOUR}" fill-opacity="0.18"/>'
        f'<text x="{LEFT + 28}" y="20">ten times the capacity; otherwise half of it</text>'
        f'<path d="M{LEFT + 300} 16h22" stroke="{BLUE}" stroke-width="2"/>'
        f'<text x="{LEFT + 328}" y="20">limit (first row), or the value of the row</text>'
        f'<path d="M{LEFT + 570} 16h22" stroke="{ORANGE}" stroke-width="2"/>'
        f'<text x="{LEFT + 598}" y="20">in flight</text>'
    )


def _label(row: int) -> str:
    y = TOP + row * (HEIGHT + GAP_Y) + HEIGHT / 2
    return f'<text x="4" y="{y:g}" font-size="12" font-weight="600">{ROWS[row][0]}</text>'


def _plot(x: int, y: int, row: int, run: SimulatedServer) -> str:
    """Return one plot with its upper left corner at x, y."""
    _, unit, window, readers = ROWS[row]
    curves = [(colour, _moving_average(run.trace, read, window)) for colour, read in readers]
    top = _round_up(max(value for _, values in curves for _, value in values))
    x_start, x_end = (x + WIDTH * seconds / DURATION for seconds in OVERLOAD_PERIOD)
    shade = f'fill="{GRID_COLOUR}" fill-opacity="0.18"'
    parts = [
        f'<rect x="{x_start:g}" y="{y}" width="{x_end - x_start:g}" height="{HEIGHT}" {shade}/>',
        f'<path d="M{x} {y}v{HEIGHT}h{WIDTH}" fill="none" stroke="{GRID_COLOUR}"/>',
        f'<text x="{x - 4}" y="{y + 8}" text-anchor="end" font-size="10">{top:g}{unit}</text>',
        f'<text x="{x - 4}" y="{y + HEIGHT}" text-anchor="end" font-size="10">0</text>',
    ]
    parts += [_line(x, y, top, colour, values) for colour, values in curves]
    parts += [
        f'<text x="{x + WIDTH * seconds / DURATION:g}" y="{y + HEIGHT + 13}" text-anchor="middle" font-size="10">'
        f"{seconds:g}{' s' if seconds == DURATION else ''}</text>"
        for seconds in (0.0, *OVERLOAD_PERIOD, DURATION)
    ]
    return "\n".join(parts)


def _moving_average(trace: Sequence[TracePoint], read: ReadValue, window: int) -> list[tuple[float, float]]:
    """Return times and values, each the mean of the last `window` points."""
    values = [read(point) for point in trace]
    means = [sum(values[max(0, end - window) : end]) / min(window, end) for end in range(1, len(values) + 1)]
    return [(point.time, mean) for point, mean in zip(trace, means, strict=True)]


def _line(x: int, y: int, top: float, colour: str, values: Sequence[tuple[float, float]]) -> str:
    points = " ".join(
        f"{x + WIDTH * min(at, DURATION) / DURATION:.1f},{y + HEIGHT * (1 - value / top):.1f}" for at, value in values
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-linejoin="round"/>'


def _round_up(value: float) -> float:
    """Return the next round number, with 5 % of room above the value."""
    step = 1.0
    while True:
        for factor in (1.0, 1.5, 2.0, 3.0, 5.0, 7.5):
            if factor * step >= 1.05 * value:
                return factor * step
        step *= 10.0


if __name__ == "__main__":
    SVG_FILE.parent.mkdir(exist_ok=True)
    SVG_FILE.write_text(render_svg(), encoding="utf-8")
