"""A question that is passed on: the span of the client that askd is then, and what the other server is told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from service.app import LOADED, create_app
from service.settings import Settings
from tests.answerers.remote.fakes import SSE, FakeLangGraph, ai, event
from tests.fakes import Upper, until
from tests.telemetry.captured import Captured
from tests.telemetry.otel.traced import NONE, Kept, below, ids, told

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture
async def fake() -> AsyncIterator[FakeLangGraph]:
    """Give a LangGraph server's routes, served."""
    made = FakeLangGraph()
    async with TestServer(made.app(), handler_cancellation=True) as server:
        made.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined] # a fake takes what a test needs
        yield made


@pytest.fixture
async def through(fake: FakeLangGraph) -> AsyncIterator[Any]:
    """Give `through(kept)`: an askd that passes its questions on to that server."""
    clients: list[TestClient[Any, Any]] = []

    async def start(kept: Kept, spec: str | None = None) -> TestClient[Any, Any]:
        settings = Settings(answerer=spec or fake.url)  # type: ignore[attr-defined] # as above
        app = create_app(settings, tracing=kept.tracing)
        clients.append(TestClient(TestServer(app, handler_cancellation=True)))
        await clients[-1].start_server()
        await app[LOADED]
        return clients[-1]

    with Captured():
        yield start
        for client in clients:
            await client.close()


def leg(kept: Kept) -> ReadableSpan:
    """Return the only span of a client."""
    (found,) = [span for span in kept.spans if span.kind is SpanKind.CLIENT]
    return found


async def test_the_other_server_joins_the_trace(fake: FakeLangGraph, through: Any) -> None:
    """The request has a span below the server's; its ids go along as `traceparent`, and the client's baggage not."""
    kept = Kept()
    client = await through(kept)
    headers = {"traceparent": SAMPLED, "tracestate": "a=1", "baggage": "user=ada"}
    assert (await client.get("/ask?q=abc", headers=headers)).status == 200
    span, sent = leg(kept), fake.requests[0]
    assert below(span) == ids(kept.span("GET /ask"))[1]
    assert sent["traceparent"].startswith(f"00-{TRACE}-{ids(span)[1]}-")
    assert int(sent["traceparent"][-2:], 16) & 1
    assert (sent["tracestate"], "baggage" in sent) == ("a=1", False)
    url = fake.url  # type: ignore[attr-defined] # as above
    assert (span.name, told(span)) == (
        "POST",
        {
            "http.request.method": "POST",
            "server.address": "127.0.0.1",
            "server.port": int(url.rpartition(":")[2]),
            "url.full": f"{url}/runs/wait",
            "http.response.status_code": 200,
        },
    )


async def test_the_headers_of_one_that_is_not_sampled(fake: FakeLangGraph, through: Any) -> None:
    """Nothing is recorded, and the other server is told so: in the client's words, or in a trace of its own."""
    kept = Kept(NONE)
    client = await through(kept)
    for headers in ({"traceparent": UNSAMPLED}, {"baggage": "user=ada"}, {"traceparent": "00-zz"}):
        assert (await client.get("/ask?q=abc", headers=headers)).status == 200
    first, *others = [sent["traceparent"] for sent in fake.requests]
    assert first == UNSAMPLED
    assert all(len(other) == 55 and not int(other[-2:], 16) & 1 and TRACE not in other for other in others)
    assert len(set(others)) == 2
    assert not [sent for sent in fake.requests if "baggage" in sent]
    assert kept.spans == []


@pytest.mark.parametrize(("status", "answer"), [(500, 502), (429, 503)])
async def test_a_status_that_is_an_error(fake: FakeLangGraph, through: Any, status: int, answer: int) -> None:
    """What the other server refused is an error of the client's span, with the status, and of the server's."""
    kept = Kept()
    client = await through(kept)
    fake.status = status
    assert (await client.get("/ask?q=abc")).status == answer
    span = leg(kept)
    assert (span.status.status_code, told(span)["error.type"]) == (StatusCode.ERROR, str(status))
    assert told(kept.span("GET /ask"))["http.response.status_code"] == answer


async def test_a_connection_that_breaks(fake: FakeLangGraph, through: Any) -> None:
    """The span ends with the kind of fault."""
    kept = Kept()
    client = await through(kept)
    fake.parts, fake.abort = [b"{"], True
    assert (await client.get("/ask?q=abc")).status == 502
    assert leg(kept).status.status_code is StatusCode.ERROR
    assert told(leg(kept))["error.type"] in {"ClientPayloadError", "ClientOSError", "ServerDisconnectedError"}


async def test_a_stream_lasts_to_its_end(fake: FakeLangGraph, through: Any) -> None:
    """The span of a stream ends with its last event, not with its headers."""
    kept = Kept()
    client = await through(kept)
    fake.stream(event("values", {"messages": [{"type": "human", "content": "a"}, ai("b")]}))
    fake.hold.clear()
    asking = asyncio.ensure_future(client.get("/ask?q=a", headers={"Accept": SSE["Content-Type"][:17]}))
    await asyncio.wait_for(fake.begun.wait(), 5)
    assert kept.spans == []
    fake.hold.set()
    await (await asking).read()
    await until(lambda: len(kept.spans) == 4)
    assert told(leg(kept))["http.response.status_code"] == 200


async def test_a_client_that_leaves(fake: FakeLangGraph, through: Any) -> None:
    """The span ends as cancelled, and is no error."""
    kept = Kept()
    client = await through(kept)
    fake.hold.clear()
    asking = asyncio.ensure_future(client.get("/ask?q=a"))
    await asyncio.wait_for(fake.begun.wait(), 5)
    asking.cancel()
    await until(lambda: [span for span in kept.spans if span.kind is SpanKind.CLIENT])
    assert (leg(kept).status.status_code, told(leg(kept))["error.type"]) == (StatusCode.UNSET, "cancelled")


async def test_looking_for_the_server_is_not_traced(through: Any) -> None:
    """What askd asks on its own account, at the start and for readiness, makes no span."""
    kept = Kept()
    client = await through(kept)
    await client.get("/readyz")
    assert kept.spans == []


async def test_two_askds_make_one_trace(through: Any) -> None:
    """With another askd behind it the trace goes through both: server, client, server."""
    other, kept = Kept(), Kept()
    app = create_app(Settings(), answerer=Upper(), tracing=other.tracing)
    async with TestServer(app, handler_cancellation=True) as server:
        await app[LOADED]
        client = await through(kept, f"ask+{server.make_url('')}".rstrip("/"))
        assert (await client.get("/ask?q=hello", headers={"traceparent": SAMPLED})).status == 200
    behind = other.span("POST /ask")
    assert (ids(behind)[0], below(behind)) == (TRACE, ids(leg(kept))[1])
