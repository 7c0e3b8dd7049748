"""Rates of `askd top`, computed from two scrapes."""

import math

import pytest

from askd.telemetry.metrics import Metrics
from askd.top.metrics_delta import compute_delta, parse_snapshot, quantile

SCRAPE = """\
askd_build_info{{version="1.2"}} 1
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{{http_response_status_code="200",http_route="/ask",le="0.1"}} {ok}
http_server_request_duration_seconds_bucket{{http_response_status_code="200",http_route="/ask",le="+Inf"}} {ok}
http_server_request_duration_seconds_count{{http_response_status_code="200",http_route="/ask"}} {ok}
http_server_request_duration_seconds_count{{http_response_status_code="503",http_route="/ask"}} {bad}
http_server_request_duration_seconds_count{{http_response_status_code="200",http_route="/metrics"}} 999
askd_shed_total{{reason="queue_full"}} {bad}
askd_cache_lookups_total{{result="hit"}} {ok}
askd_cache_lookups_total{{result="miss"}} {bad}
askd_answerer_in_flight 3
askd_concurrency_limit 16
askd_queue_length 2
askd_ready 1
"""


def test_rates_of_two_scrapes() -> None:
    """Rates are per second and count only /ask; the cache hit ratio is that of the interval."""
    before, after = (
        parse_snapshot(SCRAPE.format(ok=ok, bad=bad), at) for ok, bad, at in ((10, 0, 100.0), (40, 10, 102.0))
    )
    delta = compute_delta(before, after)
    assert (delta.request_rate, delta.error_rate, delta.shed_rate, delta.cache_hit_ratio) == (20.0, 5.0, 5.0, 0.75)
    assert (after.in_flight, after.concurrency_limit, math.isnan(after.queue_limit)) == (3.0, 16.0, True)


def test_restart_is_detected_by_smaller_counters() -> None:
    """If counters decreased, the process restarted: rates count from its start."""
    before, after = (parse_snapshot(SCRAPE.format(ok=ok, bad=0), at) for ok, at in ((100, 0.0), (10, 1.0)))
    assert compute_delta(before, after).request_rate == 10.0


def test_restart_is_detected_by_the_start_time() -> None:
    """A later start time is a restart, even if the counters increased."""
    scrape = SCRAPE + "process_start_time_seconds {started_at}\n"
    before, after = (
        parse_snapshot(scrape.format(ok=ok, bad=bad, started_at=started_at), at)
        for ok, bad, started_at, at in ((10, 9, 1000.5, 0.0), (20, 0, 1007.25, 1.0))
    )
    delta = compute_delta(before, after)
    assert (delta.request_rate, delta.shed_rate, delta.cache_hit_ratio) == (20.0, 0.0, 1.0)


def test_quantiles_match_prometheus() -> None:
    """Quantiles are interpolated within a bucket, infinite above the last bound, and NaN without samples."""
    buckets = {1.0: 50.0, 2.0: 100.0, math.inf: 100.0}
    assert (quantile(0.5, buckets), quantile(0.75, buckets)) == (1.0, 1.5)
    assert quantile(0.5, {1.0: 0.0, math.inf: 5.0}) == math.inf
    assert math.isnan(quantile(0.5, {1.0: 0.0, math.inf: 0.0}))
    assert math.isnan(quantile(0.5, {}))


def test_other_metrics_are_rejected() -> None:
    """Metrics of another program and invalid text are rejected."""
    for text in ("up 1\n", "<html>\n"):
        with pytest.raises(ValueError, match=r".+"):
            parse_snapshot(text, 0.0)


def test_metrics_of_a_new_server() -> None:
    """The metrics of a new server are a valid snapshot without requests."""
    from prometheus_client import generate_latest

    assert parse_snapshot(generate_latest(Metrics([1.0]).registry).decode(), 0.0).request_count == 0.0
