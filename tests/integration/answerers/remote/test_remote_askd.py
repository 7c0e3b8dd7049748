"""Tests of another askd as the answerer: two real servers, and fake ones with invalid responses."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import ClientSession, web

from askd.answerers.remote import AskdAnswerer
from askd.app import LOAD_TASK, create_app
from askd.config import Settings
from askd.errors import (
    BadQuestion,
    BodyTooLarge,
    Interrupted,
    LoopDetected,
    NoAnswer,
    Problem,
    Refused,
    Unavailable,
    UpstreamFailed,
)
from askd.models import Answer, Answerer
from tests.integration.answerers.remote.conftest import StartServer
from tests.support.fake_langgraph_server import SSE_HEADERS, askd_answerer, ignore_progress, make_question, sse_event
from tests.support.fakes import UppercaseAnswerer


class ServerChain:
    """Two servers: `front` forwards questions to `back`, which has the answerer."""

    def __init__(self, start: StartServer, client: ClientSession) -> None:
        self._start = start
        self.client = client

    async def serve(self, answerer: Answerer, **settings: Any) -> str:
        """Start a server, wait until its answerer is loaded, and return its URL."""
        app = create_app(Settings(**settings), answerer=answerer)
        url = await self._start(app)
        await app[LOAD_TASK]
        return url

    async def build(self, answerer: Answerer) -> None:
        """Start both servers."""
        self.back = await self.serve(answerer)
        self.front = await self.serve(askd_answerer(self.back))

    async def ask_both(self, query: str) -> list[tuple[int, Any]]:
        """Ask both servers. Returns the status and the JSON of each, without the request ID."""
        responses = []
        for url in (self.back, self.front):
            async with self.client.get(f"{url}/ask?{query}") as response:
                members = json.loads(await response.text())
                members.pop("request_id", None)
                responses.append((response.status, members))
        return responses


@pytest.fixture
async def chain(start: StartServer) -> AsyncIterator[ServerChain]:
    """Return a chain whose servers are not started yet."""
    async with ClientSession() as client:
        yield ServerChain(start, client)


@pytest.mark.parametrize("query", ["q=abc", "q=gr%C3%BC%C3%9Fe", "q=field", "q=nothing", "q=hello"])
async def test_answers_are_passed_through(chain: ServerChain, query: str) -> None:
    """Answers with extra fields and no-answer problems with suggestions are passed through unchanged."""
    await chain.build(UppercaseAnswerer())
    back, front = await chain.ask_both(query)
    assert front == back


async def test_failure(chain: ServerChain) -> None:
    """A 500 from the back server becomes a 502; neither response contains the cause."""
    await chain.build(UppercaseAnswerer())
    back, front = await chain.ask_both("q=boom")
    assert (back[0], front[0]) == (500, 502)
    assert "secret" not in str(front)


async def test_parameters(chain: ServerChain) -> None:
    """Text parameters are forwarded as text, and JSON parameters as JSON."""
    answerer = UppercaseAnswerer(deterministic=False)
    await chain.build(answerer)
    await chain.ask_both("q=abc&lang=en&lang=fr&other=1")
    body = {"q": "abc", "lang": {"a": [1, None]}}
    async with chain.client.post(f"{chain.front}/ask", json=body) as response:
        assert response.status == 200
    assert [question.parameters for question in answerer.questions] == [{"lang": ["en", "fr"]}] * 2 + [
        {"lang": {"a": [1, None]}}
    ]


async def test_forwarded_headers(chain: ServerChain) -> None:
    """The request ID is forwarded, the hops are incremented, and the Authorization header is removed."""
    answerer = UppercaseAnswerer(deterministic=False)
    await chain.build(answerer)
    headers = {"X-Request-Id": "abc", "Authorization": "Bearer secret"}
    async with chain.client.get(f"{chain.front}/ask?q=abc", headers=headers) as response:
        assert response.headers["X-Request-Id"] == "abc"
    assert answerer.questions[0].id == "abc"
    assert answerer.questions[0].headers["X-Askd-Hops"] == "1"
    assert "Authorization" not in answerer.questions[0].headers


async def test_stream_is_passed_through(chain: ServerChain) -> None:
    """The streams of both servers are byte-identical."""
    await chain.build(UppercaseAnswerer(deterministic=False, supports_streaming=True))
    texts = []
    for url in (chain.back, chain.front):
        async with chain.client.get(f"{url}/ask?q=one+two", headers={"Accept": "text/event-stream"}) as response:
            texts.append(await response.text())
    assert texts[0] == texts[1]
    assert texts[0].count("event: delta") == 2


async def test_stream_failure(chain: ServerChain) -> None:
    """A failure in the middle of a stream becomes an error event; a 404 before its start stays a 404."""
    await chain.build(UppercaseAnswerer(supports_streaming=True))
    headers = {"Accept": "text/event-stream"}
    async with chain.client.get(f"{chain.front}/ask?q=one+boom", headers=headers) as response:
        text = await response.text()
        assert "upstream-failed" in text
        assert "secret" not in text
    async with chain.client.get(f"{chain.front}/ask?q=nothing", headers=headers) as response:
        assert response.status == 404


async def test_client_disconnect(chain: ServerChain) -> None:
    """A client that disconnects from the front server cancels the answerer of the back server."""
    answerer = UppercaseAnswerer(supports_streaming=True)
    await chain.build(answerer)
    headers = {"Accept": "text/event-stream"}
    async with chain.client.get(f"{chain.front}/ask?q=one+wait", headers=headers) as response:
        assert (await response.content.readline()).strip() == b"event: delta"
        await asyncio.wait_for(answerer.wait_started.wait(), 30)
        response.close()
    await asyncio.wait_for(answerer.cancelled.wait(), 30)


async def test_contract(chain: ServerChain) -> None:
    """The front server's OpenAPI document has the contract of the back server."""
    await chain.build(UppercaseAnswerer(supports_streaming=True))
    documents = []
    for url in (chain.back, chain.front):
        async with chain.client.get(f"{url}/openapi.json") as response:
            documents.append(await response.json())
    back, front = documents
    assert front["info"]["title"] == back["info"]["title"] == "upper"
    assert front["x-answerer"]["streams"] is True
    examples = [document["paths"]["/ask"]["get"]["parameters"][0]["examples"] for document in documents]
    assert examples[0] == examples[1]


async def test_contract_after_late_discovery(chain: ServerChain, unreachable_url: str) -> None:
    """The OpenAPI document has the contract once a server that was down at the start is discovered."""
    answerer = askd_answerer(unreachable_url)
    front = await chain.serve(answerer)
    async with chain.client.get(f"{front}/ask?q=abc") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
    async with chain.client.get(f"{front}/openapi.json") as response:
        assert (await response.json())["info"]["title"] == "askd"
    answerer.upstream.base_url = await chain.serve(UppercaseAnswerer())
    async with chain.client.get(f"{front}/ask?q=abc") as response:
        assert await response.json() == {"answer": "ABC"}
    async with chain.client.get(f"{front}/openapi.json") as response:
        assert (await response.json())["info"]["title"] == "upper"


async def test_loop(chain: ServerChain) -> None:
    """Two servers that forward to each other, and a server that forwards to itself, respond with 508."""
    answerer = askd_answerer("http://127.0.0.1:1")
    answerer.is_discovered = True
    first_url = await chain.serve(answerer)
    second_url = await chain.serve(askd_answerer(first_url))
    answerer.upstream.base_url = second_url
    for accept in ("application/json", "text/event-stream"):
        async with chain.client.get(f"{first_url}/ask?q=abc", headers={"Accept": accept}) as response:
            assert response.status == 508
            assert (await response.json())["type"].endswith("#loop-detected")
    answerer.upstream.base_url = first_url
    async with chain.client.get(f"{first_url}/ask?q=abc") as response:
        assert response.status == 508


def problem_body(code: str, **members: Any) -> dict[str, Any]:
    """Return the body of a problem response of askd."""
    return {"type": f"/docs#{code}", "detail": "why", "request_id": "1", "instance": "/ask", **members}


PROBLEMS = [
    (400, problem_body("bad-question", parameter="lang"), BadQuestion, {"parameter": "lang"}),
    (404, problem_body("no-answer", suggestions=["a", 1]), NoAnswer, {"suggestions": ["a"]}),
    (404, problem_body("no-answer", suggestions="abc"), NoAnswer, {"suggestions": []}),
    (404, problem_body("not-found"), UpstreamFailed, {}),
    (409, problem_body("interrupted", interrupt={"a": 1}, headers=1, self=2), Interrupted, {"interrupt": {"a": 1}}),
    (413, problem_body("body-too-large"), BodyTooLarge, {}),
    (418, problem_body("refused"), Refused, {}),
    (500, problem_body("answerer-failed"), UpstreamFailed, {}),
    (500, problem_body("refused"), UpstreamFailed, {}),
    (502, problem_body("upstream-failed"), UpstreamFailed, {}),
    (503, problem_body("unavailable"), Unavailable, {}),
    (508, problem_body("loop-detected"), LoopDetected, {}),
    (400, [], UpstreamFailed, {}),
    (400, {"type": 1}, UpstreamFailed, {}),
    (200, {"answer": None}, UpstreamFailed, {}),
    (200, [], UpstreamFailed, {}),
]


@pytest.mark.parametrize(("status", "body", "problem_type", "members"), PROBLEMS)
async def test_problems(
    start: StartServer, status: int, body: Any, problem_type: type[Problem], members: dict[str, Any]
) -> None:
    """Problems that the client can fix are passed through; all others become UpstreamFailed or Unavailable."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers={"Retry-After": "9"})

    answerer = await load_answerer(start, answer)
    with pytest.raises(problem_type) as caught:
        await answerer.answer(make_question())
    assert type(caught.value) is problem_type
    assert caught.value.extensions == members
    assert caught.value.retry_after == (9 if problem_type is Unavailable else None)
    assert problem_type is not Refused or caught.value.status == 418
    assert (caught.value.detail == "why") is (problem_type not in {UpstreamFailed, NoAnswer})
    await answerer.close()


STREAMS = [
    ([sse_event("delta", "a"), sse_event("answer", {"answer": "ab", "x": 1})], ["a", Answer("ab", {"x": 1})], None),
    ([b": still here\n\n", sse_event("delta", "a")], ["a"], UpstreamFailed),
    ([sse_event("delta", "a"), sse_event("error", problem_body("interrupted", status=409))], ["a"], Interrupted),
    ([sse_event("error", problem_body("unavailable", status=503))], [], Unavailable),
    ([sse_event("error", problem_body("x", status="y"))], [], UpstreamFailed),
    ([sse_event("error", 1)], [], UpstreamFailed),
    ([sse_event("answer", {"other": 1})], [], UpstreamFailed),
    ([b"event: answer\ndata: {\n\n"], [], UpstreamFailed),
    ([], [], UpstreamFailed),
]


@pytest.mark.parametrize(("events", "expected", "problem_type"), STREAMS)
async def test_streams(
    start: StartServer, events: list[bytes], expected: list[Any], problem_type: type[Problem] | None
) -> None:
    """Deltas are passed through; a stream that fails or ends without an answer raises a problem."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"".join(events), headers=SSE_HEADERS)

    answerer = await load_answerer(start, answer)
    items: list[Any] = []
    raised_type: type[Problem] | None = None
    try:
        async with aclosing(answerer.stream(make_question())) as stream:
            async for item in stream:
                items.append(item)  # noqa: PERF401 - keeps the items before a failure
    except Problem as error:
        raised_type = type(error)
    assert (items, raised_type) == (expected, problem_type)
    await answerer.close()


async def load_answerer(start: StartServer, answer: Any) -> AskdAnswerer:
    """Load an answerer for a server that only has `/ask`, because the contract is optional."""
    app = web.Application()
    app.router.add_post("/ask", answer)
    answerer = askd_answerer(await start(app))
    await answerer.load(ignore_progress)
    assert await answerer.ready() == (True, "")
    return answerer
