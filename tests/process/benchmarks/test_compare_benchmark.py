"""The benchmark's own arithmetic: a figure that is read wrongly is worse than none."""

import math
import socket
import sys
from pathlib import Path

import pytest

from tests.figures import numbers, wire

from . import half, idle, load, measure, observing, overload, refusals, report, servers

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
    """A plan of two rounds, with the servers on any core."""
    return measure.Plan(rounds=2, seconds=5.0, connections=2, starts=1, server_core=None, load_core=0, folder=tmp_path)


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


@pytest.mark.parametrize(("status", "failures"), [(200, 193003), (304, 193003), (503, 350)])
def test_a_refusal_that_is_meant_is_no_failure(status: int, failures: int) -> None:
    """Where the server is to refuse, failures are the answers that are no refusals, and the socket errors."""
    text = REPORT + "  Socket errors: connect 0, read 10, write 0, timeout 10\n  Non-2xx or 3xx responses: 192983\n"
    assert load.parse(text, status).failures == failures


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
    lines = report.throughput({"askd": [one], "raw asyncio protocol": [two], "FastAPI": [one]})
    assert (
        "| raw asyncio protocol | 1,000 | 1,000–1,000 | 0.60 | ≥ 0.45: met | 30.0 | 0.60 | 1.00 | 2.00 | 0 |" in lines
    )
    assert "| FastAPI | 600 | 600–600 | 1.00 | ≥ 9: missed | 50.0 | 1.00 | 1.00 | 2.00 | 0 |" in lines


def test_code_has_an_aim_of_its_own() -> None:
    """A trivial function is judged against the bare app by another aim than an answer at hand."""
    one, two = load.Sample(9, 700, 0.001, 0.002, 0, 0.00005), load.Sample(9, 1000, 0.001, 0.002, 0, 0.00003)
    lines = report.code({"askd, async function": [one], "bare aiohttp": [two]})
    assert lines[0] == "## askd, async function"
    assert "| bare aiohttp | 1,000 | 1,000–1,000 | 0.70 | ≥ 0.7: met | 30.0 | 0.60 | 1.00 | 2.00 | 0 |" in lines


def test_servers_take_turns_after_a_warm_up(plan: measure.Plan) -> None:
    """Each is taken once for a warm-up of at most 2 s that does not count, then all in turns."""
    taken: list[tuple[str, float]] = []

    def take(name: str, seconds: float) -> str:
        taken.append((name, seconds))
        return f"{name}{len(taken)}"

    found = measure.turns({"a": lambda seconds: take("a", seconds), "b": lambda seconds: take("b", seconds)}, plan)
    assert taken == [("a", 2.0), ("b", 2.0), *[("a", 5.0), ("b", 5.0)] * 2]
    assert found == {"a": ["a3", "a5"], "b": ["b4", "b6"]}


@pytest.mark.parametrize(
    ("askd", "bare", "generator", "rate", "why"),
    [
        (30_000, 30_000, 40_000, 15_000, "half of askd's maximum"),
        (60_000, 30_000, 40_000, 24_000, "80 % of the bare app's maximum"),
        (60_000, 40_000, 20_000, 16_000, "80 % of what the generator can do"),
    ],
)
def test_no_more_is_offered_than_all_can_keep_up_with(
    askd: float, bare: float, generator: float, rate: float, why: str
) -> None:
    """Half of askd's maximum is offered, or the most that the bare app and the generator stand; it is said which."""
    assert half.offered(askd, bare, generator)[0] == pytest.approx(rate)
    assert half.offered(askd, bare, generator)[1].startswith(why)


def sample(outcomes: dict[str, int], *, p99: float, late: float) -> numbers.Sample:
    """A second of the suite's own load."""
    offered = sum(outcomes.values())
    return numbers.Sample(
        seconds=1, offered=offered, outcomes=outcomes, p50=0.001, p99=p99, retry_after={}, late=late, busy=1
    )


def test_latencies_at_one_rate_are_compared() -> None:
    """The median p99 of askd is judged against the bare app's; a generator as late as half of them is told of."""
    turns = [sample({"200": 90}, p99=each, late=0.0004) for each in (0.002, 0.001, 0.009)]
    bare = [sample({"200": 90, "gave up": 1}, p99=0.004, late=0.0012)]
    lines = half.lines(half.Half(90, "a rate", {"askd": turns, "bare aiohttp": bare}))
    assert "| askd | 90 | 1.00 | 2.00 | 0.50 | ≤ 1.0: met | 0 |" in lines
    assert "| bare aiohttp | 90 | 1.00 | 4.00 | 1.00 |  | 1 |" in lines
    assert lines[-1].startswith("90 questions a second: a rate; the generator COULD NOT KEEP UP")


def test_what_calls_no_code_is_compared_with_the_bare_app() -> None:
    """Each is judged by its throughput as a multiple of the bare app's."""
    runs = {"askd, 304": 2000.0, "askd, 503": 1400.0, "bare aiohttp": 1000.0}
    found = {name: [load.Sample(9, rate, 0.001, 0.002, 0, 1 / 30 / rate)] for name, rate in runs.items()}
    lines = refusals.lines(found)
    assert "| askd, 304 | 2,000 | 2.00 | ≥ 1.5: met | 16.7 | 2.00 | 1.00 | 2.00 | 0 |" in lines
    assert "| askd, 503 | 1,400 | 1.40 | ≥ 1.5: missed | 23.8 | 1.40 | 1.00 | 2.00 | 0 |" in lines


def test_goodput_is_shown_as_a_share_of_its_best() -> None:
    """The best is that of any load in the same turn, the median counts, and each overload has its own aim."""
    offered = {1.0: [200, 100, 300], 10.0: [180, 90, 300], 30.0: [172, 90, 240]}
    found = {
        factor: [sample({"200": answers, "503": 1}, p99=answers / 1000, late=0) for answers in turns]
        for factor, turns in offered.items()
    }
    lines = overload.lines(overload.Overload(200, found))
    assert "| 1× | 200 | 200.0 | 1.000 | 1.000–1.000 |  | 300.0 | 600 × 200, 3 × 503 |" in lines
    assert "| 10× | 2,000 | 180.0 | 0.900 | 0.900–1.000 | ≥ 0.95: missed | 300.0 | 570 × 200, 3 × 503 |" in lines
    assert "| 30× | 6,000 | 172.0 | 0.860 | 0.800–0.900 | ≥ 0.85: met | 240.0 | 502 × 200, 3 × 503 |" in lines


def test_idle_connections_are_compared() -> None:
    """The median memory of a connection is judged against the bare app's."""
    lines = idle.lines({"askd": [7168.0, 6144.0, 9216.0], "bare aiohttp": [5120.0]})
    assert "| askd | 7.0 | 6.0–9.0 | 1.40 | ≤ 1.2: missed |" in lines


def test_a_connection_that_was_closed_is_not_idle() -> None:
    """A connection is looked at without waiting: it is open until its other end has closed it."""
    near, far = socket.socketpair()
    near.setblocking(False)
    with near:
        with far:
            assert idle._open(near)
        assert not idle._open(near)


def test_what_observing_costs_is_that_of_the_best_turns() -> None:
    """The least CPU time of askd is judged against the least of the server of which nothing is observed."""
    costs = {"askd": [18e-6, 11e-6], observing.SILENT.name: [10e-6], observing.UNOBSERVED.name: [9e-6, 8e-6]}
    found = {name: [load.Sample(9, 1, 1, 1, 0, cpu) for cpu in each] for name, each in costs.items()}
    lines = observing.lines(found)
    assert f"| {observing.SILENT.name} | 10.0 | 1.0 | 1.10 |  | 0 |" in lines
    assert f"| {observing.UNOBSERVED.name} | 8.0 | 3.0 | 1.38 | ≤ 1.2: missed | 0 |" in lines


def test_what_observes_nothing_is_askd_all_the_same(plan: measure.Plan) -> None:
    """Without ids and metrics the same answer comes; askd as it is does not pass for that."""
    with measure.started([observing.UNOBSERVED, servers.ASKD], plan) as (unobserved, askd):
        observing._prove(unobserved)
        with pytest.raises(RuntimeError, match="expected nothing"):
            observing._prove(askd)


def test_each_answer_without_the_code_is_what_is_meant(plan: measure.Plan) -> None:
    """The function's answer is cached, the book's ETag gives a 304, and the place is held as long as it should be."""
    with measure.started([refusals.CACHED, refusals.UNCHANGED, refusals.FULL], plan) as (cached, unchanged, full):
        assert "hit" in cached.ask()[1]["Cache-Status"]
        assert "If-None-Match" in refusals._script(unchanged, plan.folder).read_text(encoding="utf-8")
        with refusals._held(full):
            assert full.ask()[0] == 503


def test_the_raw_peer_answers_each_blank_line(plan: measure.Plan) -> None:
    """However requests are cut or joined, each has one response, with the answer of the others."""
    with (
        measure.started([servers.RAW], plan) as (raw,),
        socket.create_connection(("127.0.0.1", raw.port), timeout=9) as client,
    ):
        request, data = wire.get("/ask?q=hello"), b""
        for part in (request + request[:-2], request[-2:] + request):
            client.sendall(part)
        for _ in range(3):
            while (reply := wire.read(data)) is None:
                data += client.recv(1 << 16)
            assert reply.body == b'{"answer":"Hi"}'
            data = data[reply.size :]
    assert not data
