"""The door where some exchanges are traced: those have their spans, and the others are answered as without tracing."""

from collections.abc import AsyncIterator, Iterator
from itertools import cycle, islice

import pytest
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from service.app import OBSERVER
from service.models import Answerer
from service.web.hot import Hot
from tests.fakes import Upper, until
from tests.telemetry.captured import Captured
from tests.telemetry.otel.traced import NONE, Kept, below, ids, told
from tests.web.wire import Line, Reply, Wire, Wired, get, wiring

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = (f"traceparent: 00-{TRACE}-{PARENT}-0{flag}" for flag in "10")
VOLATILE = {"id", "timestamp", "duration_ms", "cache_ms", "queue_ms", "code_ms", "render_ms", "span_id"}


class Bare(Upper):
    """Has never an answer at hand, so that its places are asked for before anything else."""

    at_hand = Answerer.at_hand


@pytest.fixture
async def wire() -> AsyncIterator[Wired]:
    """Serve an answerer behind the real connections."""
    async with wiring() as start:
        yield start


@pytest.fixture
def log() -> Iterator[Captured]:
    """Take the log."""
    with Captured() as taken:
        yield taken


async def ask(line: Line, *headers: str) -> Reply:
    """Ask the same as ever, and leave out what differs each time."""
    line.send(get("/ask?q=hello", *headers))
    status, fields, body = await line.reply()
    for name in ("date", "x-request-id", "server-timing", "age", "retry-after"):
        fields.pop(name, None)
    return Reply(status, fields, body.partition(b'"request_id"')[0])


async def told_of(server: Wire, log: Captured) -> list[dict[str, object]]:
    """Return the log's lines of exchanges since the last look, without what differs each time."""
    await until(lambda: server.app[OBSERVER].in_flight == 0)
    found = log.lines("exchange")
    log.stream.seek(0)
    log.stream.truncate()
    return [{name: value for name, value in line.items() if name not in VOLATILE} for line in found]


async def test_what_is_remembered_is_traced_where_it_is_sampled(wire: Wired, log: Captured) -> None:
    """Answers, log lines and counts are as without tracing; what is sampled, and nothing else, has a span."""
    kept, headers = Kept(NONE), list(islice(cycle([(), (UNSAMPLED,), (), (SAMPLED,), ("X-Request-Id: mine",)]), 40))
    seen = []
    for tracing in (kept.tracing, None):
        server = await wire(tracing=tracing)
        async with server.open() as line:
            replies = [await ask(line, *each) for each in headers]
        lines = await told_of(server, log)
        seen.append((replies, lines, server.counted(route="/ask", method="GET", code="200")))
    assert seen[0] == seen[1]
    assert seen[0][2] == len(headers)
    servers = [span for span in kept.spans if span.name == "GET /ask"]
    assert [(ids(span)[0], below(span)) for span in servers] == [(TRACE, PARENT)] * headers.count((SAMPLED,))


async def test_what_is_remembered_is_not_looked_up_again(wire: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tracing is on, what is remembered is given as where it is off, sampled or not."""
    given: list[bool] = []
    give = Hot.give

    def noted(*arguments: object) -> bytes | None:
        data = give(*arguments)  # type: ignore[arg-type] # whatever they are
        given.append(data is not None)
        return data

    monkeypatch.setattr(Hot, "give", noted)
    async with (await wire(tracing=Kept(NONE).tracing)).open() as line:
        for headers in ((), (), (UNSAMPLED,), (SAMPLED,), ()):
            await ask(line, *headers)
    assert given == [True] * 4


async def test_a_refusal_is_traced_where_it_is_sampled(wire: Wired, log: Captured) -> None:
    """Of questions that are shed at once only the sampled ones have spans, and all are told and counted the same."""
    kept, fake = Kept(NONE), Bare(deterministic=False)
    server = await wire(fake, tracing=kept.tracing, concurrency="1", queue="0")
    async with server.open() as busy, server.open() as line:
        busy.send(get("/ask?q=wait"))
        await fake.waiting.wait()
        replies = [await ask(line, *headers) for headers in ((), (UNSAMPLED,), (SAMPLED,), ())]
        assert replies == [replies[0]] * 4
        assert replies[0].status == 503
        fake.release.set()
        await busy.reply()
    (span,) = kept.spans
    assert (ids(span)[0], told(span)["error.type"]) == (TRACE, "overloaded")
    assert server.counted(route="/ask", method="GET", code="503") == 4
    assert len(log.lines("questions shed")) == 1


async def test_a_share_of_what_is_remembered_is_sampled(wire: Wired) -> None:
    """Of many of the same questions about the share is sampled, each with an id that the sampler agrees with."""
    sampler = TraceIdRatioBased(0.25)
    kept = Kept(ParentBased(sampler))
    async with (await wire(tracing=kept.tracing)).open() as line:
        for _ in range(200):
            await ask(line)
    found = {ids(span)[0] for span in kept.spans if span.name == "GET /ask"}
    assert 20 <= len(found) <= 80  # 50, and five standard deviations to each side
    assert all(int(id[16:], 16) < sampler.bound for id in found)
