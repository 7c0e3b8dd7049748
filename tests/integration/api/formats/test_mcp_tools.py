"""Tools of MCP: their description, their results, and the guards around a call."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from askd.api.formats.mcp_tool import build_tool
from askd.api.formats.named_handler import create_named_handlers, public_name
from askd.app import INSTRUMENTATION, LOAD_TASK, METRICS, create_app
from askd.config import Settings
from askd.errors import BadQuestion, Refused
from askd.models import Answer, Answerer, Contract, Parameter, Question, QuestionForm
from tests.integration.api.formats.mcp_client import (
    call,
    post,
    read_stream,
    request_body,
)
from tests.support.app_fixtures import AskdTestServer, Log, ServeApp
from tests.support.fakes import ScriptedAnswerer, UppercaseAnswerer, cancelled_on_exit, wait_until
from tests.support.request_metrics import request_count
from tests.support.span_recorder import SpanRecorder

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("main.py:answer", "answer"),
        ("package.module:Class.method", "Class_method"),
        ("books/faq.yaml", "faq"),
        ("/srv/handbook/", "handbook"),
        ("langgraph.json#agent", "agent"),
        ("langgraph.json", "langgraph"),
        ("http://host:2024#assistant", "assistant"),
        ("ask+http://host:2024", "host"),
        ("ünï", "n"),
        ("日本", "ask"),
        ("x" * 100 + ".py", "x" * 64),
    ],
)
def test_name_of_the_tool_is_the_last_part_of_the_spec(name: str, public: str) -> None:
    """Hosts allow 1 to 64 ASCII letters, digits, underscores and hyphens."""
    assert public_name(name) == public


class Documented(UppercaseAnswerer):
    """An answerer with a contract."""

    supports_threads = True
    contract = Contract(
        summary="Return the weather.",
        description="In Celsius.",
        question=QuestionForm(name="city", description="Name of the city."),
        parameters=[
            Parameter(
                name="days", schema={"$ref": "#/$defs/Days", "$defs": {"Days": {"type": "integer"}}}, required=True
            )
        ],
        allows_unknown_parameters=False,
        answer_schema={"type": "object", "properties": {"answer": {"type": "number"}}},
        examples=["Bern", "Oslo"],
    )


def test_tool_describes_the_contract() -> None:
    """Name, description, schemas and hints come from the contract of the answerer."""
    tool = build_tool("weather", Documented(), max_length=100, deterministic=True)
    assert tool["description"] == (
        "Return the weather.\n\nIn Celsius.\n\nQuestions that it answers, for example: Bern | Oslo"
    )
    schema = tool["inputSchema"]
    assert list(schema["properties"]) == ["city", "days", "thread"]
    assert schema["properties"]["city"]["description"] == "Name of the city."
    assert (schema["required"], schema["additionalProperties"]) == (["city", "days"], False)
    assert schema["properties"]["days"] == {"$ref": "#/$defs/parameter.days.Days"}
    assert schema["$defs"] == {"parameter.days.Days": {"type": "integer"}}
    assert tool["outputSchema"] == {"type": "object", "properties": {"answer": {"type": "number"}}}
    assert tool["annotations"] == {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False}


def test_code_that_is_not_deterministic_has_no_hints() -> None:
    """Code may do anything unless it declares otherwise."""
    assert "annotations" not in build_tool("x", UppercaseAnswerer(), max_length=9, deterministic=False)


def test_whole_request_has_only_its_fields() -> None:
    """A model without a field for the question has no further argument for it."""
    answerer = UppercaseAnswerer()
    answerer.contract = Contract(
        question=QuestionForm(name="request", schema={"type": "object"}, required=False),
        parameters=[Parameter(name="a", schema={"type": "integer"}, required=True)],
    )
    schema = build_tool("x", answerer, max_length=9, deterministic=False)["inputSchema"]
    assert (list(schema["properties"]), schema["required"]) == (["a"], ["a"])


async def test_list_follows_the_contract(serve: ServeApp) -> None:
    """A reload of the answerer changes the list."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer)
    for summary in ("Shouts.", "Shouts louder."):
        answerer.contract = Contract(summary=summary)
        _, body, _ = await post(client, request_body("tools/list"))
        assert body["result"]["tools"][0]["description"] == summary
    assert (body["result"]["ttlMs"], body["result"]["cacheScope"]) == (300_000, "public")


async def test_result_has_text_and_fields(serve: ServeApp) -> None:
    """The text is for models, the structured content is the JSON of `/ask`."""
    result = await call(await serve(), "upper", {"q": "field"})
    assert result["content"] == [{"type": "text", "text": "FIELD"}]
    assert result["structuredContent"] == {"answer": "FIELD", "more": 1}
    assert result["resultType"] == "complete"


class Failing(Answerer):
    """Raises the error that the test sets."""

    kind, name = "fake", "failing"
    contract = Contract(question=QuestionForm(name="city"))
    error: Exception

    async def answer(self, question: Question) -> Answer:
        raise self.error


TOOL_ERRORS: dict[str, tuple[Exception, int, str]] = {
    "bad parameter": (BadQuestion("days", "`days`: expected `int`."), 400, "`days`: expected `int`."),
    "refusal": (Refused(403, "Not for you."), 403, "Not for you."),
    "exception": (ValueError("a secret of the code"), 500, "The answerer failed. The server log has the cause"),
}


@pytest.mark.parametrize(("error", "status", "text"), TOOL_ERRORS.values(), ids=TOOL_ERRORS)
async def test_failed_call_is_a_result(serve: ServeApp, log: Log, error: Exception, status: int, text: str) -> None:
    """A model reads the hint of askd; metrics and log have the status that `/ask` would have sent."""
    answerer = Failing()
    answerer.error = error
    client = await serve(answerer)
    result = await call(client, "failing", {"city": "Bern"})
    assert result["isError"] is True
    assert result["content"][0]["text"].startswith(text)
    assert "secret" not in str(result)
    line = log.lines("request")[-1]
    fields = "http.route", "http.response.status_code"
    assert [line[field] for field in fields] == ["/mcp", status]
    registry = client.app[METRICS].registry
    assert request_count(registry, route="/mcp", method="POST", status=status) == 1


async def test_missing_question_is_a_result(serve: ServeApp) -> None:
    """The hint names the argument as the tool calls it."""
    result = await call(await serve(Failing()), "failing", {})
    assert (result["isError"], result["content"][0]["text"][:19]) == (True, "'city' is missing. ")


async def test_missing_answer_suggests_questions(serve: ServeApp) -> None:
    """A question that has no answer is a result with questions that have one."""
    result = await call(await serve(), "upper", {"q": "nothing"})
    assert (result["isError"], result["content"][0]["text"]) == (
        True,
        "There is no answer to this question. Questions that have one: hello",
    )


async def test_overload_keeps_status_and_retry_after(serve: ServeApp) -> None:
    """Load balancers and clients see a 503, as at `/ask`."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = await serve(answerer, concurrency="1", queue_size="0")
    async with cancelled_on_exit(asyncio.create_task(call(client, "upper", {"q": "wait"}))):
        await answerer.wait_started.wait()
        status, body, headers = await post(
            client, request_body("tools/call", {"name": "upper", "arguments": {"q": "x"}})
        )
    assert (status, body["id"], body["error"]["code"]) == (503, 7, 503)
    assert int(headers["Retry-After"]) >= 1
    assert body["error"]["data"]["title"] == "Overloaded"


async def test_rate_limit_keeps_status_and_retry_after(serve: ServeApp) -> None:
    """A client over its limit gets a 429 with the usual headers."""
    client = await serve(rate_limit="1/h")
    statuses = [await post(client, request_body("server/discover")) for _ in range(2)]
    assert [status for status, _, _ in statuses] == [200, 429]
    _, body, headers = statuses[1]
    assert (body["error"]["code"], "Retry-After" in headers, "RateLimit" in headers) == (429, True, True)


async def test_token_is_required(serve: ServeApp, tmp_path: Path) -> None:
    """Without a token, nothing is answered; with one, the list of tools is not for other callers."""
    token = "askd_" + "a" * 43
    (tmp_path / "tokens").write_text(f"alice: {hashlib.sha256(token.encode()).hexdigest()}\n")
    client = await serve(tokens_file=str(tmp_path / "tokens"))
    status, body, headers = await post(client, request_body("tools/list"))
    assert (status, body["error"]["code"], headers["WWW-Authenticate"]) == (401, 401, 'Bearer realm="askd"')
    status, body, _ = await post(client, request_body("tools/list"), Authorization=f"Bearer {token}")
    assert (status, body["result"]["cacheScope"]) == (200, "private")


async def test_large_body_is_413(serve: ServeApp) -> None:
    """The body size is limited as at `/ask`."""
    body = request_body("tools/call", {"name": "upper", "arguments": {"q": "x" * 2000}})
    assert (await post(await serve(body_max_size="1024"), body))[0] == 413


async def test_loading_answerer_is_503(serve: ServeApp) -> None:
    """The tools are known only when the answerer is loaded; the versions are known before."""
    client = await serve(UppercaseAnswerer(slow_load=True), loaded=False)
    assert (await post(client, request_body("server/discover")))[0] == 200
    status, _, headers = await post(client, request_body("tools/list"))
    assert (status, headers["Retry-After"]) == (503, "1")


async def test_deadline_is_504(serve: ServeApp) -> None:
    """A call that takes too long keeps the status of `/ask`."""
    client = await serve(UppercaseAnswerer(), deadline="50ms")
    status, body, _ = await post(client, request_body("tools/call", {"name": "upper", "arguments": {"q": "wait"}}))
    assert (status, body["id"], body["error"]["code"]) == (504, 7, 504)


async def test_answers_share_the_cache(serve: ServeApp) -> None:
    """A question that `/ask` has answered is answered from the cache, and the reverse."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer)
    await client.get("/ask?q=one")
    await call(client, "upper", {"q": "one"})
    await call(client, "upper", {"q": "two"})
    await client.get("/ask?q=two")
    assert [question.text for question in answerer.questions] == ["one", "two"]


async def test_disconnect_cancels_the_call(serve: ServeApp) -> None:
    """Closing the connection is the cancellation of MCP."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = await serve(answerer)
    async with cancelled_on_exit(asyncio.create_task(call(client, "upper", {"q": "wait"}))):
        await answerer.wait_started.wait()
    await answerer.cancelled.wait()
    await wait_until(lambda: client.app[INSTRUMENTATION].in_flight == 0)
    assert request_count(client.app[METRICS].registry, route="/mcp", method="POST", status=499) == 1


async def test_streamed_answer_is_progress(serve: ServeApp) -> None:
    """Each delta is a notification with a growing number; the response comes last."""
    client = await serve(ScriptedAnswerer("one ", "two", Answer("one two")))
    media_type, messages = await read_stream(client, "hi", token=0)
    assert media_type == "text/event-stream"
    progress = [message["params"] for message in messages[:-1]]
    assert progress == [
        {"progressToken": 0, "progress": 1, "message": "one "},
        {"progressToken": 0, "progress": 2, "message": "two"},
    ]
    assert (messages[-1]["id"], messages[-1]["result"]["structuredContent"]) == (7, {"answer": "one two"})


async def test_stream_may_end_with_an_error(serve: ServeApp, log: Log) -> None:
    """A failure after the first delta is the result of the stream."""
    client = await serve(ScriptedAnswerer("one ", ValueError("a secret of the code")))
    _, messages = await read_stream(client, "hi")
    assert messages[-1]["result"]["isError"] is True
    assert log.lines("request")[-1]["http.response.status_code"] == 500


async def test_no_token_means_no_stream(serve: ServeApp) -> None:
    """A client that wants no progress gets JSON, although the answerer streams."""
    result = await call(await serve(ScriptedAnswerer("one", Answer("one"))), "scripted", {"q": "hi"})
    assert result["structuredContent"] == {"answer": "one"}


async def test_parent_of_the_trace_is_in_the_body(aiohttp_client: Any) -> None:
    """`_meta.traceparent` decides about trace and sampling, before the header, which a proxy may have set."""
    recorder = SpanRecorder(ParentBased(ALWAYS_OFF))
    app = create_app(Settings.load({}, {}), answerer=UppercaseAnswerer(), tracer=recorder.tracing)
    client = await aiohttp_client(AskdTestServer(app))
    body = request_body("tools/list", traceparent=TRACEPARENT)
    header = f"00-{'1' * 32}-{'2' * 16}-00"
    await post(client, body, traceparent=header)
    await post(client, request_body("tools/list"), traceparent=header)
    span = recorder.span("POST /mcp")
    assert f"{span.context.trace_id:032x}" in TRACEPARENT
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" in TRACEPARENT
    assert len(recorder.spans) == 1


async def test_each_answerer_is_a_tool_and_a_model(serve: ServeApp, tmp_path: Path, aiohttp_client: Any) -> None:
    """Several answerers are several tools and models, the default one first; names that become equal get a number."""
    (tmp_path / "two_tools.py").write_text(
        "def one(text): return 'one'\ndef two(text): return 'two'\n__all__ = ['one', 'two']\n"
    )
    app = create_app(Settings.load({"answerer": f"{tmp_path}/two_tools.py:*"}, {}))
    client = await aiohttp_client(AskdTestServer(app))
    await app[LOAD_TASK]
    _, body, _ = await post(client, request_body("tools/list"))
    assert [tool["name"] for tool in body["result"]["tools"]] == ["one", "two"]
    assert (await call(client, "two", {"text": "hi"}))["structuredContent"] == {"answer": "two"}
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    for model, answer in (("two", "two"), ("one", "one"), ("", "one")):
        response = await client.post("/v1/chat/completions", json={**chat, "model": model})
        assert (await response.json())["choices"][0]["message"]["content"] == answer


def test_equal_names_get_a_number() -> None:
    """Names of tools are unique, although their alphabet is small."""

    class Named(NamedTuple):
        name: str
        answerer: None = None

    class Answerers(list[Named]):
        default = None

    answerers: Any = Answerers([Named("ä"), Named("a b"), Named("a_b")])
    named = create_named_handlers(answerers, {served.name: served for served in answerers})
    assert [handler.name for handler in named] == ["ask", "a_b", "a_b_2"]
