"""Metrics of the code from several worker processes."""

from typing import Final

from askd.answerers.worker_processes.messages import MetricFamily, MetricSample
from askd.answerers.worker_processes.metrics import merge_families


def counter(value: float, created: float, **labels: str) -> MetricFamily:
    """Return a counter with one sample and its time of creation."""
    samples = [MetricSample("asked_total", labels, value), MetricSample("asked_created", labels, created)]
    return MetricFamily("asked", "Questions.", "counter", "", samples)


def gauge(value: float) -> MetricFamily:
    """Return a gauge without labels."""
    return MetricFamily("level", "Level.", "gauge", "", [MetricSample("level", {}, value)])


def samples_by_name(families: list[MetricFamily]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the values by name and labels."""
    return {(s.name, tuple(s.labels.items())): s.value for family in families for s in family.samples}


RETIRED: Final = [counter(100, 1, lang="en")]


def test_counters_are_added_up() -> None:
    """Counters of all workers, and of those that have ended, are added; the time of creation is the earliest."""
    workers = [("1", [counter(1, 10, lang="en")]), ("2", [counter(2, 9, lang="en"), counter(5, 12, lang="de")])]
    assert samples_by_name(merge_families(workers, RETIRED)) == {
        ("asked_total", (("lang", "en"),)): 103,
        ("asked_created", (("lang", "en"),)): 1,
        ("asked_total", (("lang", "de"),)): 5,
        ("asked_created", (("lang", "de"),)): 12,
    }


def test_gauges_have_the_number_of_their_worker() -> None:
    """Gauges are not added: each worker has its own series."""
    families = merge_families([("1", [gauge(3)]), ("2", [gauge(4)])], [])
    assert samples_by_name(families) == {
        ("level", (("worker_process", "1"),)): 3,
        ("level", (("worker_process", "2"),)): 4,
    }


def test_gauges_of_a_successor_replace_those_of_its_predecessor() -> None:
    """While a worker and its successor both run, the gauge is that of the successor, and counters are added up."""
    families = merge_families([("1", [gauge(3), counter(5, 1)]), ("1", [gauge(4), counter(1, 2)])], [])
    values = samples_by_name(families)
    assert values["level", (("worker_process", "1"),)] == 4
    assert values["asked_total", ()] == 6
