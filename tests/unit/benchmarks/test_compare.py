"""Parsing, arithmetic and reports of the comparison benchmark."""

import math
import socket
import sys
from pathlib import Path

import pytest

from benchmarks.compare import (
    askd_under_overload,
    half_load_latency,
    idle_connections,
    measure,
    metrics_and_log_cost,
    report,
    responses_without_code,
    servers,
    wrk,
)
from benchmarks.load import raw_http, step_result

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


@pytest.fixture
def plan(tmp_path: Path) -> measure.Plan:
    """A plan of two rounds, with servers on any core."""
    return measure.Plan(rounds=2, seconds=5.0, connections=2, starts=1, server_core=None, load_core=0, folder=tmp_path)


def test_wrk_report_is_parsed() -> None:
    """A report of wrk gives the rate in responses per second, and the percentiles in seconds."""
    sample = wrk.parse_report(REPORT)
    assert (sample.responses, sample.rate, sample.failures) == (193313, 38662.60, 0)
    assert math.isclose(sample.p50, 0.000787)
    assert math.isclose(sample.p99, 0.00134)


def test_all_failures_are_counted() -> None:
    """Failures are socket errors of all kinds plus responses other than 2xx and 3xx."""
    text = REPORT + "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n"
    assert wrk.parse_report(text).failures == 54321


@pytest.mark.parametrize(("status", "failures"), [(200, 193003), (304, 193003), (503, 350)])
def test_expected_status_is_not_a_failure(status: int, failures: int) -> None:
    """Responses with the expected status are not failures, even if it is an error status."""
    text = REPORT + "  Socket errors: connect 0, read 10, write 0, timeout 10\n  Non-2xx or 3xx responses: 192983\n"
    assert wrk.parse_report(text, status).failures == failures


def test_report_without_a_rate_is_rejected() -> None:
    """Text that is not a report of wrk raises an error instead of counting as no load."""
    with pytest.raises(RuntimeError, match="no rate"):
        wrk.parse_report("unable to connect")


def test_median_of_each_figure() -> None:
    """Rates and latencies are medians over the rounds; responses and failures are sums."""
    rounds = [wrk.Sample(5, 1, 3, 9, 0, 6), wrk.Sample(5, 2, 2, 8, 1, 4), wrk.Sample(5, 3, 1, 7, 2, 5)]
    assert wrk.median(rounds) == wrk.Sample(15, 2, 2, 8, 3, 5)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    """The percentile is one of the values, by the nearest-rank method."""
    assert measure.percentile(range(100, 0, -1), share) == expected


def test_server_is_parsed_from_one_line() -> None:
    """In NAME=COMMAND=URL, the command and the URL may contain equals signs."""
    server = servers.parse_server("mine=./mine --port={port} -x=1=http://127.0.0.1:{port}/ask?q=hello")
    assert server.name == "mine"
    assert server.command == "./mine --port={port} -x=1"
    assert server.url == "http://127.0.0.1:{port}/ask?q=hello"


@pytest.mark.parametrize("text", ["mine", "mine=./mine", "=./mine=http://x/", "mine==http://x/"])
def test_incomplete_server_is_rejected(text: str) -> None:
    """A missing name, command or URL is an error that shows the expected form."""
    with pytest.raises(ValueError, match="give NAME=COMMAND=URL"):
        servers.parse_server(text)


def test_server_is_stopped_after_an_error(tmp_path: Path) -> None:
    """The process of a server is stopped if the measurement raises an exception."""
    started: list[servers.RunningServer] = []

    def measure_and_fail() -> None:
        with servers.running_server(servers.BARE, core=None, folder=tmp_path) as process:
            started.append(process)
            assert process.wait_ready() > 0
            process.check()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure_and_fail()
    assert started[0].process.returncode is not None


def test_server_that_exits_shows_its_log(tmp_path: Path) -> None:
    """A server that exits at the start is an error with the end of its log."""
    broken = servers.Server(
        name="broken", command=f"{sys.executable} -c 'exit(\"no such luck\")'", url="http://[::1]:1/"
    )
    with (
        servers.running_server(broken, core=None, folder=tmp_path) as process,
        pytest.raises(RuntimeError, match="no such luck"),
    ):
        process.wait_ready()


def test_throughput_table() -> None:
    """Throughput is shown as the ratio of askd's median to the other's, with the target."""
    one, two = wrk.Sample(9, 600, 0.001, 0.002, 0, 0.00005), wrk.Sample(9, 1000, 0.001, 0.002, 0, 0.00003)
    lines = report.throughput({"askd": [one], "raw asyncio protocol": [two], "FastAPI": [one]})
    assert (
        "| raw asyncio protocol | 1,000 | 1,000–1,000 | 0.60 | ≥ 0.45: met | 30.0 | 0.60 | 1.00 | 2.00 | 0 |" in lines
    )
    assert "| FastAPI | 600 | 600–600 | 1.00 | ≥ 9: missed | 50.0 | 1.00 | 1.00 | 2.00 | 0 |" in lines


def test_function_table() -> None:
    """A trivial function has a different target than a cached response."""
    one, two = wrk.Sample(9, 700, 0.001, 0.002, 0, 0.00005), wrk.Sample(9, 1000, 0.001, 0.002, 0, 0.00003)
    lines = report.functions({"askd, async function": [one], "bare aiohttp": [two]})
    assert lines[0] == "## askd, async function"
    assert "| bare aiohttp | 1,000 | 1,000–1,000 | 0.70 | ≥ 0.7: met | 30.0 | 0.60 | 1.00 | 2.00 | 0 |" in lines


def test_servers_alternate_after_a_warm_up(plan: measure.Plan) -> None:
    """Each server gets a warm-up of at most 2 s that does not count, then the rounds alternate."""
    calls: list[tuple[str, float]] = []

    def measure_server(name: str, seconds: float) -> str:
        calls.append((name, seconds))
        return f"{name}{len(calls)}"

    results = measure.run_alternately(
        {"a": lambda seconds: measure_server("a", seconds), "b": lambda seconds: measure_server("b", seconds)}, plan
    )
    assert calls == [("a", 2.0), ("b", 2.0), *[("a", 5.0), ("b", 5.0)] * 2]
    assert results == {"a": ["a3", "a5"], "b": ["b4", "b6"]}


@pytest.mark.parametrize(
    ("askd", "bare", "generator", "rate", "reason"),
    [
        (30_000, 30_000, 40_000, 15_000, "half of askd's maximum"),
        (60_000, 30_000, 40_000, 24_000, "80 % of the bare app's maximum"),
        (60_000, 40_000, 20_000, 16_000, "80 % of the generator"),
    ],
)
def test_offered_rate_suits_all_servers(askd: float, bare: float, generator: float, rate: float, reason: str) -> None:
    """The offered rate is half of askd's maximum, limited by the bare app and the generator; the reason is shown."""
    assert half_load_latency.choose_rate(askd, bare, generator)[0] == pytest.approx(rate)
    assert half_load_latency.choose_rate(askd, bare, generator)[1].startswith(reason)


def sample(outcomes: dict[str, int], *, p99: float, lag: float) -> step_result.StepResult:
    """Return a sample of one second of load."""
    offered = sum(outcomes.values())
    return step_result.StepResult(
        p99_shed=-1.0,
        seconds=1,
        offered=offered,
        outcomes=outcomes,
        p50=0.001,
        p99=p99,
        retry_after={},
        generator_lag=lag,
        generator_cpu_share=1,
    )


def test_latency_table() -> None:
    """The median p99 is compared with that of the bare app; a generator that could not keep up is reported."""
    rounds = [sample({"200": 90}, p99=p99, lag=0.0004) for p99 in (0.002, 0.001, 0.009)]
    bare = [sample({"200": 90, "gave up": 1}, p99=0.004, lag=0.0012)]
    lines = half_load_latency.lines(
        half_load_latency.HalfLoadResult(90, "a rate", {"askd": rounds, "bare aiohttp": bare})
    )
    assert "| askd | 90 | 1.00 | 2.00 | 0.50 | ≤ 1.0: met | 0 |" in lines
    assert "| bare aiohttp | 90 | 1.00 | 4.00 | 1.00 |  | 1 |" in lines
    assert lines[-1].startswith("90 requests per second: a rate; the generator COULD NOT KEEP UP")


def test_table_of_responses_without_code() -> None:
    """Throughput is compared with that of the bare app."""
    runs = {"askd, 304": 2000.0, "askd, 503": 1400.0, "bare aiohttp": 1000.0}
    results = {name: [wrk.Sample(9, rate, 0.001, 0.002, 0, 1 / 30 / rate)] for name, rate in runs.items()}
    lines = responses_without_code.lines(results)
    assert "| askd, 304 | 2,000 | 2.00 | ≥ 1.5: met | 16.7 | 2.00 | 1.00 | 2.00 | 0 |" in lines
    assert "| askd, 503 | 1,400 | 1.40 | ≥ 1.5: missed | 23.8 | 1.40 | 1.00 | 2.00 | 0 |" in lines


def test_goodput_table() -> None:
    """Goodput is shown as the median share of the best load in the same round, with a target for each overload."""
    offered = {1.0: [200, 100, 300], 10.0: [180, 90, 300], 30.0: [172, 90, 240]}
    results = {
        factor: [sample({"200": answers, "503": 1}, p99=answers / 1000, lag=0) for answers in rounds]
        for factor, rounds in offered.items()
    }
    lines = askd_under_overload.lines(askd_under_overload.OverloadResult(200, results))
    assert "| 1× | 200 | 200.0 | 1.000 | 1.000–1.000 |  | 300.0 | 600 × 200, 3 × 503 |" in lines
    assert "| 10× | 2,000 | 180.0 | 0.900 | 0.900–1.000 | ≥ 0.95: missed | 300.0 | 570 × 200, 3 × 503 |" in lines
    assert "| 30× | 6,000 | 172.0 | 0.860 | 0.800–0.900 | ≥ 0.85: met | 240.0 | 502 × 200, 3 × 503 |" in lines


def test_idle_connection_table() -> None:
    """The median memory of a connection is compared with that of the bare app."""
    lines = idle_connections.lines({"askd": [7168.0, 6144.0, 9216.0], "bare aiohttp": [5120.0]})
    assert "| askd | 7.0 | 6.0–9.0 | 1.40 | ≤ 1.2: missed |" in lines


def test_closed_connection_is_not_idle() -> None:
    """A connection is open until the other end has closed it."""
    near, far = socket.socketpair()
    near.setblocking(False)
    with near:
        with far:
            assert idle_connections._is_open(near)
        assert not idle_connections._is_open(near)


def test_observability_cost_table() -> None:
    """The least CPU time of askd is compared with the least of the server without log and metrics."""
    costs = {
        "askd": [18e-6, 11e-6],
        metrics_and_log_cost.ASKD_WITHOUT_LOG.name: [10e-6],
        metrics_and_log_cost.ASKD_WITHOUT_METRICS.name: [9e-6, 8e-6],
    }
    results = {name: [wrk.Sample(9, 1, 1, 1, 0, cpu) for cpu in values] for name, values in costs.items()}
    lines = metrics_and_log_cost.lines(results)
    assert f"| {metrics_and_log_cost.ASKD_WITHOUT_LOG.name} | 10.0 | 1.0 | 1.10 |  | 0 |" in lines
    assert f"| {metrics_and_log_cost.ASKD_WITHOUT_METRICS.name} | 8.0 | 3.0 | 1.38 | ≤ 1.2: missed | 0 |" in lines


@pytest.mark.slow
def test_server_without_observability(plan: measure.Plan) -> None:
    """The server without log and metrics gives the same answer; the check rejects the normal askd."""
    with measure.running_servers([metrics_and_log_cost.ASKD_WITHOUT_METRICS, servers.ASKD], plan) as (unobserved, askd):
        metrics_and_log_cost._check_nothing_counted(unobserved)
        with pytest.raises(RuntimeError, match="expected nothing"):
            metrics_and_log_cost._check_nothing_counted(askd)


@pytest.mark.slow
def test_servers_of_responses_without_code(plan: measure.Plan) -> None:
    """The function's answer is cached, the book's ETag gives a 304, and the only permit is held."""
    with measure.running_servers(
        [
            responses_without_code.ASKD_CACHED,
            responses_without_code.ASKD_NOT_MODIFIED,
            responses_without_code.ASKD_AT_LIMIT,
        ],
        plan,
    ) as (
        cached,
        not_modified,
        at_limit,
    ):
        assert "hit" in cached.ask()[1]["Cache-Status"]
        assert "If-None-Match" in responses_without_code._conditional_get_script(not_modified, plan.folder).read_text(
            encoding="utf-8"
        )
        with responses_without_code._occupied_slot(at_limit):
            assert at_limit.ask()[0] == 503


def test_raw_server_answers_split_and_joined_requests(plan: measure.Plan) -> None:
    """Requests that are split or joined get one response each."""
    with (
        measure.running_servers([servers.RAW], plan) as (raw,),
        socket.create_connection(("127.0.0.1", raw.port), timeout=9) as client,
    ):
        request, data = raw_http.get_request("/ask?q=hello"), b""
        for part in (request + request[:-2], request[-2:] + request):
            client.sendall(part)
        for _ in range(3):
            while (response := raw_http.parse_response(data)) is None:
                data += client.recv(1 << 16)
            assert response.body == b'{"answer":"Hi"}'
            data = data[response.size :]
    assert not data
