"""Metrics: what is counted, in what Prometheus understands."""

import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, Metric, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families as families

from service import __version__
from service.telemetry.metrics import OUTCOMES, Both, Metrics, gauge, results

EDGES = (0.1, 0.25, 1.0)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a sample's value, None where there is none."""
    return metrics.registry.get_sample_value(name, labels)


ASK = {"route": "/ask", "method": "GET", "code": "200"}


def test_what_is_known_starts_at_zero() -> None:
    """Answers and the code's outcomes are there from the start, so that their first rise is seen."""
    metrics = Metrics(EDGES)
    assert value(metrics, "askd_requests_total", **ASK) == 0
    for outcome in OUTCOMES:
        assert value(metrics, "askd_answerer_duration_seconds_count", outcome=outcome) == 0
    assert value(metrics, "askd_build_info", version=__version__) == 1


@given(st.lists(st.sampled_from([*EDGES, 0.0, 0.05, 0.3, 5.0, 100.0])))
def test_the_tally_is_prometheus_own_histogram(seconds: list[float]) -> None:
    """Buckets, count and sum are those that prometheus_client's own histogram has for the same observations."""
    metrics, registry = Metrics(EDGES), CollectorRegistry()
    tally = metrics.tally()
    plain = Histogram(
        "askd_request_duration_seconds", "x", ("route", "method", "code"), buckets=EDGES, registry=registry
    )
    plain.labels(*ASK.values())
    for each in seconds:
        tally.observe("/ask", "GET", 200, each)
        plain.labels(*ASK.values()).observe(each)
    for bound in ("0.1", "0.25", "1.0", "+Inf"):
        name = "askd_request_duration_seconds_bucket"
        assert value(metrics, name, **ASK, le=bound) == registry.get_sample_value(name, {**ASK, "le": bound})
    assert value(metrics, "askd_request_duration_seconds_count", **ASK) == len(seconds)
    assert value(metrics, "askd_requests_total", **ASK) == len(seconds)
    assert value(metrics, "askd_request_duration_seconds_sum", **ASK) == pytest.approx(sum(seconds))


def test_tallies_of_threads_add_up() -> None:
    """Each thread counts in its own tally; a scrape shows the sum, while they count, too."""
    metrics = Metrics(EDGES)

    def count() -> None:
        tally = metrics.tally()
        for number in range(500):
            tally.observe("/ask", "GET", 200 + number % 3, 0.1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        generate_latest(metrics.registry)
    for thread in threads:
        thread.join()
    total = sum(value(metrics, "askd_requests_total", **{**ASK, "code": code}) or 0 for code in ("200", "201", "202"))
    assert total == 2000


@given(st.text(min_size=1))
def test_methods_of_strangers_are_one(method: str) -> None:
    """A method that is not among the known ones is `other`, whatever it is."""
    metrics = Metrics(EDGES)
    tally = metrics.tally()
    for _ in range(3):
        tally.observe("/ask", f"X{method}", 405, 0.1)
    assert value(metrics, "askd_requests_total", route="/ask", method="other", code="405") == 3


def test_outcomes_are_timed() -> None:
    """A call of the code is counted under its outcome, with its seconds."""
    metrics = Metrics(EDGES)
    metrics.outcome("failed", 0.2)
    name = "askd_answerer_duration_seconds"
    assert [value(metrics, f"{name}_{part}", outcome="failed") for part in ("count", "sum")] == [1, 0.2]
    assert value(metrics, f"{name}_bucket", outcome="failed", le="0.25") == 1


def test_readings_are_asked_at_each_scrape() -> None:
    """A reading is called when the scrape comes, and not before; what does not apply is left out."""
    metrics = Metrics(EDGES)
    asked: list[int] = []

    def reading() -> Iterator[Metric]:
        asked.append(1)
        yield from gauge("some", "A gauge.", len(asked))
        yield from gauge("none", "Does not apply.", None)
        yield from results("looks", "Looks.", {"hit": 1, "miss": 0})
        yield from results("reloads", "Does not apply.", {"failed": None})

    metrics.read(reading)
    assert asked == []
    found = {family.name: family for family in families(generate_latest(metrics.registry).decode())}
    assert ({"some", "looks"} <= set(found), {"none", "reloads"} & set(found)) == (True, set())
    assert [(sample.labels["result"], sample.value) for sample in found["looks"].samples] == [("hit", 1), ("miss", 0)]
    assert value(metrics, "some") == 2


def test_two_metrics_share_nothing() -> None:
    """Each app counts for itself."""
    one, other = Metrics(EDGES), Metrics(EDGES)
    one.tally().observe("/ask", "GET", 200, 0.1)
    assert [value(each, "askd_requests_total", **ASK) for each in (one, other)] == [1, 0]


def test_a_scrape_shows_a_family_once() -> None:
    """The same registry twice is shown once."""
    registry = Metrics(EDGES).registry
    names = [family.name for family in Both(registry, registry).collect()]
    assert len(names) == len(set(names)) > 3


def test_the_last_example_of_a_bucket_counts() -> None:
    """Of the exchanges whose trace is kept each bucket shows the last, of all threads, in OpenMetrics alone."""
    metrics = Metrics(EDGES)
    for tally, name, seconds in zip([metrics.tally(), metrics.tally()] * 2, "abcd", (0.1, 0.2, 0.05, 9.0), strict=True):
        tally.observe("/ask", "GET", 200, seconds)
        tally.keep("/ask", "GET", 200, seconds, trace_id=name * 32, span_id=name * 16)
    text = choose_encoder("application/openmetrics-text; version=1.0.0")[0](metrics.registry).decode()
    shown = re.findall(r'le="([^"]+)".*trace_id="(.)', text)
    assert shown == [("0.1", "c"), ("0.25", "b"), ("+Inf", "d")]
    assert "trace_id" not in generate_latest(metrics.registry).decode()
