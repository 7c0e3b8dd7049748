"""What one scrape says of a server."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

ROUTE: Final = "/ask"
_STARTED: Final = "process_start_time_seconds"


class Sample(NamedTuple):
    """One scrape; `at` is when it was made, in seconds that only rise. Counts rise from the server's start.

    What a server does not tell is NaN as a gauge, and 0 as a counter.
    """

    at: float
    started: float
    """When its process began, in seconds of the Unix epoch."""
    requests: float
    failed: float
    """Answers with a status of 5xx."""
    buckets: Mapping[float, float]
    """Requests that took so many seconds at most, by that bound; the last is infinite."""
    shed: float
    hits: float
    looked_up: float
    """Look-ups in the cache, hits among them; those that passed it by are left out."""
    in_flight: float
    limit: float
    queue: float
    queue_limit: float
    ready: float
    version: str
    kind: str


def sample(text: str, at: float) -> Sample:
    """Read a scrape in Prometheus' text format. Raises ValueError where it is none, or not one of askd's."""
    found = _Found(text)
    if not found.version:
        raise ValueError("its metrics are not askd's")
    results = found.by("askd_cache_results_total", "result")
    return Sample(
        at=at,
        started=found.gauge(_STARTED),
        requests=sum(found.by("askd_requests_total", "code").values()),
        failed=sum(count for code, count in found.by("askd_requests_total", "code").items() if code.startswith("5")),
        buckets={float(le): n for le, n in found.by("askd_request_duration_seconds_bucket", "le").items()},
        shed=sum(found.by("askd_shed_total", "reason").values()),
        hits=results.get("hit", 0.0),
        looked_up=sum(results.get(name, 0.0) for name in ("hit", "miss", "expired")),
        in_flight=found.gauge("askd_answerer_in_flight"),
        limit=found.gauge("askd_concurrency_limit"),
        queue=found.gauge("askd_queue"),
        queue_limit=found.gauge("askd_queue_limit"),
        ready=found.gauge("askd_ready"),
        version=found.version,
        kind=found.kind,
    )


class _Found:
    """The samples of a scrape by name; of those with a route, what was asked."""

    def __init__(self, text: str) -> None:
        self._samples: defaultdict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for each in family.samples if family.name.startswith("askd_") or family.name == _STARTED else ():
                if each.labels.get("route", ROUTE).endswith(ROUTE):
                    self._samples[each.name].append((each.labels, each.value))
        self.version = self._label("askd_build_info", "version")
        self.kind = self._label("askd_answerer_info", "kind")

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the sum of the samples of this name for each value of the label."""
        sums: defaultdict[str, float] = defaultdict(float)
        for labels, value in self._samples[name]:
            sums[labels.get(label, "")] += value
        return sums

    def gauge(self, name: str) -> float:
        return next((value for _, value in self._samples[name]), math.nan)

    def _label(self, name: str, label: str) -> str:
        return next((labels.get(label, "") for labels, _ in self._samples[name]), "")
