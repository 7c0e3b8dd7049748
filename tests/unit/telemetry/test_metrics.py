"""Metrics as Prometheus sees them."""

import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, Metric, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families as families

from askd import __version__
from askd.telemetry.metrics import (
    ANSWERER_OUTCOMES,
    REQUEST_DURATION,
    CombinedCollector,
    Metrics,
    optional_gauge,
    optional_result_counter,
)
from tests.support.request_metrics import request_count, request_labels

BUCKETS = (0.1, 0.25, 1.0)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return the value of a sample, None if it does not exist."""
    return metrics.registry.get_sample_value(name, labels)


ASK = request_labels(route="/ask", method="GET", status=200)


def test_known_series_start_at_zero() -> None:
    """Successful requests and all outcomes exist from the start, so that `rate` sees their first increase."""
    metrics = Metrics(BUCKETS)
    metrics.add_collector(metrics.create_answerer_metrics("/ask").collect)
    assert value(metrics, f"{REQUEST_DURATION}_count", **ASK) == 0
    for outcome in ANSWERER_OUTCOMES:
        assert value(metrics, "askd_answerer_duration_seconds_count", outcome=outcome) == 0
    assert value(metrics, "askd_build_info", version=__version__) == 1


@given(st.lists(st.sampled_from([*BUCKETS, 0.0, 0.05, 0.3, 5.0, 100.0])))
def test_histogram_equals_prometheus_client(durations: list[float]) -> None:
    """Buckets, count and sum are equal to those of prometheus_client's histogram for the same observations."""
    metrics, registry = Metrics(BUCKETS), CollectorRegistry()
    requests = metrics.create_request_metrics()
    metrics.create_answerer_metrics("/ask")
    plain = Histogram(REQUEST_DURATION, "x", tuple(ASK), buckets=BUCKETS, registry=registry)
    plain.labels(*ASK.values())
    for seconds in durations:
        requests.observe("/ask", "GET", 200, seconds)
        plain.labels(*ASK.values()).observe(seconds)
    for bound in ("0.1", "0.25", "1.0", "+Inf"):
        name = f"{REQUEST_DURATION}_bucket"
        assert value(metrics, name, **ASK, le=bound) == registry.get_sample_value(name, {**ASK, "le": bound})
    assert value(metrics, f"{REQUEST_DURATION}_count", **ASK) == len(durations)
    assert value(metrics, f"{REQUEST_DURATION}_sum", **ASK) == pytest.approx(sum(durations))


def test_threads_add_up() -> None:
    """Each thread has its own request metrics; a scrape shows the sum, even while they are counting."""
    metrics = Metrics(BUCKETS)

    def count() -> None:
        requests = metrics.create_request_metrics()
        for number in range(500):
            requests.observe("/ask", "GET", 200 + number % 3, 0.1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        generate_latest(metrics.registry)
    for thread in threads:
        thread.join()
    counts = [request_count(metrics.registry, route="/ask", method="GET", status=status) for status in (200, 201, 202)]
    assert sum(count or 0 for count in counts) == 2000


@given(st.text(min_size=1))
def test_unknown_methods_share_a_series(method: str) -> None:
    """Any unknown method is counted as `_OTHER`."""
    metrics = Metrics(BUCKETS)
    requests = metrics.create_request_metrics()
    for _ in range(3):
        requests.observe("/ask", f"X{method}", 405, 0.1)
    assert request_count(metrics.registry, route="/ask", method="_OTHER", status=405) == 3


def test_outcomes_are_timed() -> None:
    """A call of the answerer is recorded under its outcome, with its duration."""
    metrics = Metrics(BUCKETS)
    answerer_metrics = metrics.create_answerer_metrics("/ask")
    metrics.add_collector(answerer_metrics.collect)
    answerer_metrics.record_outcome("failed", 0.2)
    name = "askd_answerer_duration_seconds"
    assert [value(metrics, f"{name}_{part}", outcome="failed") for part in ("count", "sum")] == [1, 0.2]
    assert value(metrics, f"{name}_bucket", outcome="failed", le="0.25") == 1


def test_collectors_are_called_at_each_scrape() -> None:
    """A collector is called by the scrape, not before; metrics that do not apply are left out."""
    metrics = Metrics(BUCKETS)
    calls: list[int] = []

    def collect() -> Iterator[Metric]:
        calls.append(1)
        yield from optional_gauge("some", "A gauge.", len(calls))
        yield from optional_gauge("missing", "Does not apply.", None)
        yield from optional_result_counter("lookups", "Lookups.", {"hit": 1, "miss": 0})
        yield from optional_result_counter("reloads", "Does not apply.", {"failed": None})

    metrics.add_collector(collect)
    assert calls == []
    by_name = {family.name: family for family in families(generate_latest(metrics.registry).decode())}
    assert {"some", "lookups"} <= set(by_name)
    assert not {"missing", "reloads"} & set(by_name)
    assert [(sample.labels["result"], sample.value) for sample in by_name["lookups"].samples] == [
        ("hit", 1),
        ("miss", 0),
    ]
    assert value(metrics, "some") == 2


def test_apps_share_no_metrics() -> None:
    """Each app has its own registry."""
    one, other = Metrics(BUCKETS), Metrics(BUCKETS)
    one.create_request_metrics().observe("/ask", "GET", 200, 0.1)
    assert [value(metrics, f"{REQUEST_DURATION}_count", **ASK) for metrics in (one, other)] == [1, None]


def test_scrape_has_each_family_once() -> None:
    """A family that is in both registries appears once."""
    registry = Metrics(BUCKETS).registry
    names = [family.name for family in CombinedCollector(registry, registry).collect()]
    assert len(names) == len(set(names)) > 3


def test_latest_exemplar_of_each_bucket_wins() -> None:
    """Each bucket has the latest sampled request of all threads as its exemplar, in OpenMetrics only."""
    metrics = Metrics(BUCKETS)
    for requests, digit, seconds in zip(
        [metrics.create_request_metrics(), metrics.create_request_metrics()] * 2,
        "abcd",
        (0.1, 0.2, 0.05, 9.0),
        strict=True,
    ):
        requests.observe("/ask", "GET", 200, seconds)
        requests.set_exemplar("/ask", "GET", 200, seconds, trace_id=digit * 32, span_id=digit * 16)
    text = choose_encoder("application/openmetrics-text; version=1.0.0")[0](metrics.registry).decode()
    exemplars = re.findall(r'le="([^"]+)".*trace_id="(.)', text)
    assert exemplars == [("0.1", "c"), ("0.25", "b"), ("+Inf", "d")]
    assert "trace_id" not in generate_latest(metrics.registry).decode()
