"""Metrics: request durations, answerer calls, event-loop lag, and the registry that a scrape reads.

Every request is one observation, so `RequestMetrics` avoids the labelled metric objects of prometheus_client, which
cost ten times as much: an observation is one dictionary lookup, one bisection and two additions. The scrape computes
the cumulative buckets. Each thread has its own `RequestMetrics`; the scrape adds them up.

Request metrics follow OpenTelemetry's semantic conventions for HTTP, with names translated to Prometheus:
`http.server.request.duration` becomes `http_server_request_duration_seconds`. Its `_count` is the number of requests,
so a separate counter is not needed.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import time
from typing import Final, NamedTuple

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Info
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from askd import __version__

KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}  # RFC 9110 and RFC 5789
)
OTHER_METHOD: Final = "_OTHER"
"""Value of `http_request_method` for all other methods."""
REQUEST_DURATION: Final = "http_server_request_duration_seconds"
ACTIVE_REQUESTS: Final = "http_server_active_requests"
MALFORMED_ROUTE: Final = "malformed"
UNMATCHED_ROUTE: Final = "unmatched"
ANSWERER_OUTCOMES: Final = ("answered", "no_answer", "refused", "interrupted", "failed", "cancelled")
ANSWERER_LABEL: Final = "answerer"
"""Label with the name of the answerer, if a server has several."""
LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Upper bounds of the event-loop lag in seconds."""
_LABEL_NAMES: Final = ("http_route", "http_request_method", "http_response_status_code")

_log = structlog.get_logger("askd.metrics")

SeriesKey = tuple[str, str, int]
"""Route, method and status."""
CollectCallback = Callable[[], Iterable[Metric]]


class BucketExemplar(NamedTuple):
    """A sampled request: the ids of its trace and span, its duration in seconds, and its end in Unix time."""

    trace_id: str
    span_id: str
    duration: float
    ended_at: float


class Series:
    """Observations with one set of labels: a count per bucket (the last one is unbounded), and the sum."""

    __slots__ = ("bucket_counts", "exemplars", "total_seconds")

    def __init__(self, buckets: int) -> None:
        self.bucket_counts = [0] * buckets
        self.total_seconds = 0.0
        self.exemplars: dict[int, BucketExemplar] = {}
        """The latest sampled request of each bucket."""


class RequestMetrics:
    """Durations of requests by route, method and status. One thread writes, any thread may read.

    `bucket_bounds` are the inclusive upper bounds of the buckets in seconds.
    """

    def __init__(self, bucket_bounds: Sequence[float]) -> None:
        self._bucket_bounds = tuple(bucket_bounds)
        self._series_by_key: dict[SeriesKey, Series] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Record one request."""
        series = self._series_by_key.get((route, method, status)) or self.get_series(route, method, status)
        series.bucket_counts[bisect_left(self._bucket_bounds, seconds)] += 1
        series.total_seconds += seconds

    def set_exemplar(
        self, route: str, method: str, status: int, seconds: float, *, trace_id: str, span_id: str
    ) -> None:
        """Make a recorded request the exemplar of its bucket."""
        series = self.get_series(route, method, status)
        series.exemplars[bisect_left(self._bucket_bounds, seconds)] = BucketExemplar(trace_id, span_id, seconds, time())

    def get_series(self, route: str, method: str, status: int) -> Series:
        """Return the series, created if it is missing. Unknown methods share one."""
        key = (route, method if method in KNOWN_METHODS else OTHER_METHOD, status)
        return self._series_by_key.setdefault(key, Series(len(self._bucket_bounds) + 1))

    def list_series(self) -> list[tuple[SeriesKey, Series]]:
        """Return all series. Safe while another thread observes."""
        return list(self._series_by_key.items())


def build_request_duration(sources: Iterable[RequestMetrics], bucket_bounds: Sequence[float]) -> HistogramMetricFamily:
    """Return the histogram of all sources together."""
    family = HistogramMetricFamily(
        REQUEST_DURATION,
        "Duration of HTTP requests, from the headers of the request to the end of the response.",
        labels=_LABEL_NAMES,
    )
    bounds = [*map(floatToGoString, bucket_bounds), "+Inf"]
    for (route, method, status), series in sorted(_merge_series(sources).items()):
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        cumulative_count = 0
        for index, (bound, count) in enumerate(zip(bounds, series.bucket_counts, strict=True)):
            cumulative_count += count
            exemplar = series.exemplars.get(index)
            bucket = (bound, float(cumulative_count))
            buckets.append((*bucket, _to_prometheus_exemplar(exemplar)) if exemplar else bucket)
        family.add_metric((route, method, str(status)), buckets, series.total_seconds)
    return family


def _to_prometheus_exemplar(exemplar: BucketExemplar) -> Exemplar:
    """Return the exemplar for OpenMetrics; the older text format omits it."""
    ids = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return Exemplar(ids, exemplar.duration, exemplar.ended_at)


def _merge_series(sources: Iterable[RequestMetrics]) -> Mapping[SeriesKey, Series]:
    merged: dict[SeriesKey, Series] = {}
    for source in sources:
        for key, series in source.list_series():
            total = merged.setdefault(key, Series(len(series.bucket_counts)))
            total.bucket_counts = [a + b for a, b in zip(total.bucket_counts, series.bucket_counts, strict=True)]
            total.total_seconds += series.total_seconds
            for index, exemplar in dict(series.exemplars).items():
                known = total.exemplars.get(index)
                total.exemplars[index] = exemplar if known is None or known.ended_at < exemplar.ended_at else known
    return merged


class Metrics:
    """Metrics of one app, in a registry that no other app shares.

    `bucket_bounds` are the upper bounds of the duration histograms in seconds.
    """

    def __init__(self, bucket_bounds: Iterable[float]) -> None:
        self.registry = CollectorRegistry()
        self._bucket_bounds = bounds = tuple(bucket_bounds)
        self._request_metrics = [RequestMetrics(bounds)]
        self.add_collector(lambda: [build_request_duration(self._request_metrics, bounds)])
        self.event_loop_lag = Histogram(
            "askd_event_loop_lag_seconds",
            "Delay of a timer on the main event loop.",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self.accept_delay = Histogram(
            "askd_connection_accept_delay_seconds",
            "Time that a connection with its first bytes waited in the kernel: a sample for each loop iteration.",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self.clients_left_queue = Counter(
            "askd_clients_left_queue",
            "Requests whose client disconnected before the answerer was called.",
            registry=self.registry,
        )
        Info("askd_build", "Version of askd.", registry=self.registry).info({"version": __version__})

    def create_request_metrics(self) -> RequestMetrics:
        """Return new request metrics that the scrape includes; each observing thread needs its own."""
        self._request_metrics.append(RequestMetrics(self._bucket_bounds))
        return self._request_metrics[-1]

    def create_answerer_metrics(self, route: str) -> "AnswererMetrics":
        """Return new metrics of an answerer, and create the series of its successful requests."""
        # PromQL's rate() misses the first request of a series that does not start at 0.
        self._request_metrics[0].get_series(route, "GET", 200)
        return AnswererMetrics(self._bucket_bounds)

    def add_collector(self, callback: CollectCallback) -> None:
        """Call the callback at each scrape and include its metrics."""
        self.registry.register(_CallbackCollector(callback))


class AnswererMetrics:
    """Durations of the calls of one answerer, by outcome."""

    def __init__(self, bucket_bounds: Sequence[float]) -> None:
        self._duration = Histogram(
            "askd_answerer_duration_seconds",
            "Duration of calls of the answerer, by outcome.",
            ("outcome",),
            buckets=bucket_bounds,
            registry=None,
        )
        self._duration_by_outcome = {outcome: self._duration.labels(outcome) for outcome in ANSWERER_OUTCOMES}

    def record_outcome(self, outcome: str, seconds: float) -> None:
        """Record one call of the answerer; `outcome` is one of `ANSWERER_OUTCOMES`."""
        self._duration_by_outcome[outcome].observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Return the histogram."""
        return self._duration.collect()


def label_by_answerer(metrics: Mapping[str, Iterable[Metric]]) -> Iterable[Metric]:
    """Return the metrics of several answerers, with the label `answerer` added; unchanged if there is only one.

    Args:
        metrics: The metrics of each answerer by its name.
    """
    if len(metrics) == 1:
        return next(iter(metrics.values()))
    merged: dict[str, Metric] = {}
    for name, families in metrics.items():
        for family in families:
            result = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            result.samples += [
                sample._replace(labels={**sample.labels, ANSWERER_LABEL: name}) for sample in family.samples
            ]
    return merged.values()


class _CallbackCollector(Collector):
    def __init__(self, callback: CollectCallback) -> None:
        self._callback = callback

    def collect(self) -> Iterable[Metric]:
        return self._callback()

    def describe(self) -> Iterable[Metric]:
        return ()


class CombinedCollector(Collector):
    """Collector of a scrape: askd's metrics, then those of prometheus_client's default registry."""

    def __init__(self, own: CollectorRegistry, others: CollectorRegistry = REGISTRY) -> None:
        self._own = own
        self._others = others

    def collect(self) -> Iterable[Metric]:
        """Yield each metric family once; askd's wins if names clash.

        An exception in a collector of user code ends the part of the default registry, not the scrape.
        """
        own = {family.name: family for family in self._own.collect()}
        yield from own.values()
        try:
            yield from (family for family in self._others.collect() if family.name not in own)
        except Exception:
            _log.exception("metrics_collector_failed")


def optional_gauge(name: str, help: str, value: float | None) -> Iterable[Metric]:
    """Yield one gauge, or nothing if the value is None because the metric does not apply."""
    if value is not None:
        yield GaugeMetricFamily(name, help, value=value)


def optional_result_counter(
    name: str, help: str, counts: Mapping[str, int | None], *, label: str = "result"
) -> Iterable[Metric]:
    """Yield one counter with one label, or nothing if a count is None because the metric does not apply."""
    if None not in counts.values():
        family = CounterMetricFamily(name, help, labels=(label,))
        for result, count in counts.items():
            family.add_metric((result,), float(count or 0))
        yield family
