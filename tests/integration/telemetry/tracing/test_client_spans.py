"""Client spans: requests to an upstream server, and the headers that propagate the trace."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from askd.app import LOAD_TASK, create_app
from askd.config import Settings
from tests.support.app_fixtures import AskdTestServer
from tests.support.fake_langgraph_server import SSE_HEADERS, FakeLangGraph, ai_message, sse_event
from tests.support.fakes import UppercaseAnswerer, wait_until
from tests.support.log_capture import LogCapture
from tests.support.span_recorder import SAMPLE_NONE, SpanRecorder, parent_span_id, span_attributes, trace_and_span_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture
async def fake() -> AsyncIterator[FakeLangGraph]:
    """Run a fake LangGraph server."""
    upstream = FakeLangGraph()
    async with TestServer(upstream.app(), handler_cancellation=True) as server:
        upstream.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined] # set for the tests
        yield upstream


@pytest.fixture
async def serve_upstream(fake: FakeLangGraph) -> AsyncIterator[Any]:
    """Return a function that starts an askd which forwards questions to that server."""
    clients: list[TestClient[Any, Any]] = []

    async def start(recorder: SpanRecorder, spec: str | None = None) -> TestClient[Any, Any]:
        settings = Settings(answerer=spec or fake.url)  # type: ignore[attr-defined] # as above
        app = create_app(settings, tracer=recorder.tracing)
        clients.append(TestClient(AskdTestServer(app)))
        await clients[-1].start_server()
        await app[LOAD_TASK]
        return clients[-1]

    with LogCapture():
        yield start
        for client in clients:
            await client.close()


def client_span(recorder: SpanRecorder) -> ReadableSpan:
    """Return the only client span."""
    (span,) = [span for span in recorder.spans if span.kind is SpanKind.CLIENT]
    return span


async def test_upstream_server_joins_the_trace(fake: FakeLangGraph, serve_upstream: Any) -> None:
    """The client span is a child of the server span and is propagated as `traceparent`; baggage is not propagated."""
    recorder = SpanRecorder()
    client = await serve_upstream(recorder)
    headers = {"traceparent": SAMPLED, "tracestate": "a=1", "baggage": "user=ada"}
    assert (await client.get("/ask?q=abc", headers=headers)).status == 200
    span, sent = client_span(recorder), fake.request_headers[0]
    assert parent_span_id(span) == trace_and_span_id(recorder.span("GET /ask"))[1]
    assert sent["traceparent"].startswith(f"00-{TRACE}-{trace_and_span_id(span)[1]}-")
    assert int(sent["traceparent"][-2:], 16) & 1
    assert (sent["tracestate"], "baggage" in sent) == ("a=1", False)
    url = fake.url  # type: ignore[attr-defined] # as above
    assert (span.name, span_attributes(span)) == (
        "POST",
        {
            "http.request.method": "POST",
            "server.address": "127.0.0.1",
            "server.port": int(url.rpartition(":")[2]),
            "url.full": f"{url}/runs/wait",
            "http.response.status_code": 200,
        },
    )


async def test_unsampled_requests_propagate_ids(fake: FakeLangGraph, serve_upstream: Any) -> None:
    """Nothing is recorded; the upstream server gets the client's `traceparent`, or a new one that is not sampled."""
    recorder = SpanRecorder(SAMPLE_NONE)
    client = await serve_upstream(recorder)
    for headers in ({"traceparent": UNSAMPLED}, {"baggage": "user=ada"}, {"traceparent": "00-zz"}):
        assert (await client.get("/ask?q=abc", headers=headers)).status == 200
    first, *others = [sent["traceparent"] for sent in fake.request_headers]
    assert first == UNSAMPLED
    assert all(len(other) == 55 and not int(other[-2:], 16) & 1 and TRACE not in other for other in others)
    assert len(set(others)) == 2
    assert not [sent for sent in fake.request_headers if "baggage" in sent]
    assert recorder.spans == []


@pytest.mark.parametrize(("status", "answer"), [(500, 502), (429, 503)])
async def test_upstream_error_status(fake: FakeLangGraph, serve_upstream: Any, status: int, answer: int) -> None:
    """An error status of the upstream server is an error of the client span."""
    recorder = SpanRecorder()
    client = await serve_upstream(recorder)
    fake.status = status
    assert (await client.get("/ask?q=abc")).status == answer
    span = client_span(recorder)
    assert (span.status.status_code, span_attributes(span)["error.type"]) == (StatusCode.ERROR, str(status))
    assert span_attributes(recorder.span("GET /ask"))["http.response.status_code"] == answer


async def test_broken_upstream_connection(fake: FakeLangGraph, serve_upstream: Any) -> None:
    """The client span has the type of the exception."""
    recorder = SpanRecorder()
    client = await serve_upstream(recorder)
    fake.body_parts, fake.abort_connection = [b"{"], True
    assert (await client.get("/ask?q=abc")).status == 502
    assert client_span(recorder).status.status_code is StatusCode.ERROR
    assert span_attributes(client_span(recorder))["error.type"] in {
        "ClientPayloadError",
        "ClientOSError",
        "ServerDisconnectedError",
    }


async def test_stream_span_ends_with_the_stream(fake: FakeLangGraph, serve_upstream: Any) -> None:
    """The client span of a stream ends with the last event, not with the headers."""
    recorder = SpanRecorder()
    client = await serve_upstream(recorder)
    fake.respond_with_events(sse_event("values", {"messages": [{"type": "human", "content": "a"}, ai_message("b")]}))
    fake.finish_body.clear()
    request = asyncio.ensure_future(client.get("/ask?q=a", headers={"Accept": SSE_HEADERS["Content-Type"][:17]}))
    await asyncio.wait_for(fake.body_started.wait(), 5)
    assert recorder.spans == []
    fake.finish_body.set()
    await (await request).read()
    await wait_until(lambda: len(recorder.spans) == 4)
    assert span_attributes(client_span(recorder))["http.response.status_code"] == 200


async def test_client_disconnect_is_cancelled(fake: FakeLangGraph, serve_upstream: Any) -> None:
    """If the client disconnects, the client span is cancelled, which is not an error."""
    recorder = SpanRecorder()
    client = await serve_upstream(recorder)
    fake.finish_body.clear()
    request = asyncio.ensure_future(client.get("/ask?q=a"))
    await asyncio.wait_for(fake.body_started.wait(), 5)
    request.cancel()
    await wait_until(lambda: [span for span in recorder.spans if span.kind is SpanKind.CLIENT])
    assert (client_span(recorder).status.status_code, span_attributes(client_span(recorder))["error.type"]) == (
        StatusCode.UNSET,
        "cancelled",
    )


async def test_health_checks_are_not_traced(serve_upstream: Any) -> None:
    """Requests that askd itself sends, at the start and for readiness, are not traced."""
    recorder = SpanRecorder()
    client = await serve_upstream(recorder)
    await client.get("/readyz")
    assert recorder.spans == []


async def test_trace_spans_two_askd_servers(serve_upstream: Any) -> None:
    """A trace continues through an upstream askd: server span, client span, server span."""
    upstream, recorder = SpanRecorder(), SpanRecorder()
    app = create_app(Settings(), answerer=UppercaseAnswerer(), tracer=upstream.tracing)
    async with AskdTestServer(app) as server:
        await app[LOAD_TASK]
        client = await serve_upstream(recorder, f"ask+{server.make_url('')}".rstrip("/"))
        assert (await client.get("/ask?q=hello", headers={"traceparent": SAMPLED})).status == 200
    upstream_span = upstream.span("POST /ask")
    assert (trace_and_span_id(upstream_span)[0], parent_span_id(upstream_span)) == (
        TRACE,
        trace_and_span_id(client_span(recorder))[1],
    )
