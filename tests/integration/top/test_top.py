"""`askd top`: from scrapes to rates, and to lines of 80 columns."""

import math

import pytest

from service.cli import main
from service.telemetry.metrics import Metrics
from service.top.change import change, quantile
from service.top.sample import sample
from service.top.view import WIDTH, Seen, fitted, head, line, panel, row, time
from tests.client.served import Served
from tests.fakes import Upper
from tests.telemetry.captured import Captured

SCRAPE = """\
askd_build_info{{version="1.2"}} 1
askd_requests_total{{code="200",method="GET",route="/ask"}} {ok}
askd_requests_total{{code="503",method="GET",route="/ask"}} {bad}
askd_requests_total{{code="200",method="GET",route="/metrics"}} 999
askd_request_duration_seconds_bucket{{code="200",le="0.1",method="GET",route="/ask"}} {ok}
askd_request_duration_seconds_bucket{{code="200",le="+Inf",method="GET",route="/ask"}} {ok}
askd_shed_total{{reason="late"}} {bad}
askd_cache_results_total{{result="hit"}} {ok}
askd_cache_results_total{{result="miss"}} {bad}
askd_answerer_in_flight 3
askd_concurrency_limit 16
askd_queue 2
askd_ready 1
"""


def test_rates_come_from_two_scrapes() -> None:
    """Only questions count; rates are per second, the share is of what was looked up in between."""
    one, two = (sample(SCRAPE.format(ok=ok, bad=bad), at) for ok, bad, at in ((10, 0, 100.0), (40, 10, 102.0)))
    found = change(one, two)
    assert (found.rate, found.failed, found.shed, found.hits) == (20.0, 5.0, 5.0, 0.75)
    assert (two.in_flight, two.limit, math.isnan(two.queue_limit)) == (3.0, 16.0, True)


def test_a_restart_counts_from_its_start() -> None:
    """Counts that fell are those of a new process: nothing is negative."""
    one, two = (sample(SCRAPE.format(ok=ok, bad=0), at) for ok, at in ((100, 0.0), (10, 1.0)))
    assert change(one, two).rate == 10.0


def test_a_restart_shows_by_when_the_process_began() -> None:
    """A new process that has been asked more often than the old one is a new one all the same."""
    began = SCRAPE + "process_start_time_seconds {began}\n"
    one, two = (
        sample(began.format(ok=ok, bad=bad, began=began_at), at)
        for ok, bad, began_at, at in ((10, 9, 1000.5, 0.0), (20, 0, 1007.25, 1.0))
    )
    found = change(one, two)
    assert (found.rate, found.shed, found.hits) == (20.0, 0.0, 1.0)


def test_a_small_terminal_says_what_it_leaves_out() -> None:
    """Lines are cut at the right, and rows at the end, where the last one says how many are not shown."""
    lines = ["server", "one", "two", "three"]
    assert fitted(lines, 79, 4) == lines
    assert fitted(lines, 3, 4) == ["ser", "one", "two", "thr"]
    assert fitted(lines, 79, 3) == ["server", "one", "… 2 more; a higher terminal shows them"]
    assert fitted(lines, 79, 1) == ["… 4 more; a higher terminal shows them"]


def test_quantiles_are_those_of_prometheus() -> None:
    """Within a bucket requests lie evenly; above the last bound it is infinite, and none is NaN."""
    buckets = {1.0: 50.0, 2.0: 100.0, math.inf: 100.0}
    assert (quantile(0.5, buckets), quantile(0.75, buckets)) == (1.0, 1.5)
    assert quantile(0.5, {1.0: 0.0, math.inf: 5.0}) == math.inf
    assert math.isnan(quantile(0.5, {1.0: 0.0, math.inf: 0.0}))
    assert math.isnan(quantile(0.5, {}))


def test_what_is_not_askds_is_refused() -> None:
    """Another program's metrics, and what is none at all, are no sample."""
    for text in ("up 1\n", "<html>\n"):
        with pytest.raises(ValueError, match=r".+"):
            sample(text, 0.0)


def test_askds_own_metrics_are_read() -> None:
    """What a new server exposes is a sample, with nothing asked yet."""
    from prometheus_client import generate_latest

    assert sample(generate_latest(Metrics([1.0]).registry).decode(), 0.0).requests == 0.0


def test_lines_fit_80_columns() -> None:
    """Rows and panel fit whatever the name and the fault are; a server that fails is told, too."""
    now = sample(SCRAPE.format(ok=10, bad=0), 1.0)
    since = change(sample(SCRAPE.format(ok=0, bad=0), 0.0), now)
    seen = Seen("http://" + "long." * 30, now, since)
    lost = Seen("http://a", fault="connect: " + "nothing " * 20)
    lines = [head(), row(seen), row(lost), *panel(seen, [since] * 99), *panel(lost, [])]
    assert max(map(len, lines)) <= WIDTH
    assert "3/16" in row(seen)
    assert "nothing" in row(lost)


def test_ticks_rise_with_their_values() -> None:
    """From 0 to the largest; what is not known is blank."""
    assert line([0.0, 1.0, 8.0, math.nan]) == " ▂█ "
    assert [time(value) for value in (math.nan, math.inf, 0.0123, 0.5, 12.0)] == [
        "–",
        "longest",
        "12.3ms",
        "500ms",
        "12.0s",
    ]


def test_once_shows_a_row_for_each_server(capsys: pytest.CaptureFixture[str]) -> None:
    """A real server and one that is not there are both told of; where none is there it is 3."""
    with Captured(), Served(Upper()) as url:
        assert main(["top", url, "http://nosuch.invalid", "--once", "--interval", "100ms"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0].split()[0], len(lines)) == ("server", 3)
    assert "nosuch.invalid does not resolve" in lines[2]
    assert main(["top", "http://nosuch.invalid", "--once", "--interval", "100ms"]) == 3
    assert main(["top", "http://a", "--interval", "0"]) == 2
