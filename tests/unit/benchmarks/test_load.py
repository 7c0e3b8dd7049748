"""Load generator, arithmetic and report of the load benchmark."""

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from benchmarks.load import __main__ as command
from benchmarks.load import generator_process, raw_http, report, run_options
from benchmarks.load.generator import ConnectionPool
from benchmarks.load.no_retry_client import NoRetryClient, response_outcome
from benchmarks.load.phases import Phase, Step
from benchmarks.load.polling import poll
from benchmarks.load.scenario_context import ScenarioContext, ScenarioSkipped
from benchmarks.load.slow_client import SlowClient, open_client_ports
from benchmarks.load.step_result import StepResult, Window, percentile, recovery_seconds

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi"
SHED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nHi"


class FakeServer(asyncio.Protocol):
    """A server with one response to everything, delayed for the first request. With None, it never responds."""

    def __init__(self, response: bytes | None = OK, *, first_delay: float = 0.0) -> None:
        self.response = response
        self.first_delay = first_delay
        self.requests = 0
        self.connections = 0
        self.transport: asyncio.Transport | None = None

    def __call__(self) -> "FakeConnection":
        """Create the protocol of a connection."""
        self.connections += 1
        return FakeConnection(self)


class FakeConnection(asyncio.Protocol):
    """A connection of a FakeServer."""

    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = self.fake.transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to a request."""
        self.fake.requests += 1
        delay = self.fake.first_delay if self.fake.requests == 1 else 0.0
        asyncio.get_running_loop().call_later(delay, self.respond)

    def respond(self) -> None:
        """Send the response. An empty one, and one with `Connection: close`, closes the connection."""
        response = self.fake.response
        if response is None:
            return
        self.transport.write(response)
        if not response or b"close" in response:
            self.transport.close()


StartServer = Callable[[FakeServer], "asyncio.Future[int]"]


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """`start_server(fake)` serves a fake on a free port, which it returns."""
    servers: list[asyncio.Server] = []

    async def serve(fake: FakeServer) -> int:
        servers.append(await asyncio.get_running_loop().create_server(fake, "127.0.0.1", 0))
        port: int = servers[-1].sockets[0].getsockname()[1]
        return port

    yield lambda fake: asyncio.ensure_future(serve(fake))
    for server in servers:
        server.close()


async def run_load(phase: Phase) -> StepResult:
    """Generate load in this process. Returns the sample of the first step."""
    return (await ConnectionPool(phase).run())[0].summarise(window=phase.window, cpu_share=0.0)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, for up to 9 s."""

    async def check() -> bool:
        return condition()

    assert await poll(check, 9, 0.001) is not None


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    """The percentile is one of the values, by the nearest-rank method."""
    assert percentile(range(100, 0, -1), share) == expected
    assert math.isnan(percentile([], share))


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([Window(0.0, 9, 0, 0.01), Window(0.5, 9, 0, 0.01)], 0.0),
        ([Window(0.0, 9, 0, 0.5), Window(0.5, 9, 0, 0.01), Window(1.0, 9, 0, 0.01)], 0.5),
        ([Window(0.0, 9, 0, 0.01), Window(0.5, 9, 1, 0.01), Window(1.0, 9, 0, 0.01)], math.inf),
        ([Window(0.0, 0, 0, -1), Window(0.5, 0, 0, -1)], math.inf),
        ([], math.inf),
    ],
)
def test_recovery_needs_two_normal_windows(windows: list[Window], expected: float) -> None:
    """Recovery begins with two windows in a row that have responses, no errors, and normal latencies."""
    assert recovery_seconds(windows, 0.02) == expected


@pytest.mark.parametrize(
    "data",
    [
        OK,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nH\r\n1;x=y\r\ni\r\n0\r\n\r\n",
    ],
)
def test_complete_response_is_parsed(data: bytes) -> None:
    """Only a complete response is parsed, with its size in the buffer."""
    assert not any(raw_http.parse_response(data[:length]) for length in range(len(data)))
    response = raw_http.parse_response(data + b"HTTP/1.1 ")
    assert response is not None
    assert (response.status, response.body, response.size, response.closes_connection) == (200, b"Hi", len(data), False)


def test_header_names_are_case_insensitive() -> None:
    """Headers are found in any case; a missing header is empty."""
    response = raw_http.parse_response(
        b"HTTP/1.1 503 X\r\nRETRY-after: 3\r\nCONNECTION: close\r\nContent-Length: 0\r\n\r\n"
    )
    assert response is not None
    assert (response.closes_connection, response.header(b"retry-after"), response.header(b"age")) == (True, "3", "")


async def test_closed_loop_sends_the_exact_number_of_requests(start_server: StartServer) -> None:
    """A fixed number of requests is sent exactly, over any number of connections."""
    fake = FakeServer()
    sample = await run_load(Phase(port=await start_server(fake), connections=7, steps=[Step(seconds=9, requests=100)]))
    assert (fake.requests, fake.connections) == (100, 7)
    assert sample.outcomes == {"200": 100}


async def test_rejections_are_counted_with_retry_after(start_server: StartServer) -> None:
    """A 503 is a separate outcome, and its `Retry-After` is recorded."""
    phase = Phase(port=await start_server(FakeServer(SHED)), connections=1, steps=[Step(seconds=9, requests=3)])
    sample = await run_load(phase)
    assert (sample.outcomes, sample.answers, sample.retry_after) == ({"503": 3}, 0, {"2": 3})


async def test_open_loop_measures_from_the_due_time(start_server: StartServer) -> None:
    """Latencies include the time that requests wait for a free connection after they are due."""
    phase = Phase(
        port=await start_server(FakeServer(first_delay=0.2)), connections=1, steps=[Step(seconds=0.25, rate=400)]
    )
    sample = await run_load(phase)
    assert sample.answers == sample.offered > 50
    assert sample.p50 > 0.05


async def test_open_loop_without_a_poll_interval(start_server: StartServer) -> None:
    """No request is lost if the generator checks for due requests in every iteration of the event loop."""
    sample = await run_load(
        Phase(port=await start_server(FakeServer()), steps=[Step(seconds=0.25, rate=400)], poll_interval=0)
    )
    assert sample.answers == sample.offered > 50


async def test_client_gives_up(start_server: StartServer) -> None:
    """Requests without a response are given up after the time-out, and their connections are replaced."""
    fake, step = FakeServer(None), Step(seconds=0.1, rate=100)
    sample = await run_load(Phase(port=await start_server(fake), connections=2, steps=[step], timeout=0.05))
    assert sample.outcomes == {"gave up": sample.offered}
    assert sample.p99 >= 0.05
    assert fake.connections > 2


async def test_closed_connection_breaks_its_request(start_server: StartServer) -> None:
    """A connection that closes without a response is counted, and the next request uses a new one."""
    phase = Phase(port=await start_server(FakeServer(b"")), connections=1, steps=[Step(seconds=9, requests=3)])
    assert (await run_load(phase)).outcomes == {"broken": 3}


async def test_addresses_are_distinct(start_server: StartServer) -> None:
    """A header with a variable address gets the next address in each request, from the configured first one."""
    pool = ConnectionPool(
        Phase(port=await start_server(FakeServer()), steps=[], fields=["X: {address}"], first_address=255)
    )
    requests: list[bytes] = []

    class RecordingConnection:
        def send(self, due_request: object, request: bytes) -> None:
            requests.append(request)

    for _ in range(2):
        pool._send(RecordingConnection(), None)  # type: ignore[arg-type]  # a fake connection
    assert [b"X: 10.0.1.0\r\n" in requests[0], b"X: 10.0.1.1\r\n" in requests[1]] == [True, True]


async def test_generator_process(start_server: StartServer, tmp_path: Path) -> None:
    """The generator process gets a phase and returns one sample per step, as JSON."""
    steps = [Step(seconds=9, requests=20), Step(seconds=0.1, rate=100)]
    samples = await generator_process.run_phase(
        run_options.RunOptions(folder=tmp_path), Phase(port=await start_server(FakeServer()), steps=steps)
    )
    assert samples[0].outcomes == {"200": 20}
    assert [sample.answers == sample.offered for sample in samples] == [True, True]


async def test_no_retry_client_records_failures(start_server: StartServer) -> None:
    """The client reconnects after `Connection: close`; a broken request is a failure, a refused connection is not."""
    fake = FakeServer(LAST)
    port = await start_server(fake)
    client = NoRetryClient(port, "0", pause=0)
    running = asyncio.create_task(client.run())
    await wait_until(lambda: fake.connections >= 3)
    fake.response = b""
    await wait_until(lambda: bool(client.failures))
    running.cancel()
    assert client.outcomes["200"] >= 2
    assert (client.failures[0].first_request, client.failures[0].received) == (True, 0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"event: answer\ndata: 1\n\n", "answer"), (b"event: error\ndata: 1\n\n", "error"), (b": x\n\n", "no last event")],
)
def test_outcome_of_a_stream_is_its_last_event(body: bytes, expected: str) -> None:
    """A stream with status 200 may have failed, which its last event shows."""
    response = raw_http.Response(200, b"", body, 0)
    assert (response_outcome(response, stream=True), response_outcome(response, stream=False)) == (expected, "200")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp, which only Linux has")
async def test_open_connections_of_the_server(start_server: StartServer) -> None:
    """A connection counts as open until the server closes it, even if the client reads nothing."""
    fake = FakeServer(None)
    port, client = await start_server(fake), SlowClient(b"GET", read_size=0)
    await client.open(port)
    assert client.port in open_client_ports(port)
    await wait_until(lambda: fake.transport is not None)
    assert fake.transport
    fake.transport.abort()
    await wait_until(lambda: client.port not in open_client_ports(port))
    client.close()


async def test_failed_and_skipped_scenarios(tmp_path: Path) -> None:
    """A scenario that raises is a miss with its error; a skipped one is neither, and shows its requirement."""

    async def failing(run: ScenarioContext) -> report.Section:
        raise RuntimeError("no such luck\nthe log")

    async def skipping(run: ScenarioContext) -> report.Section:
        raise ScenarioSkipped("wrk is not installed")

    run = ScenarioContext(run_options.RunOptions(folder=tmp_path))
    failed = await command.run_scenario("one", failing, run)
    assert (failed.verdicts[0].met, "no such luck" in failed.verdicts[0].measured, failed.notes[0]) == (
        False,
        True,
        "the log",
    )
    skipped = await command.run_scenario("two", skipping, run)
    assert (skipped.verdicts[0].met, "wrk is not installed" in skipped.verdicts[0].measured) == (None, True)


def test_summary_has_every_verdict() -> None:
    """The summary has a row for each verdict, as Markdown or as text."""
    section = report.Section(title="x")
    section.add_verdict("a", "1", "2", met=False)
    section.add_verdict("b", "1", "1", met=True)
    section.add_verdict("c", "shown", "3", met=None)
    lines = report.summary([section], markdown=True)
    assert [line.split("|")[4].strip() for line in lines if line.startswith("|")] == ["ok", "----", "MISS", "pass", "—"]
    assert report.summary([section], markdown=False)[-1].split() == ["c", "shown", "3", "—"]
