"""Servers for a person: a panel for one, a row each for several; 80 columns."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from service.client.text import cut
from service.top.change import Change
from service.top.sample import Sample

WIDTH: Final = 79
HISTORY: Final = 40
"""Intervals that the panel draws."""
_TICKS: Final = "▁▂▃▄▅▆▇█"
_NAME: Final = 21
_NONE: Final = "–"


class Seen(NamedTuple):
    """What is known of one server now. `change` None: it was scraped once only; `fault`: why it was not just now."""

    name: str
    sample: Sample | None = None
    change: Change | None = None
    fault: str = ""


def head() -> str:
    """Return the heads of the columns."""
    return f"{'server':<{_NAME}}{'asked/s':>9}{'p50':>8}{'p99':>8}{'in code':>10}{'queue':>7}{'shed/s':>8}{'cached':>8}"


def row(seen: Seen) -> str:
    """Return one server as a line."""
    name = f"{cut(seen.name.rpartition('//')[2], _NAME - 1):<{_NAME}}"
    if seen.sample is None:
        return name + cut(seen.fault, WIDTH - _NAME)
    now, since = seen.sample, seen.change
    places = f"{number(now.in_flight)}/{number(now.limit)}"
    line = f"{name}{rate(since.rate) if since else _NONE:>9}{time(since.p50) if since else _NONE:>8}"
    line += f"{time(since.p99) if since else _NONE:>8}{places:>10}{number(now.queue):>7}"
    return line + f"{rate(since.shed) if since else _NONE:>8}{share(since.hits) if since else _NONE:>8}"


def panel(seen: Seen, history: Sequence[Change]) -> Iterator[str]:
    """Yield one server, and how its figures went; `history` ends with now."""
    if seen.sample is None:
        yield cut(f"{seen.name}: {seen.fault}", WIDTH)
        return
    now = seen.sample
    state = "ready" if now.ready else "not ready"
    yield cut(f"askd {now.version} · {now.kind} · {state} · {seen.name}", WIDTH)
    yield ""
    last = history[-1] if history else Change(*[math.nan] * 6)
    for label, value, values in (
        ("asked", f"{rate(last.rate)} /s", [each.rate for each in history]),
        ("failed", f"{rate(last.failed)} /s", [each.failed for each in history]),
        ("shed", f"{rate(last.shed)} /s", [each.shed for each in history]),
        ("p50", time(last.p50), [each.p50 for each in history]),
        ("p99", time(last.p99), [each.p99 for each in history]),
        ("cached", share(last.hits), [each.hits for each in history]),
    ):
        yield f"{label:<10}{value:>14}  {line(values[-HISTORY:])}".rstrip()
    yield f"{'in code':<10}{number(now.in_flight) + ' of ' + number(now.limit):>14}"
    yield f"{'queue':<10}{number(now.queue) + ' of ' + number(now.queue_limit):>14}"


def fitted(lines: Sequence[str], columns: int, rows: int) -> list[str]:
    """Return the lines cut to so many columns and rows; the last row says how many are left out."""
    shown = [line[:columns] for line in lines]
    if len(shown) <= rows:
        return shown
    keep = max(rows - 1, 0)
    return [*shown[:keep], f"… {len(shown) - keep} more; a higher terminal shows them"[:columns]]


def line(values: Sequence[float]) -> str:
    """Return a line of ticks from 0 to the largest; where there is no value, or all are 0, it is blank."""
    known = [value for value in values if math.isfinite(value)]
    most = max(known, default=0.0)
    return "".join(_tick(value, most) for value in values)


def _tick(value: float, most: float) -> str:
    if math.isnan(value) or value <= 0:
        return " "
    return _TICKS[-1] if value >= most else _TICKS[int(value / most * len(_TICKS))]


def rate(value: float) -> str:
    """Return how often in a second."""
    if math.isnan(value):
        return _NONE
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def time(value: float) -> str:
    """Return a duration with two or three figures."""
    if math.isnan(value):
        return _NONE
    if math.isinf(value):
        return "longest"
    if value < 0.1:
        return f"{value * 1000:.1f}ms"
    return f"{value * 1000:.0f}ms" if value < 1 else f"{value:.1f}s"


def share(value: float) -> str:
    """Return a share in percent."""
    return _NONE if math.isnan(value) else f"{value:.0%}"


def number(value: float) -> str:
    """Return a count."""
    return _NONE if math.isnan(value) else f"{value:.0f}"
