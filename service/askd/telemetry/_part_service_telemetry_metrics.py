"""Metrics: what is counted, on a registry of its own for each app. Gauges read `statistics()` at the scrape."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, Info
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import __version__
from service.telemetry.tally import Tally, families

OUTCOMES: Final = ("answered", "no_answer", "refused", "interrupted", "failed", "cancelled")
LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
MALFORMED: Final = "malformed"
UNMATCHED: Final = "unmatched"

_log = structlog.get_logger("askd.metrics")

Reading = Callable[[], Iterable[Metric]]


class Metrics:
    """The metric objects of one app. `buckets` are the upper edges of the latency histograms, in seconds."""

    def __init__(self, buckets: Iterable[float]) -> None:
        self.registry = CollectorRegistry()
        edges = tuple(buckets)
        self._edges = edges
        self._tallies: list[Tally] = []
        self.read(lambda: families(self._tallies, edges))
        self.tally().cell("/ask", "GET", 200)  # a rate sees only what rises from a known 0
        self._code = Histogram(
            "askd_answerer_duration_seconds",
            "Time spent in the code that answers.",
            ("outcome",),
            buckets=edges,
            registry=self.registry,
        )
        self.outcomes = {outcome: self._code.labels(outcome) for outcome in OUTCOMES}
        self.lag = Histogram(
            "askd_event_loop_lag_seconds",
            "How much later than asked for the main event loop woke up.",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        Info("askd_build", "What is running.", registry=self.registry).info({"version": __version__})

    def tally(self) -> Tally:
        """Return a tally that the scrape reads; each thread that observes exchanges has its own."""
        self._tallies.append(Tally(self._edges))
        return self._tallies[-1]

    def outcome(self, outcome: str, seconds: float) -> None:
        """Count one call of the code that answers; `outcome` is one of OUTCOMES."""
        self.outcomes[outcome].observe(seconds)

    def read(self, reading: Reading) -> None:
        """Ask `reading` for metrics at each scrape."""
        self.registry.register(_Reader(reading))


class _Reader(Collector):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        return self._reading()

    def describe(self) -> Iterable[Metric]:
        return ()


class Both(Collector):
    """askd's own metrics, then those of prometheus_client's default registry, nothing twice: what a scrape shows."""

    def __init__(self, own: CollectorRegistry, others: CollectorRegistry = REGISTRY) -> None:
        self._own = own
        self._others = others

    def collect(self) -> Iterable[Metric]:
        """Yield each metric family once; where names clash, askd's own.

        A collector of the user's code that raises ends its own registry's part, and not the scrape.
        """
        own = {family.name: family for family in self._own.collect()}
        yield from own.values()
        try:
            yield from (family for family in self._others.collect() if family.name not in own)
        except Exception:
            _log.exception("a collector in the default registry failed")


def gauge(name: str, help: str, value: float | None) -> Iterable[Metric]:
    """Yield one gauge, or nothing where the value is None: it does not apply."""
    if value is not None:
        yield GaugeMetricFamily(name, help, value=value)


def results(name: str, help: str, counts: Mapping[str, int | None]) -> Iterable[Metric]:
    """Yield one counter with a label `result`, or nothing where a count is None: it does not apply."""
    if None not in counts.values():
        family = CounterMetricFamily(name, help, labels=("result",))
        for result, count in counts.items():
            family.add_metric((result,), float(count or 0))
        yield family
