"""Server spans: attributes, child spans, sampling and errors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from askd.app import LOAD_TASK, METRICS, create_app
from askd.config import Settings
from askd.models import Answer, Answerer, Question
from askd.telemetry.metrics import REQUEST_DURATION
from tests.support.app_fixtures import AskdTestServer
from tests.support.fakes import UppercaseAnswerer, wait_until
from tests.support.log_capture import LogCapture
from tests.support.span_recorder import SAMPLE_NONE, SpanRecorder, parent_span_id, span_attributes, trace_and_span_id

Client = TestClient[Any, Any]
Serve = Callable[..., Awaitable[Client]]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def log() -> Any:
    """Capture the log."""
    with LogCapture() as log:
        yield log


@pytest.fixture
async def serve(log: LogCapture) -> AsyncIterator[Serve]:
    """Return a function that serves an answerer with tracing and with settings given as strings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(recorder: SpanRecorder, answerer: Answerer | None = None, **settings: str) -> Client:
            app = create_app(
                Settings.load(settings, {}), answerer=answerer or UppercaseAnswerer(), tracer=recorder.tracing
            )
            client = await stack.enter_async_context(TestClient(AskdTestServer(app)))
            await app[LOAD_TASK]
            return client

        yield start


async def test_request_has_a_server_span(serve: Serve) -> None:
    """The span is named after method and route, and has the conventional attributes but not the query."""
    recorder = SpanRecorder()
    client = await serve(recorder)
    response = await client.get("/ask?q=hello", headers={"User-Agent": "curl/8", "X-Request-Id": "mine"})
    (span,) = recorder.spans
    assert (response.status, span.name, span.kind, span.status.status_code) == (
        200,
        "GET /ask",
        SpanKind.SERVER,
        StatusCode.UNSET,
    )
    assert span_attributes(span) == {
        "http.request.method": "GET",
        "http.route": "/ask",
        "url.scheme": "http",
        "url.path": "/ask",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": client.port,
        "client.address": "127.0.0.1",
        "user_agent.original": "curl/8",
        "askd.request.id": "mine",
    }
    assert span.parent is None


async def test_queue_and_answerer_are_child_spans(serve: Serve, log: LogCapture) -> None:
    """The queue span is followed by the answerer span, and both last as long as the access log says."""
    recorder = SpanRecorder()
    await (await serve(recorder)).get("/ask?q=abc")
    queue, answerer, server = (recorder.span(name) for name in ("queue", "answerer", "GET /ask"))
    assert {parent_span_id(queue), parent_span_id(answerer)} == {trace_and_span_id(server)[1]}
    times = [time for span in (queue, answerer) for time in (span.start_time, span.end_time)]
    assert [server.start_time, *times] == sorted(t for t in [server.start_time, *times] if t is not None)
    line = log.lines("request")[0]
    for span, name in ((queue, "queue_ms"), (answerer, "answerer_ms"), (server, "duration_ms")):
        assert span.start_time
        assert span.end_time
        assert (span.end_time - span.start_time) / 1e6 == pytest.approx(line[name], abs=0.002)


async def test_span_continues_the_trace_of_the_client(serve: Serve) -> None:
    """The span is a child of the client's span, in the same trace, and keeps `tracestate`."""
    recorder = SpanRecorder()
    await (await serve(recorder)).get("/ask?q=hello", headers={"traceparent": SAMPLED, "tracestate": "a=1"})
    (span,) = recorder.spans
    assert (trace_and_span_id(span)[0], parent_span_id(span)) == (TRACE, PARENT)
    assert span.context
    assert span.context.trace_state.to_header() == "a=1"


@pytest.mark.parametrize(
    ("sampler", "header", "expected"),
    [
        (SAMPLE_NONE, None, 0),
        (SAMPLE_NONE, SAMPLED, 1),
        (SAMPLE_NONE, UNSAMPLED, 0),
        (ParentBased(TraceIdRatioBased(1.0)), None, 1),
        (ParentBased(TraceIdRatioBased(1.0)), UNSAMPLED, 0),
        (ALWAYS_OFF, SAMPLED, 0),
        (TraceIdRatioBased(1.0), UNSAMPLED, 1),
        (ParentBased(TraceIdRatioBased(1.0)), "00-zz-00-00", 1),
    ],
)
async def test_sampling_decision(serve: Serve, sampler: Sampler, header: str | None, expected: int) -> None:
    """The parent decides if there is one and the sampler respects it, otherwise the sampler decides."""
    recorder = SpanRecorder(sampler)
    await (await serve(recorder)).get("/ask?q=hello", headers={"traceparent": header} if header else {})
    assert len(recorder.spans) == expected


async def test_ratio_of_requests_is_sampled(serve: Serve) -> None:
    """About the configured ratio of requests is sampled, each with a new id that the sampler accepts."""
    sampler = TraceIdRatioBased(0.25)
    recorder = SpanRecorder(ParentBased(sampler))
    client = await serve(recorder)
    for _ in range(200):
        await client.get("/ask?q=hello")
    trace_ids = {trace_and_span_id(span)[0] for span in recorder.spans}
    assert len(trace_ids) == len(recorder.spans)
    assert 20 <= len(trace_ids) <= 80  # 50 plus or minus five standard deviations
    assert all(int(trace_id[16:], 16) < sampler.bound for trace_id in trace_ids)


async def test_unsampled_request_starts_no_span(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an unsampled request, the SDK is not called to start a span."""
    recorder = SpanRecorder(SAMPLE_NONE)
    started: list[str] = []
    tracer = type(recorder.provider.get_tracer("x"))
    monkeypatch.setattr(tracer, "start_span", lambda _self, name, *_more, **_named: started.append(name))
    assert (await (await serve(recorder)).get("/ask?q=abc")).status == 200
    assert started == []


@pytest.mark.parametrize(
    ("question", "settings", "status", "error_type"),
    [
        ("boom", {}, 500, "ValueError"),
        ("wait", {"deadline": "50ms"}, 504, "deadline-exceeded"),
    ],
)
async def test_errors_are_recorded(
    serve: Serve, question: str, settings: dict[str, str], status: int, error_type: str
) -> None:
    """If the answerer fails or is too slow, the server span and the answerer span have the error."""
    recorder = SpanRecorder()
    response = await (await serve(recorder, **settings)).get(f"/ask?q={question}")
    server, answerer = recorder.span("GET /ask"), recorder.span("answerer")
    assert (response.status, span_attributes(server)["http.response.status_code"]) == (status, status)
    assert [span.status.status_code for span in (server, answerer)] == [StatusCode.ERROR] * 2
    assert [span_attributes(span)["error.type"] for span in (server, answerer)] == [error_type] * 2
    assert "secret" not in str([span.to_json() for span in recorder.spans])


async def test_shedding_is_recorded(serve: Serve) -> None:
    """A shed request has a server span with status 503 and its reason, and no answerer span."""
    recorder, fake = SpanRecorder(), UppercaseAnswerer(deterministic=False)
    client = await serve(recorder, fake, concurrency="1", queue_size="0")
    waiting = asyncio.ensure_future(client.get("/ask?q=wait"))
    await asyncio.wait_for(fake.wait_started.wait(), 5)
    assert (await client.get("/ask?q=abc")).status == 503
    (span,) = recorder.spans
    assert (span_attributes(span)["http.response.status_code"], span_attributes(span)["error.type"]) == (
        503,
        "overloaded",
    )
    assert span.status.status_code is StatusCode.ERROR
    fake.release.set()
    await waiting


async def test_failed_stream_is_an_error(serve: Serve) -> None:
    """A failure after the first event is an error, although the status sent was 200."""
    recorder = SpanRecorder()
    client = await serve(recorder, UppercaseAnswerer(supports_streaming=True))
    response = await client.get("/ask?q=a+boom", headers={"Accept": "text/event-stream"})
    assert (response.status, "event: error" in await response.text()) == (200, True)
    await wait_until(lambda: recorder.spans[2:])
    assert recorder.span("GET /ask").status.status_code is StatusCode.ERROR
    assert span_attributes(recorder.span("answerer"))["error.type"] == "ValueError"


async def test_client_errors_are_not_span_errors(serve: Serve) -> None:
    """Spans of 4xx responses have the status, but are not errors."""
    recorder = SpanRecorder()
    client = await serve(recorder)
    for path in ("/ask?q=nothing", "/ask"):
        await client.get(path)
    servers = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
    assert [span_attributes(span)["http.response.status_code"] for span in servers] == [404, 400]
    assert {span.status.status_code for span in recorder.spans} == {StatusCode.UNSET}
    assert not [span for span in recorder.spans if "error.type" in span_attributes(span)]


async def test_client_disconnect_is_cancelled(serve: Serve) -> None:
    """If the client disconnects, server span and answerer span are cancelled, without a status."""
    recorder, fake = SpanRecorder(), UppercaseAnswerer(deterministic=False)
    client = await serve(recorder, fake)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.get("/ask?q=wait")
    await wait_until(lambda: any(span.kind is SpanKind.SERVER for span in recorder.spans))
    server = recorder.span("GET /ask")
    assert ("http.response.status_code" in span_attributes(server), span_attributes(server)["error.type"]) == (
        False,
        "cancelled",
    )
    assert span_attributes(recorder.span("answerer"))["error.type"] == "cancelled"
    assert server.status.status_code is StatusCode.UNSET


async def test_probes_and_scrapes_are_not_traced(serve: Serve) -> None:
    """Requests to ops endpoints are not traced, even if the client samples them."""
    recorder = SpanRecorder()
    client = await serve(recorder)
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        await client.get(path, headers={"traceparent": SAMPLED})
    assert recorder.spans == []


async def test_span_names_are_bounded(serve: Serve) -> None:
    """Unknown paths and methods are not in span names, only in attributes."""
    recorder = SpanRecorder()
    client = await serve(recorder)
    await client.get("/private/matter?q=private")
    await client.request("PROPFIND", "/pot")
    first, second = recorder.spans
    assert [span.name for span in recorder.spans] == ["GET", "HTTP"]
    assert (span_attributes(first)["url.path"], "http.route" in span_attributes(first)) == ("/private/matter", False)
    assert [span_attributes(second)[f"http.request.method{end}"] for end in ("", "_original")] == ["_OTHER", "PROPFIND"]


async def test_route_includes_the_prefix(serve: Serve) -> None:
    """The route attribute includes the path prefix."""
    recorder = SpanRecorder(prefix="/answers")
    client = await serve(recorder, prefix="/answers")
    for path in ("/answers/ask?q=hello", "/answers"):
        await client.get(path)
    assert [span_attributes(span)["http.route"] for span in recorder.spans] == ["/answers/ask", "/answers"]


@pytest.mark.parametrize("questions", [True, False])
async def test_questions_are_recorded_on_request_only(serve: Serve, questions: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The question is an attribute only if the setting enables it."""
    recorder = SpanRecorder(questions=questions)
    client = await serve(recorder)
    await client.get("/ask?q=private", headers={"Referer": "/ask?q=private"})
    await client.post("/ask", json={"q": "private"})
    assert ("private" in str([span.to_json() for span in recorder.spans])) is questions


async def test_log_lines_have_the_ids(serve: Serve, log: LogCapture) -> None:
    """Lines of a sampled request have the ids of its span; other lines have the client's trace id, if any."""
    recorder = SpanRecorder(SAMPLE_NONE)
    client = await serve(recorder)
    for header in (SAMPLED, UNSAMPLED, ""):
        await client.get("/ask?q=boom", headers={"traceparent": header} if header else {})
    lines = log.lines()
    assert {line["event"] for line in lines} == {"request", "answerer_failed"}
    ids = [(line.get("trace_id"), line.get("span_id")) for line in lines]
    assert ids == [trace_and_span_id(recorder.span("GET /ask"))] * 2 + [(TRACE, None)] * 2 + [(None, None)] * 2


async def test_buckets_have_exemplars(serve: Serve) -> None:
    """The duration histogram has the ids of a sampled request, in OpenMetrics only."""
    recorder = SpanRecorder(SAMPLE_NONE)
    client = await serve(recorder)
    await client.get("/ask?q=hello", headers={"traceparent": SAMPLED})
    await client.get("/ask?q=hello")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    lines = (await (await client.get("/metrics", headers=accept)).text()).splitlines()
    trace_id, span_id = trace_and_span_id(recorder.span("GET /ask"))
    (line,) = [line for line in lines if " # {" in line]
    assert line.startswith(f"{REQUEST_DURATION}_bucket{{")
    assert f'# {{span_id="{span_id}",trace_id="{trace_id}"}} ' in line
    assert " # {" not in await (await client.get("/metrics")).text()


class TracedAnswerer(Answerer):
    """Starts a span and answers with the ids of its span, as user code might."""

    kind = name = "traced"

    def __init__(self, recorder: SpanRecorder) -> None:
        self._tracer = recorder.provider.get_tracer("users.code")

    async def answer(self, question: Question) -> Answer:
        """Return trace id and flags of a new span."""
        with self._tracer.start_as_current_span("user code"):
            span_context = trace.get_current_span().get_span_context()
        return Answer(f"{span_context.trace_id:032x} {span_context.trace_flags:02x}")


async def test_spans_of_user_code_join_the_trace(serve: Serve) -> None:
    """A span of user code is a child of the server span; for unsampled requests there is neither."""
    recorder = SpanRecorder(SAMPLE_NONE)
    client = await serve(recorder, TracedAnswerer(recorder))
    answers = []
    for header in (SAMPLED, "", UNSAMPLED, ""):
        response = await client.get("/ask?q=a", headers={"traceparent": header} if header else {})
        answers.append((await response.json())["answer"].split())
    assert parent_span_id(recorder.span("user code")) == trace_and_span_id(recorder.span("GET /ask"))[1]
    assert [int(flags, 16) & 1 for _, flags in answers] == [1, 0, 0, 0]
    assert [trace_id for trace_id, _ in answers][::2] == [TRACE, TRACE]
    assert len({trace_id for trace_id, _ in answers}) == 3  # each unsampled request without a parent has a new id


async def test_concurrent_requests_have_separate_traces(serve: Serve) -> None:
    """Concurrent requests have separate traces, each with its own child spans."""
    recorder = SpanRecorder()
    client = await serve(recorder, UppercaseAnswerer(deterministic=False))
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(session.get(client.make_url(f"/ask?q=n{number}")) for number in range(20)))
    servers = {trace_and_span_id(span): span for span in recorder.spans if span.kind is SpanKind.SERVER}
    assert len({trace_id for trace_id, _ in servers}) == 20
    for name in ("queue", "answerer"):
        assert {
            (trace_and_span_id(span)[0], parent_span_id(span)) for span in recorder.spans if span.name == name
        } == set(servers)


async def test_followers_name_their_leader(serve: Serve) -> None:
    """Of two identical concurrent requests, one has the answerer span, and the other has the id of that request."""
    recorder, fake = SpanRecorder(), UppercaseAnswerer()
    client = await serve(recorder, fake)
    requests = [asyncio.ensure_future(client.get("/ask?q=wait", headers={"X-Request-Id": "first"}))]
    await asyncio.wait_for(fake.wait_started.wait(), 5)
    requests.append(asyncio.ensure_future(client.get("/ask?q=wait", headers={"X-Request-Id": "second"})))
    await wait_until(lambda: len(fake.questions) == 1 and _has_follower(client))
    fake.release.set()
    await asyncio.gather(*requests)
    leaders = {
        span_attributes(span)["askd.request.id"]: span_attributes(span).get("askd.leader")
        for span in recorder.spans
        if not span.parent
    }
    assert leaders == {"first": None, "second": "first"}
    assert recorder.span("answerer").parent


def _has_follower(client: Client) -> bool:
    return bool(client.app[METRICS].registry.get_sample_value("askd_single_flight_total", {"role": "follower"}))
