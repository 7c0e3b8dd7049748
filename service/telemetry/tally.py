"""The tally: counts and latencies of exchanges, at a tenth of what labelled metric objects cost.

There is one observation for each exchange, so it is one look-up, one bisection and two additions; the scrape makes
Prometheus' cumulative buckets of it. A tally is written by one thread and read by any.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
_LABELS: Final = ("route", "method", "code")

Key = tuple[str, str, int]


class Cell:
    """What was observed under one set of labels: how many in each bucket, the last above every edge, and the sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0


class Tally:
    """Exchanges by route, method and status. `edges` are the buckets' upper bounds, in seconds, inclusive."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = tuple(edges)
        self._cells: dict[Key, Cell] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one exchange."""
        cell = self._cells.get((route, method, status)) or self.cell(route, method, status)
        cell.counts[bisect_left(self._edges, seconds)] += 1
        cell.total += seconds

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
    for (route, method, status), (counts, total) in sorted(_merged(tallies).items()):
        labels = (route, method, str(status))
        cumulative, seen = [], 0
        for bound, count in zip(bounds, counts, strict=True):
            seen += count
            cumulative.append((bound, float(seen)))
        requests.add_metric(labels, float(seen))
        durations.add_metric(labels, cumulative, total)
    yield requests
    yield durations


def _merged(tallies: Iterable[Tally]) -> dict[Key, tuple[list[int], float]]:
    merged: dict[Key, tuple[list[int], float]] = {}
    for tally in tallies:
        for key, cell in tally.cells():
            counts, total = merged.get(key, ([0] * len(cell.counts), 0.0))
            merged[key] = [a + b for a, b in zip(counts, cell.counts, strict=True)], total + cell.total
    return merged
