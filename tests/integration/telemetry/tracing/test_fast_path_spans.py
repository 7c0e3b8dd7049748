"""The fast path with tracing: sampled requests have spans, the others are handled as without tracing."""

from collections.abc import AsyncIterator, Iterator
from itertools import cycle, islice

import pytest
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from askd.api.response_cache import CachedResponse, ResponseCache
from askd.app import INSTRUMENTATION
from askd.context import RequestContext
from askd.httpserver.request_parser import RequestHead
from askd.models import Answerer
from tests.support.app_fixtures import RawServer, StartServer, server_starter
from tests.support.fakes import UppercaseAnswerer, wait_until
from tests.support.log_capture import LogCapture
from tests.support.raw_http import RawConnection, RawResponse, get_request
from tests.support.span_recorder import SAMPLE_NONE, SpanRecorder, parent_span_id, span_attributes, trace_and_span_id

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = (f"traceparent: 00-{TRACE}-{PARENT}-0{flag}" for flag in "10")
VOLATILE = {
    "request_id",
    "timestamp",
    "duration_ms",
    "cache_ms",
    "queue_ms",
    "answerer_ms",
    "render_ms",
    "span_id",
}


class QueueFirstAnswerer(UppercaseAnswerer):
    """Has no immediate answers, so the fast path acquires a permit before anything else."""

    try_immediate = Answerer.try_immediate


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Return a function that starts a server with real connections."""
    async with server_starter() as start:
        yield start


@pytest.fixture
def log() -> Iterator[LogCapture]:
    """Capture the log."""
    with LogCapture() as log:
        yield log


async def ask(connection: RawConnection, *headers: str) -> RawResponse:
    """Send the same question, and return the response without the parts that differ each time."""
    connection.send(get_request("/ask?q=hello", *headers))
    status, fields, body = await connection.read_response()
    for name in ("date", "x-request-id", "server-timing", "age", "retry-after"):
        fields.pop(name, None)
    return RawResponse(status, fields, body.partition(b'"request_id"')[0])


async def request_lines(server: RawServer, log: LogCapture) -> list[dict[str, object]]:
    """Return the request lines since the last call, without the keys that differ each time."""
    await wait_until(lambda: server.app[INSTRUMENTATION].in_flight == 0)
    lines = log.lines("request")
    log.stream.seek(0)
    log.stream.truncate()
    return [{name: value for name, value in connection.items() if name not in VOLATILE} for connection in lines]


async def test_cached_responses_are_traced_if_sampled(start_server: StartServer, log: LogCapture) -> None:
    """Responses, log lines and counts are the same as without tracing; exactly the sampled requests have spans."""
    recorder, headers = (
        SpanRecorder(SAMPLE_NONE),
        list(islice(cycle([(), (UNSAMPLED,), (), (SAMPLED,), ("X-Request-Id: mine",)]), 40)),
    )
    results = []
    for tracing in (recorder.tracing, None):
        server = await start_server(tracing=tracing)
        async with server.connect() as connection:
            replies = [await ask(connection, *extra_headers) for extra_headers in headers]
        lines = await request_lines(server, log)
        results.append((replies, lines, server.request_count(route="/ask", method="GET", status=200)))
    assert results[0] == results[1]
    assert results[0][2] == len(headers)
    servers = [span for span in recorder.spans if span.name == "GET /ask"]
    assert [(trace_and_span_id(span)[0], parent_span_id(span)) for span in servers] == [
        (TRACE, PARENT)
    ] * headers.count((SAMPLED,))


async def test_response_cache_is_used_with_tracing(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tracing, repeated requests are served from the response cache, sampled or not."""
    cache_hits: list[bool] = []
    render = ResponseCache.render

    def recording_render(
        cache: ResponseCache, entry: CachedResponse, head: RequestHead, context: RequestContext
    ) -> bytes | None:
        data = render(cache, entry, head, context)
        cache_hits.append(data is not None)
        return data

    monkeypatch.setattr(ResponseCache, "render", recording_render)
    async with (await start_server(tracing=SpanRecorder(SAMPLE_NONE).tracing)).connect() as connection:
        for headers in ((), (), (UNSAMPLED,), (SAMPLED,), ()):
            await ask(connection, *headers)
    assert cache_hits == [True] * 4


async def test_shed_requests_are_traced_if_sampled(start_server: StartServer, log: LogCapture) -> None:
    """Only sampled shed requests have spans; all get the same response and are counted."""
    recorder, fake = SpanRecorder(SAMPLE_NONE), QueueFirstAnswerer(deterministic=False)
    server = await start_server(fake, tracing=recorder.tracing, concurrency="1", queue_size="0")
    async with server.connect() as busy, server.connect() as connection:
        busy.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        replies = [await ask(connection, *headers) for headers in ((), (UNSAMPLED,), (SAMPLED,), ())]
        assert replies == [replies[0]] * 4
        assert replies[0].status == 503
        fake.release.set()
        await busy.read_response()
    (span,) = recorder.spans
    assert (trace_and_span_id(span)[0], span_attributes(span)["error.type"]) == (TRACE, "overloaded")
    assert server.request_count(route="/ask", method="GET", status=503) == 4
    assert len(log.lines("requests_shed")) == 1


async def test_ratio_of_cached_responses_is_sampled(start_server: StartServer) -> None:
    """About the configured ratio of repeated requests is sampled, each with an id that the sampler accepts."""
    sampler = TraceIdRatioBased(0.25)
    recorder = SpanRecorder(ParentBased(sampler))
    async with (await start_server(tracing=recorder.tracing)).connect() as connection:
        for _ in range(200):
            await ask(connection)
    trace_ids = {trace_and_span_id(span)[0] for span in recorder.spans if span.name == "GET /ask"}
    assert 20 <= len(trace_ids) <= 80  # 50 plus or minus five standard deviations
    assert all(int(trace_id[16:], 16) < sampler.bound for trace_id in trace_ids)
