"""The suite's own arithmetic, generator and judgement: a figure that is wrong is worse than none."""

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.figures import __main__ as command
from tests.figures import load, plan, report, wire
from tests.figures.generator import Pool
from tests.figures.numbers import Sample, Window, percentile, recovered
from tests.figures.phase import Phase, Step
from tests.figures.polling import poll
from tests.figures.raw import Client, outcome
from tests.figures.run import Run, Skipped
from tests.figures.scenarios.rude import Rude, still_open

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi"
SHED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nHi"


class Fake(asyncio.Protocol):
    """A server that gives one response to whatever comes, as late as it is told; None: it never does."""

    def __init__(self, response: bytes | None = OK, *, first_after: float = 0.0) -> None:
        self.response = response
        self.first_after = first_after
        self.requests = 0
        self.connections = 0
        self.transport: asyncio.Transport | None = None

    def __call__(self) -> "Connected":
        """Stand for the protocol's factory."""
        self.connections += 1
        return Connected(self)


class Connected(asyncio.Protocol):
    """One connection of a Fake."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write to."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = self.fake.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request."""
        self.fake.requests += 1
        wait = self.fake.first_after if self.fake.requests == 1 else 0.0
        asyncio.get_running_loop().call_later(wait, self.answer)

    def answer(self) -> None:
        """Give the response; an empty one is the end of the connection, and so is what says that it closes."""
        response = self.fake.response
        if response is None:
            return
        self.transport.write(response)
        if not response or b"close" in response:
            self.transport.close()


Serve = Callable[[Fake], "asyncio.Future[int]"]


@pytest.fixture
async def port() -> AsyncIterator[Serve]:
    """Give `port(fake)`, which serves a fake on a free port and returns that."""
    servers: list[asyncio.Server] = []

    async def serve(fake: Fake) -> int:
        servers.append(await asyncio.get_running_loop().create_server(fake, "127.0.0.1", 0))
        found: int = servers[-1].sockets[0].getsockname()[1]
        return found

    yield lambda fake: asyncio.ensure_future(serve(fake))
    for server in servers:
        server.close()


async def shot(phase: Phase) -> Sample:
    """Make the load in this process, and return the sample of the first step."""
    return (await Pool(phase).run())[0].sample(window=phase.window, busy=0.0)


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is seen; what should happen within 9 s never does."""

    async def seen() -> bool:
        return true()

    assert await poll(seen, 9, 0.001) is not None


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    """The percentile is one of the values: the smallest that the share of them does not exceed."""
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
def test_recovered_when_two_slices_in_a_row_are_normal(windows: list[Window], expected: float) -> None:
    """A slice with late answers, with anything but answers, or with none, is not normal; one alone is chance."""
    assert recovered(windows, 0.02) == expected


@pytest.mark.parametrize(
    "data",
    [
        OK,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nH\r\n1;x=y\r\ni\r\n0\r\n\r\n",
    ],
)
def test_a_response_is_read_when_it_is_whole(data: bytes) -> None:
    """No part of a response is one; the whole is, and says how many bytes of the buffer it took."""
    assert not any(wire.read(data[:length]) for length in range(len(data)))
    reply = wire.read(data + b"HTTP/1.1 ")
    assert reply is not None
    assert (reply.status, reply.body, reply.size, reply.closes) == (200, b"Hi", len(data), False)


def test_fields_are_read_in_any_case() -> None:
    """`Retry-After` and `Connection: close` are seen however they are written; what is missing is empty."""
    reply = wire.read(b"HTTP/1.1 503 X\r\nRETRY-after: 3\r\nCONNECTION: close\r\nContent-Length: 0\r\n\r\n")
    assert reply is not None
    assert (reply.closes, reply.field(b"retry-after"), reply.field(b"age")) == (True, "3", "")


async def test_a_closed_loop_asks_as_often_as_told(port: Serve) -> None:
    """Of a bounded number of requests none is lost and none is made twice, however many connections there are."""
    fake = Fake()
    sample = await shot(Phase(port=await port(fake), connections=7, steps=[Step(seconds=9, requests=100)]))
    assert (fake.requests, fake.connections) == (100, 7)
    assert sample.outcomes == {"200": 100}


async def test_a_refusal_is_counted_with_when_to_come_back(port: Serve) -> None:
    """A 503 is an outcome of its own, no answer, and its `Retry-After` is remembered."""
    phase = Phase(port=await port(Fake(SHED)), connections=1, steps=[Step(seconds=9, requests=3)])
    sample = await shot(phase)
    assert (sample.outcomes, sample.answers, sample.retry_after) == ({"503": 3}, 0, {"2": 3})


async def test_an_open_loop_counts_from_when_a_request_was_due(port: Serve) -> None:
    """While the one connection waits for its first answer, those that are due wait too, and that is in their time."""
    phase = Phase(port=await port(Fake(first_after=0.2)), connections=1, steps=[Step(seconds=0.25, rate=400)])
    sample = await shot(phase)
    assert sample.answers == sample.offered > 50
    assert sample.p50 > 0.05


async def test_an_open_loop_may_never_rest(port: Serve) -> None:
    """Looking at each turn of the loop for what is due loses nothing."""
    sample = await shot(Phase(port=await port(Fake()), steps=[Step(seconds=0.25, rate=400)], tick=0))
    assert sample.answers == sample.offered > 50


async def test_who_waits_too_long_gives_up(port: Serve) -> None:
    """Requests without a response are given up after the client's patience, and their connections replaced."""
    fake, step = Fake(None), Step(seconds=0.1, rate=100)
    sample = await shot(Phase(port=await port(fake), connections=2, steps=[step], patience=0.05))
    assert sample.outcomes == {"gave up": sample.offered}
    assert sample.p99 >= 0.05
    assert fake.connections > 2


async def test_a_connection_that_ends_breaks_its_request(port: Serve) -> None:
    """A connection that ends without a response is counted, and the next request has a new one."""
    phase = Phase(port=await port(Fake(b"")), connections=1, steps=[Step(seconds=9, requests=3)])
    assert (await shot(phase)).outcomes == {"broken": 3}


async def test_every_address_is_another(port: Serve) -> None:
    """Where a header line varies, each request has the next address, from the first one that is told."""
    pool = Pool(Phase(port=await port(Fake()), steps=[], fields=["X: {address}"], first_address=255))
    seen: list[bytes] = []

    class Ear:
        def send(self, shot: object, request: bytes) -> None:
            seen.append(request)

    for _ in range(2):
        pool._send(Ear(), None)  # type: ignore[arg-type]  # a connection that only listens
    assert [b"X: 10.0.1.0\r\n" in seen[0], b"X: 10.0.1.1\r\n" in seen[1]] == [True, True]


async def test_the_generator_is_a_process_of_its_own(port: Serve, tmp_path: Path) -> None:
    """A phase goes to the process as JSON, and its samples come back so, one for each step."""
    steps = [Step(seconds=9, requests=20), Step(seconds=0.1, rate=100)]
    samples = await load.shoot(plan.Plan(folder=tmp_path), Phase(port=await port(Fake()), steps=steps))
    assert samples[0].outcomes == {"200": 20}
    assert [sample.answers == sample.offered for sample in samples] == [True, True]


async def test_a_raw_client_leaves_when_it_is_told_and_notes_what_it_lost(port: Serve) -> None:
    """After `Connection: close` it connects anew; a request that breaks is a failure, a refused connection is not."""
    fake = Fake(LAST)
    number = await port(fake)
    client = Client(number, "0", pause=0)
    asking = asyncio.create_task(client.run())
    await until(lambda: fake.connections >= 3)
    fake.response = b""
    await until(lambda: bool(client.failures))
    asking.cancel()
    assert client.outcomes["200"] >= 2
    assert (client.failures[0].first, client.failures[0].received) == (True, 0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"event: answer\ndata: 1\n\n", "answer"), (b"event: error\ndata: 1\n\n", "error"), (b": x\n\n", "no last event")],
)
def test_a_stream_is_told_by_its_last_event(body: bytes, expected: str) -> None:
    """A stream of status 200 may have failed all the same: its last event says so."""
    reply = wire.Reply(200, b"", body, 0)
    assert (outcome(reply, stream=True), outcome(reply, stream=False)) == (expected, "200")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp, which is Linux's")
async def test_the_end_of_a_connection_is_seen_at_the_server(port: Serve) -> None:
    """A connection counts as open until the server ends it, though its client reads nothing."""
    fake = Fake(None)
    number, rude = await port(fake), Rude(b"GET", reads=0)
    await rude.open(number)
    assert rude.port in still_open(number)
    await until(lambda: fake.transport is not None)
    assert fake.transport
    fake.transport.abort()
    await until(lambda: rude.port not in still_open(number))
    rude.close()


async def test_what_fails_is_a_miss_and_what_cannot_run_is_not(tmp_path: Path) -> None:
    """A scenario that raises is shown as a miss with its fault, one that is skipped as neither, with what it needs."""

    async def failing(run: Run) -> report.Section:
        raise RuntimeError("no such luck\nthe log")

    async def skipping(run: Run) -> report.Section:
        raise Skipped("wrk is not installed")

    run = Run(plan.Plan(folder=tmp_path))
    failed = await command.attempt("one", failing, run)
    assert (failed.verdicts[0].met, "no such luck" in failed.verdicts[0].seen, failed.notes[0]) == (
        False,
        True,
        "the log",
    )
    skipped = await command.attempt("two", skipping, run)
    assert (skipped.verdicts[0].met, "wrk is not installed" in skipped.verdicts[0].seen) == (None, True)


def test_the_summary_has_every_aim() -> None:
    """Each verdict is a row with its word, in Markdown where that is asked for."""
    section = report.Section(title="x")
    section.judge("a", "1", "2", met=False)
    section.judge("b", "1", "1", met=True)
    section.judge("c", "shown", "3", met=None)
    lines = report.summary([section], markdown=True)
    assert [line.split("|")[4].strip() for line in lines if line.startswith("|")] == ["ok", "----", "MISS", "pass", "—"]
    assert report.summary([section], markdown=False)[-1].split() == ["c", "shown", "3", "—"]
