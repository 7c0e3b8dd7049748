"""One scrape of a server's /metrics, and the difference of two: rates, and percentiles of the interval in between."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

_ASK_ROUTE: Final = re.compile(r"(.*/)?(ask(/[^/]+)?|mcp|v1/chat/completions)")
_REQUEST_DURATION_METRIC: Final = "http_server_request_duration_seconds"
"""OpenTelemetry's name; its `_count` is the number of requests."""
_PROCESS_START_METRIC: Final = "process_start_time_seconds"
_FAMILIES_OF_OTHERS: Final = frozenset({_REQUEST_DURATION_METRIC, _PROCESS_START_METRIC})
"""Metrics without the prefix `askd_`."""


class MetricsSnapshot(NamedTuple):
    """One scrape. Counters count from the start of the process. A missing gauge is NaN, a missing counter 0."""

    scraped_at: float
    """Monotonic seconds."""
    process_started_at: float
    """Unix time in seconds."""
    request_count: float
    error_count: float
    """Responses with a 5xx status."""
    latency_buckets: Mapping[float, float]
    """Cumulative number of requests by upper bound in seconds; the last bound is infinite."""
    shed_count: float
    cache_hits: float
    cache_lookups: float
    """Cache lookups, including hits; requests that bypassed the cache are not counted."""
    in_flight: float
    concurrency_limit: float
    queue_length: float
    queue_limit: float
    ready: float
    version: str
    answerer_kind: str


class MetricsDelta(NamedTuple):
    """Difference of two scrapes. Rates are per second, times in seconds; a value without samples is NaN."""

    request_rate: float
    error_rate: float
    p50: float
    p99: float
    """Infinite if it is above the bound of the last bucket."""
    shed_rate: float
    cache_hit_ratio: float
    """Share of cache lookups that were hits, from 0 to 1."""


NO_DELTA: Final = MetricsDelta(*[math.nan] * 6)
_EMPTY_SNAPSHOT: Final = MetricsSnapshot(0.0, 0.0, 0.0, 0.0, {}, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, "", "")


def parse_snapshot(text: str, scraped_at: float) -> MetricsSnapshot:
    """Parse a scrape in Prometheus text format. Raises ValueError if it is invalid or not from askd."""
    metrics = _ParsedMetrics(text)
    if not metrics.version:
        raise ValueError("the metrics are not askd's")
    requests_by_status = metrics.sum_by_label(f"{_REQUEST_DURATION_METRIC}_count", "http_response_status_code")
    lookups_by_result = metrics.sum_by_label("askd_cache_lookups_total", "result")
    buckets = metrics.sum_by_label(f"{_REQUEST_DURATION_METRIC}_bucket", "le")
    return MetricsSnapshot(
        scraped_at=scraped_at,
        process_started_at=metrics.read_gauge(_PROCESS_START_METRIC),
        request_count=sum(requests_by_status.values()),
        error_count=sum(count for status, count in requests_by_status.items() if status.startswith("5")),
        latency_buckets={float(bound): count for bound, count in buckets.items()},
        shed_count=sum(metrics.sum_by_label("askd_shed_total", "reason").values()),
        cache_hits=lookups_by_result.get("hit", 0.0),
        cache_lookups=sum(lookups_by_result.get(result, 0.0) for result in ("hit", "miss", "expired")),
        in_flight=metrics.read_gauge("askd_answerer_in_flight"),
        concurrency_limit=metrics.read_gauge("askd_concurrency_limit"),
        queue_length=metrics.read_gauge("askd_queue_length"),
        queue_limit=metrics.read_gauge("askd_queue_limit"),
        ready=metrics.read_gauge("askd_ready"),
        version=metrics.version,
        answerer_kind=metrics.answerer_kind,
    )


class _ParsedMetrics:
    """Samples of a scrape by name. Samples with a route are limited to /ask and /ask/NAME.

    Several answerers of a server are added up.
    """

    def __init__(self, text: str) -> None:
        self._samples: defaultdict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(text):
            if not family.name.startswith("askd_") and family.name not in _FAMILIES_OF_OTHERS:
                continue
            for sample in family.samples:
                if _ASK_ROUTE.fullmatch(sample.labels.get("http_route", "/ask")):
                    self._samples[sample.name].append((sample.labels, sample.value))
        self.version = self._read_label("askd_build_info", "version")
        self.answerer_kind = self._read_label("askd_answerer_info", "kind")

    def sum_by_label(self, name: str, label: str) -> dict[str, float]:
        sums: defaultdict[str, float] = defaultdict(float)
        for labels, value in self._samples[name]:
            sums[labels.get(label, "")] += value
        return sums

    def read_gauge(self, name: str) -> float:
        samples = self._samples[name]
        return sum(value for _, value in samples) if samples else math.nan

    def _read_label(self, name: str, label: str) -> str:
        return next((labels.get(label, "") for labels, _ in self._samples[name]), "")


def compute_delta(before: MetricsSnapshot, after: MetricsSnapshot) -> MetricsDelta:
    """Compare two scrapes. If the server restarted in between, everything since its start counts."""
    if after.process_started_at > before.process_started_at or after.request_count < before.request_count:
        before = _EMPTY_SNAPSHOT._replace(scraped_at=before.scraped_at)
    seconds = max(after.scraped_at - before.scraped_at, 1e-9)
    buckets = {
        bound: max(count - before.latency_buckets.get(bound, 0.0), 0.0)
        for bound, count in after.latency_buckets.items()
    }
    lookups = after.cache_lookups - before.cache_lookups
    return MetricsDelta(
        request_rate=(after.request_count - before.request_count) / seconds,
        error_rate=max(after.error_count - before.error_count, 0.0) / seconds,
        p50=quantile(0.5, buckets),
        p99=quantile(0.99, buckets),
        shed_rate=max(after.shed_count - before.shed_count, 0.0) / seconds,
        cache_hit_ratio=(after.cache_hits - before.cache_hits) / lookups if lookups > 0 else math.nan,
    )


def quantile(share: float, buckets: Mapping[float, float]) -> float:
    """Return a quantile of cumulative histogram buckets, as Prometheus' `histogram_quantile` does.

    Values are interpolated linearly within a bucket. The result is infinite above the last finite bound, and NaN
    without samples.
    """
    rows: Sequence[tuple[float, float]] = sorted(buckets.items())
    count = rows[-1][1] if rows else 0.0
    if count <= 0:
        return math.nan
    rank, lower_bound, lower_count = share * count, 0.0, 0.0
    for bound, cumulative in rows:
        if cumulative >= rank and cumulative > lower_count:
            if math.isinf(bound):
                return bound
            fraction = (rank - lower_count) / (cumulative - lower_count)
            return lower_bound + (bound - lower_bound) * fraction
        lower_bound, lower_count = bound, cumulative
    return math.nan
