"""The tally: counts and latencies of exchanges, at a tenth of what labelled metric objects cost.

There is one observation for each exchange, so it is one look-up, one bisection and two additions; the scrape makes
Prometheus' cumulative buckets of it. A tally is written by one thread and read by any.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from time import time
from typing import Final, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
_LABELS: Final = ("route", "method", "code")

Key = tuple[str, str, int]


class Seen(NamedTuple):
    """An exchange whose trace is kept: its trace and span id, its seconds, and when it ended (seconds since 1970)."""

    trace_id: str
    span_id: str
    seconds: float
    at: float


class Cell:
    """What was observed under one set of labels: how many in each bucket, the last above every edge, and the sum."""

    __slots__ = ("counts", "seen", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0
        self.seen: dict[int, Seen] = {}
        """The last exchange in each bucket whose trace is kept."""


class Tally:
    """Exchanges by route, method and status. `edges` are the buckets' upper bounds, in seconds, inclusive."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = tuple(edges)
        self._cells: dict[Key, Cell] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one exchange."""
        self.count(self._cells.get((route, method, status)) or self.cell(route, method, status), seconds)

    def count(self, cell: Cell, seconds: float) -> None:
        """Count one exchange in its cell, which is known."""
        cell.counts[bisect_left(self._edges, seconds)] += 1
        cell.total += seconds

    def keep(self, route: str, method: str, status: int, seconds: float, *, trace_id: str, span_id: str) -> None:
        """Keep an exchange that was counted as the example of its bucket, in place of the one before."""
        cell = self.cell(route, method, status)
        cell.seen[bisect_left(self._edges, seconds)] = Seen(trace_id, span_id, seconds, time())

    def cell(self, route: str, method: str, status: int) -> Cell:
        """Return the cell of these labels, made when it is not there; unknown methods share one, called `other`."""
        key = (route, method if method in METHODS else "other", status)
        return self._cells.setdefault(key, Cell(len(self._edges) + 1))

    def cells(self) -> list[tuple[Key, Cell]]:
        """Return all cells; safe while another thread observes."""
        return list(self._cells.items())


def families(tallies: Iterable[Tally], edges: Sequence[float]) -> Iterable[Metric]:
    """Yield the counter and the histogram of several tallies together."""
    requests = CounterMetricFamily("askd_requests", "Exchanges ended, by outcome.", labels=_LABELS)
    durations = HistogramMetricFamily(
        "askd_request_duration_seconds",
        "From the request's headers to the answer's, streams to their end.",
        labels=_LABELS,
    )
    bounds = [*map(floatToGoString, edges), "+Inf"]
    for (route, method, status), cell in sorted(_merged(tallies).items()):
        labels = (route, method, str(status))
        cumulative: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        passed = 0
        for number, (bound, count) in enumerate(zip(bounds, cell.counts, strict=True)):
            passed += count
            example = cell.seen.get(number)
            cumulative.append((bound, float(passed), _exemplar(example)) if example else (bound, float(passed)))
        requests.add_metric(labels, float(passed))
        durations.add_metric(labels, cumulative, cell.total)
    yield requests
    yield durations


def _exemplar(seen: Seen) -> Exemplar:
    """Return what OpenMetrics shows beside a bucket; the older format leaves it out."""
    return Exemplar({"trace_id": seen.trace_id, "span_id": seen.span_id}, seen.seconds, seen.at)


def _merged(tallies: Iterable[Tally]) -> Mapping[Key, Cell]:
    merged: dict[Key, Cell] = {}
    for tally in tallies:
        for key, cell in tally.cells():
            whole = merged.setdefault(key, Cell(len(cell.counts)))
            whole.counts = [a + b for a, b in zip(whole.counts, cell.counts, strict=True)]
            whole.total += cell.total
            for number, seen in dict(cell.seen).items():
                known = whole.seen.get(number)
                whole.seen[number] = seen if known is None or known.at < seen.at else known
    return merged
