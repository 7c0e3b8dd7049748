"""Draws docs/pictures/limiter.svg, what the limiter does for each kind of code: `python -m tests.guards.traces`.

The colours are of a middle lightness on no background, so that they can be read on a light page and on a dark one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.guards.codes import KINDS, flooded
from tests.guards.simulation import Point, Process

PICTURE = Path(__file__).parent.parent.parent / "docs" / "pictures" / "limiter.svg"
SECONDS = 30.0
FLOOD = (5.0, 20.0)
WIDTH, HEIGHT = 172, 92
"""Pixels of a plot."""
LEFT, TOP, GAP_X, GAP_Y = 74, 66, 34, 34
INK, FAINT, BLUE, ORANGE = "#6e7781", "#8c959f", "#2f81f7", "#d9730d"

Reading = Callable[[Point], float]
ROWS: Sequence[tuple[str, str, int, Sequence[tuple[str, Reading]]]] = (
    ("places", "", 1, ((ORANGE, lambda point: point.in_flight), (BLUE, lambda point: point.limit))),
    ("waiting", "", 1, ((BLUE, lambda point: point.waiting),)),
    ("delay", " ms", 1, ((BLUE, lambda point: 1000 * point.delay),)),
    ("answers", "/s", 5, ((BLUE, lambda point: point.goodput),)),
)
"""What each row is called, its unit, over how many points it is averaged, and its curves."""


def picture() -> str:
    """Return the SVG."""
    width = LEFT + len(KINDS) * (WIDTH + GAP_X)
    height = TOP + len(ROWS) * (HEIGHT + GAP_Y) + 14
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="11" '
        f'fill="{INK}">'
    )
    parts = [opening, "<title>The limiter, simulated, under ten times the load that it can bear</title>", _key()]
    for column, name in enumerate(KINDS):
        x = LEFT + column * (WIDTH + GAP_X)
        parts.append(f'<text x="{x}" y="{TOP - 14}" font-size="12" font-weight="600">{name}</text>')
        parts += [_plot(x, TOP + row * (HEIGHT + GAP_Y), row, flooded(name)) for row in range(len(ROWS))]
    parts += [_label(row) for row in range(len(ROWS))]
    return "\n".join([*parts, "</svg>", ""])


def _key() -> str:
    """Return the line above the plots."""
    return (
        f'<rect x="{LEFT}" y="10" width="22" height="11" fill="{FAINT}" fill-opacity="0.18"/>'
        f'<text x="{LEFT + 28}" y="20">ten times what the code can do; else half of it</text>'
        f'<path d="M{LEFT + 300} 16h22" stroke="{BLUE}" stroke-width="2"/>'
        f'<text x="{LEFT + 328}" y="20">limit (first row), or what the row names</text>'
        f'<path d="M{LEFT + 570} 16h22" stroke="{ORANGE}" stroke-width="2"/>'
        f'<text x="{LEFT + 598}" y="20">in flight</text>'
    )


def _label(row: int) -> str:
    """Return what stands left of a row."""
    y = TOP + row * (HEIGHT + GAP_Y) + HEIGHT / 2
    return f'<text x="4" y="{y:g}" font-size="12" font-weight="600">{ROWS[row][0]}</text>'


def _plot(x: int, y: int, row: int, run: Process) -> str:
    """Return one plot, with its upper left corner there."""
    _, unit, over, lines = ROWS[row]
    curves = [(colour, _curve(run.trace, read, over)) for colour, read in lines]
    top = _round_up(max(value for _, values in curves for _, value in values))
    at = [x + WIDTH * seconds / SECONDS for seconds in FLOOD]
    parts = [
        f'<rect x="{at[0]:g}" y="{y}" width="{at[1] - at[0]:g}" height="{HEIGHT}" fill="{FAINT}" fill-opacity="0.18"/>',
        f'<path d="M{x} {y}v{HEIGHT}h{WIDTH}" fill="none" stroke="{FAINT}"/>',
        f'<text x="{x - 4}" y="{y + 8}" text-anchor="end" font-size="10">{top:g}{unit}</text>',
        f'<text x="{x - 4}" y="{y + HEIGHT}" text-anchor="end" font-size="10">0</text>',
    ]
    parts += [_line(x, y, top, colour, values) for colour, values in curves]
    parts += [
        f'<text x="{x + WIDTH * seconds / SECONDS:g}" y="{y + HEIGHT + 13}" text-anchor="middle" font-size="10">'
        f"{seconds:g}{' s' if seconds == SECONDS else ''}</text>"
        for seconds in (0.0, *FLOOD, SECONDS)
    ]
    return "\n".join(parts)


def _curve(trace: Sequence[Point], read: Reading, over: int) -> list[tuple[float, float]]:
    """Return times and values, each the mean of the last so many."""
    values = [read(point) for point in trace]
    means = [sum(values[max(0, end - over) : end]) / min(over, end) for end in range(1, len(values) + 1)]
    return [(point.at, mean) for point, mean in zip(trace, means, strict=True)]


def _line(x: int, y: int, top: float, colour: str, values: Sequence[tuple[float, float]]) -> str:
    points = " ".join(
        f"{x + WIDTH * min(at, SECONDS) / SECONDS:.1f},{y + HEIGHT * (1 - value / top):.1f}" for at, value in values
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-linejoin="round"/>'


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50 and so on, with some room above the value."""
    step = 1.0
    while True:
        for factor in (1.0, 1.5, 2.0, 3.0, 5.0, 7.5):
            if factor * step >= 1.05 * value:
                return factor * step
        step *= 10.0


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
