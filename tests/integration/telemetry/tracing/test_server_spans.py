"""An exchange as spans: what there is of them, below what, and what they tell."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from service.app import LOADED, create_app
from service.models import Answer, Answerer, Question
from service.settings import Settings
from tests.fakes import Upper, until
from tests.telemetry.captured import Captured
from tests.telemetry.otel.traced import NONE, Kept, below, ids, told

Client = TestClient[Any, Any]
Serve = Callable[..., Awaitable[Client]]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def log() -> Any:
    """Take the log."""
    with Captured() as taken:
        yield taken


@pytest.fixture
async def serve(log: Captured) -> AsyncIterator[Serve]:
    """Serve an answerer, traced, with settings given as strings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(kept: Kept, answerer: Answerer | None = None, **settings: str) -> Client:
            app = create_app(Settings.load(settings, {}), answerer=answerer or Upper(), tracing=kept.tracing)
            client = await stack.enter_async_context(TestClient(TestServer(app, handler_cancellation=True)))
            await app[LOADED]
            return client

        yield start


async def test_a_question_is_a_span_of_the_server(serve: Serve) -> None:
    """The span is called by method and route, and has the conventions' attributes; of the query there is nothing."""
    kept = Kept()
    client = await serve(kept)
    reply = await client.get("/ask?q=hello", headers={"User-Agent": "curl/8", "X-Request-Id": "mine"})
    (span,) = kept.spans
    assert (reply.status, span.name, span.kind, span.status.status_code) == (
        200,
        "GET /ask",
        SpanKind.SERVER,
        StatusCode.UNSET,
    )
    assert told(span) == {
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


async def test_queue_and_code_are_spans_below(serve: Serve, log: Captured) -> None:
    """They follow one another within the server's span, and last as long as the log and `Server-Timing` say."""
    kept = Kept()
    await (await serve(kept)).get("/ask?q=abc")
    queue, code, server = (kept.span(name) for name in ("queue", "code", "GET /ask"))
    assert {below(queue), below(code)} == {ids(server)[1]}
    times = [each for span in (queue, code) for each in (span.start_time, span.end_time)]
    assert [server.start_time, *times] == sorted(t for t in [server.start_time, *times] if t is not None)
    line = log.lines("exchange")[0]
    for span, name in ((queue, "queue_ms"), (code, "code_ms"), (server, "duration_ms")):
        assert span.start_time
        assert span.end_time
        assert (span.end_time - span.start_time) / 1e6 == pytest.approx(line[name], abs=0.002)


async def test_a_trace_goes_on(serve: Serve) -> None:
    """The span is below the client's, in the client's trace, and keeps its `tracestate`."""
    kept = Kept()
    await (await serve(kept)).get("/ask?q=hello", headers={"traceparent": SAMPLED, "tracestate": "a=1"})
    (span,) = kept.spans
    assert (ids(span)[0], below(span)) == (TRACE, PARENT)
    assert span.context
    assert span.context.trace_state.to_header() == "a=1"


@pytest.mark.parametrize(
    ("sampler", "header", "expected"),
    [
        (NONE, None, 0),
        (NONE, SAMPLED, 1),
        (NONE, UNSAMPLED, 0),
        (ParentBased(TraceIdRatioBased(1.0)), None, 1),
        (ParentBased(TraceIdRatioBased(1.0)), UNSAMPLED, 0),
        (ALWAYS_OFF, SAMPLED, 0),
        (TraceIdRatioBased(1.0), UNSAMPLED, 1),
        (ParentBased(TraceIdRatioBased(1.0)), "00-zz-00-00", 1),
    ],
)
async def test_who_decides_what_is_sampled(serve: Serve, sampler: Sampler, header: str | None, expected: int) -> None:
    """The parent, where there is one and the sampler heeds it, else the sampler; what is malformed is no parent."""
    kept = Kept(sampler)
    await (await serve(kept)).get("/ask?q=hello", headers={"traceparent": header} if header else {})
    assert len(kept.spans) == expected


async def test_a_share_is_sampled(serve: Serve) -> None:
    """Of many exchanges about the share is sampled, each with an id of its own that the sampler agrees with."""
    sampler = TraceIdRatioBased(0.25)
    kept = Kept(ParentBased(sampler))
    client = await serve(kept)
    for _ in range(200):
        await client.get("/ask?q=hello")
    found = {ids(span)[0] for span in kept.spans}
    assert len(found) == len(kept.spans)
    assert 20 <= len(found) <= 80  # 50, and five standard deviations to each side
    assert all(int(id[16:], 16) < sampler.bound for id in found)


async def test_an_exchange_that_is_not_sampled_has_no_span(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK is not asked for a span at all, and answer and log are as without tracing."""
    kept = Kept(NONE)
    started: list[str] = []
    tracer = type(kept.provider.get_tracer("x"))
    monkeypatch.setattr(tracer, "start_span", lambda _self, name, *_more, **_named: started.append(name))
    assert (await (await serve(kept)).get("/ask?q=abc")).status == 200
    assert started == []


@pytest.mark.parametrize(
    ("question", "settings", "status", "fault"),
    [
        ("boom", {}, 500, "ValueError"),
        ("wait", {"deadline": "50ms"}, 504, "deadline-exceeded"),
    ],
)
async def test_failures_are_recorded(
    serve: Serve, question: str, settings: dict[str, str], status: int, fault: str
) -> None:
    """Code that fails, and code that is too slow, are errors of the server's span and the code's, with the reason."""
    kept = Kept()
    reply = await (await serve(kept, **settings)).get(f"/ask?q={question}")
    server, code = kept.span("GET /ask"), kept.span("code")
    assert (reply.status, told(server)["http.response.status_code"]) == (status, status)
    assert [span.status.status_code for span in (server, code)] == [StatusCode.ERROR] * 2
    assert [told(span)["error.type"] for span in (server, code)] == [fault] * 2
    assert "secret" not in str([span.to_json() for span in kept.spans])


async def test_shedding_is_recorded(serve: Serve) -> None:
    """Who found no place gets a 503 that the trace has, with its reason, and no code."""
    kept, fake = Kept(), Upper(deterministic=False)
    client = await serve(kept, fake, concurrency="1", queue="0")
    held = asyncio.ensure_future(client.get("/ask?q=wait"))
    await asyncio.wait_for(fake.waiting.wait(), 5)
    assert (await client.get("/ask?q=abc")).status == 503
    (span,) = kept.spans
    assert (told(span)["http.response.status_code"], told(span)["error.type"]) == (503, "overloaded")
    assert span.status.status_code is StatusCode.ERROR
    fake.release.set()
    await held


async def test_a_stream_that_fails_is_recorded(serve: Serve) -> None:
    """A failure after the first event is an error, although the client's status was 200."""
    kept = Kept()
    client = await serve(kept, Upper(streams=True))
    reply = await client.get("/ask?q=a+boom", headers={"Accept": "text/event-stream"})
    assert (reply.status, "event: error" in await reply.text()) == (200, True)
    await until(lambda: kept.spans[2:])
    assert kept.span("GET /ask").status.status_code is StatusCode.ERROR
    assert told(kept.span("code"))["error.type"] == "ValueError"


async def test_what_the_client_did_wrong_is_no_error(serve: Serve) -> None:
    """A 404 and a 400 have their status, and are no errors of the server's."""
    kept = Kept()
    client = await serve(kept)
    for path in ("/ask?q=nothing", "/ask"):
        await client.get(path)
    servers = [span for span in kept.spans if span.kind is SpanKind.SERVER]
    assert [told(span)["http.response.status_code"] for span in servers] == [404, 400]
    assert {span.status.status_code for span in kept.spans} == {StatusCode.UNSET}
    assert not [span for span in kept.spans if "error.type" in told(span)]


async def test_a_client_that_leaves(serve: Serve) -> None:
    """The span ends as cancelled, without a status that was never sent; so does the code."""
    kept, fake = Kept(), Upper(deterministic=False)
    client = await serve(kept, fake)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.get("/ask?q=wait")
    await until(lambda: any(span.kind is SpanKind.SERVER for span in kept.spans))
    server = kept.span("GET /ask")
    assert ("http.response.status_code" in told(server), told(server)["error.type"]) == (False, "cancelled")
    assert told(kept.span("code"))["error.type"] == "cancelled"
    assert server.status.status_code is StatusCode.UNSET


async def test_probes_and_scrapes_are_not_traced(serve: Serve) -> None:
    """The platform's own requests make no spans, whoever asks for them."""
    kept = Kept()
    client = await serve(kept)
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        await client.get(path, headers={"traceparent": SAMPLED})
    assert kept.spans == []


async def test_strangers_name_no_span(serve: Serve) -> None:
    """Unknown paths and methods share a name, so that they fill no list; the attributes have what was sent."""
    kept = Kept()
    client = await serve(kept)
    await client.get("/private/matter?q=private")
    await client.request("PROPFIND", "/pot")
    first, second = kept.spans
    assert [span.name for span in kept.spans] == ["GET", "HTTP"]
    assert (told(first)["url.path"], "http.route" in told(first)) == ("/private/matter", False)
    assert [told(second)[f"http.request.method{end}"] for end in ("", "_original")] == ["_OTHER", "PROPFIND"]


async def test_a_prefix_belongs_to_the_route(serve: Serve) -> None:
    """Below a prefix the route is the whole template."""
    kept = Kept(prefix="/answers")
    client = await serve(kept, prefix="/answers")
    for path in ("/answers/ask?q=hello", "/answers"):
        await client.get(path)
    assert [told(span)["http.route"] for span in kept.spans] == ["/answers/ask", "/answers"]


@pytest.mark.parametrize("questions", [True, False])
async def test_questions_are_told_on_demand_alone(serve: Serve, questions: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The question's text is an attribute where the setting says so, and nowhere else."""
    kept = Kept(questions=questions)
    client = await serve(kept)
    await client.get("/ask?q=private", headers={"Referer": "/ask?q=private"})
    await client.post("/ask", json={"q": "private"})
    assert ("private" in str([span.to_json() for span in kept.spans])) is questions


async def test_ids_are_in_every_line(serve: Serve, log: Captured) -> None:
    """Lines of a sampled exchange have the ids of its span; those of another have what its client sent, or nothing."""
    kept = Kept(NONE)
    client = await serve(kept)
    for header in (SAMPLED, UNSAMPLED, ""):
        await client.get("/ask?q=boom", headers={"traceparent": header} if header else {})
    lines = log.lines()
    assert {line["event"] for line in lines} == {"exchange", "the answerer failed"}
    found = [(line.get("trace_id"), line.get("span_id")) for line in lines]
    assert found == [ids(kept.span("GET /ask"))] * 2 + [(TRACE, None)] * 2 + [(None, None)] * 2


async def test_buckets_have_examples(serve: Serve) -> None:
    """The duration histogram has the ids of a sampled exchange in OpenMetrics, and none in the older format."""
    kept = Kept(NONE)
    client = await serve(kept)
    await client.get("/ask?q=hello", headers={"traceparent": SAMPLED})
    await client.get("/ask?q=hello")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    lines = (await (await client.get("/metrics", headers=accept)).text()).splitlines()
    trace_id, span_id = ids(kept.span("GET /ask"))
    (line,) = [line for line in lines if " # {" in line]
    assert line.startswith("askd_request_duration_seconds_bucket{")
    assert f'# {{span_id="{span_id}",trace_id="{trace_id}"}} ' in line
    assert " # {" not in await (await client.get("/metrics")).text()


class Curious(Answerer):
    """Traces its own doings, as users' code does, and tells which ids it would pass on."""

    kind = name = "curious"

    def __init__(self, kept: Kept) -> None:
        self._tracer = kept.provider.get_tracer("users.code")

    async def answer(self, question: Question) -> Answer:
        """Do something in a span."""
        with self._tracer.start_as_current_span("thinking"):
            seen = trace.get_current_span().get_span_context()
        return Answer(f"{seen.trace_id:032x} {seen.trace_flags:02x}")


async def test_the_codes_own_spans_join(serve: Serve) -> None:
    """A span of the code's is below the server's; where the exchange is not sampled, there is none of either."""
    kept = Kept(NONE)
    client = await serve(kept, Curious(kept))
    answers = []
    for header in (SAMPLED, "", UNSAMPLED, ""):
        reply = await client.get("/ask?q=a", headers={"traceparent": header} if header else {})
        answers.append((await reply.json())["answer"].split())
    assert below(kept.span("thinking")) == ids(kept.span("GET /ask"))[1]
    assert [int(flags, 16) & 1 for _, flags in answers] == [1, 0, 0, 0]
    assert [id for id, _ in answers][::2] == [TRACE, TRACE]
    assert len({id for id, _ in answers}) == 3  # what is not sampled has a trace of its own, each time another


async def test_exchanges_at_once_keep_apart(serve: Serve) -> None:
    """Questions that overlap on several connections are traces of their own, each with its own stages."""
    kept = Kept()
    client = await serve(kept, Upper(deterministic=False))
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(session.get(client.make_url(f"/ask?q=n{number}")) for number in range(20)))
    servers = {ids(span): span for span in kept.spans if span.kind is SpanKind.SERVER}
    assert len({trace_id for trace_id, _ in servers}) == 20
    for name in ("queue", "code"):
        assert {(ids(span)[0], below(span)) for span in kept.spans if span.name == name} == set(servers)


async def test_who_joined_a_call_says_whose(serve: Serve) -> None:
    """Of two who ask the same at once one has the code, and the other names the one whose call it was."""
    kept, fake = Kept(), Upper()
    client = await serve(kept, fake)
    asking = [asyncio.ensure_future(client.get("/ask?q=wait", headers={"X-Request-Id": "first"}))]
    await asyncio.wait_for(fake.waiting.wait(), 5)
    asking.append(asyncio.ensure_future(client.get("/ask?q=wait", headers={"X-Request-Id": "second"})))
    await until(lambda: client.app and sum(1 for _ in fake.asked) == 1 and _joined(client))
    fake.release.set()
    await asyncio.gather(*asking)
    leaders = {told(span)["askd.request.id"]: told(span).get("askd.leader") for span in kept.spans if not span.parent}
    assert leaders == {"first": None, "second": "first"}
    assert kept.span("code").parent


def _joined(client: Client) -> bool:
    from service.app import METRICS

    return bool(client.app[METRICS].registry.get_sample_value("askd_flight_results_total", {"result": "joined"}))
