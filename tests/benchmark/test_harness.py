"""The benchmark's own arithmetic: a figure that is read wrongly is worse than none."""

import math
import sys
from pathlib import Path

import pytest

from . import load, measure, report, servers

REPORT = """Running 5s test @ http://127.0.0.1:2024/ask?q=hello
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   826.11us  212.09us   6.41ms   88.25%
  Latency Distribution
     50%  787.00us
     75%    0.85ms
     90%    0.98ms
     99%    1.34ms
  193313 requests in 5.00s, 30.97MB read
Requests/sec:  38662.60
Transfer/sec:      6.19MB
"""


def test_reads_the_rate_and_the_latencies_in_seconds() -> None:
    """A report of wrk gives answers a second, and the percentiles in seconds whatever unit they stand in."""
    sample = load.parse(REPORT)
    assert (sample.answers, sample.rate, sample.failures) == (193313, 38662.60, 0)
    assert math.isclose(sample.p50, 0.000787)
    assert math.isclose(sample.p99, 0.00134)


def test_counts_every_kind_of_failure() -> None:
    """Socket errors of each kind and answers other than 2xx and 3xx add up."""
    text = REPORT + "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n"
    assert load.parse(text).failures == 54321


def test_a_report_without_a_rate_is_refused() -> None:
    """What is no report of wrk raises, rather than to count as no load."""
    with pytest.raises(RuntimeError, match="no rate"):
        load.parse("unable to connect")


def test_the_median_is_taken_of_each_figure() -> None:
    """Median rate and median latency may come from different rounds; answers and failures are summed."""
    rounds = [load.Sample(5, 1, 3, 9, 0, 6), load.Sample(5, 2, 2, 8, 1, 4), load.Sample(5, 3, 1, 7, 2, 5)]
    assert load.median(rounds) == load.Sample(15, 2, 2, 8, 3, 5)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    """The percentile is one of the values: the smallest that the share of them does not exceed."""
    assert measure.percentile(range(100, 0, -1), share) == expected


def test_a_server_is_read_from_one_line() -> None:
    """In NAME=COMMAND=URL the command and the URL may hold equals signs of their own."""
    server = servers.given("mine=./mine --port={port} -x=1=http://127.0.0.1:{port}/ask?q=hello")
    assert server.name == "mine"
    assert server.command == "./mine --port={port} -x=1"
    assert server.url == "http://127.0.0.1:{port}/ask?q=hello"


@pytest.mark.parametrize("text", ["mine", "mine=./mine", "=./mine=http://x/", "mine==http://x/"])
def test_a_server_that_is_not_whole_is_refused(text: str) -> None:
    """A name, a command or a URL that is missing is an error that shows the form."""
    with pytest.raises(ValueError, match="give NAME=COMMAND=URL"):
        servers.given(text)


def test_a_server_is_ended_when_measuring_fails(tmp_path: Path) -> None:
    """The bare peer answers what askd answers, and its process is gone after a fault in the block."""
    started: list[servers.Running] = []

    def measure_and_fail() -> None:
        with servers.running(servers.BARE, core=None, folder=tmp_path) as process:
            started.append(process)
            assert process.wait_ready() > 0
            process.check()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure_and_fail()
    assert started[0].process.returncode is not None


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    """A server that does not start is an error with its last words, at once."""
    broken = servers.Server(
        name="broken", command=f"{sys.executable} -c 'exit(\"no such luck\")'", url="http://[::1]:1/"
    )
    with (
        servers.running(broken, core=None, folder=tmp_path) as process,
        pytest.raises(RuntimeError, match="no such luck"),
    ):
        process.wait_ready()


def test_the_table_shows_ratios_of_medians_and_whether_the_aim_is_met() -> None:
    """Throughput is shown as askd's median over the other's, with the aim and whether it is met."""
    one, two = load.Sample(9, 600, 0.001, 0.002, 0, 0.00005), load.Sample(9, 1000, 0.001, 0.002, 0, 0.00003)
    lines = report.throughput({"askd": [one], "bare aiohttp": [two], "FastAPI": [one]})
    assert "| bare aiohttp | 1,000 | 1,000–1,000 | 0.60 | ≥ 0.55: met | 30.0 | 0.60 | 1.00 | 2.00 | 0 |" in lines
    assert "| FastAPI | 600 | 600–600 | 1.00 | ≥ 3: missed | 50.0 | 1.00 | 1.00 | 2.00 | 0 |" in lines
