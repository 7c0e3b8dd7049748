"""Askd asks askd: two real apps, and whatever calls itself one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import ClientSession, web

from service.answerers.remote import Askd
from service.app import LOADED, create_app
from service.errors import (
    BadQuestion,
    BodyTooLarge,
    Interrupted,
    Looped,
    NoAnswer,
    Problem,
    Refused,
    Unavailable,
    UpstreamFailed,
)
from service.models import Answer, Answerer
from service.settings import Settings
from tests.fakes import Upper

from .conftest import Start
from .fakes import SSE, askd, asked, event, quiet


class Chain:
    """Two servers: `behind` has the answerer, `front` asks it over HTTP."""

    def __init__(self, start: Start, client: ClientSession) -> None:
        self._start = start
        self.client = client

    async def serve(self, answerer: Answerer, **settings: Any) -> str:
        """Serve an answerer, and give its URL."""
        app = create_app(Settings(**settings), answerer=answerer)
        url = await self._start(app)
        await app[LOADED]
        return url

    async def build(self, answerer: Answerer) -> "Chain":
        """Serve both."""
        self.behind = await self.serve(answerer)
        self.front = await self.serve(askd(self.behind))
        return self

    async def both(self, query: str, **more: Any) -> list[tuple[int, Any]]:
        """What each of the two answers: status and JSON, without what tells of the exchange itself."""
        found = []
        for base in (self.behind, self.front):
            async with self.client.get(f"{base}/ask?{query}", **more) as reply:
                members = json.loads(await reply.text())
                members.pop("request_id", None)
                found.append((reply.status, members))
        return found


@pytest.fixture
async def chain(start: Start) -> AsyncIterator[Chain]:
    """Give a chain that is not built yet."""
    async with ClientSession() as client:
        yield Chain(start, client)


@pytest.mark.parametrize("query", ["q=abc", "q=gr%C3%BC%C3%9Fe", "q=field", "q=nothing", "q=hello"])
async def test_passes_through(chain: Chain, query: str) -> None:
    """Answers with their extra fields, and no-answers with their suggestions, are the same behind and in front."""
    await chain.build(Upper())
    behind, front = await chain.both(query)
    assert front == behind


async def test_failure(chain: Chain) -> None:
    """A failure behind, a 500 there, is a 502 in front, and neither says why."""
    await chain.build(Upper())
    behind, front = await chain.both("q=boom")
    assert (behind[0], front[0]) == (500, 502)
    assert "secret" not in str(front)


async def test_parameters(chain: Chain) -> None:
    """Parameters go through as they came: text as text, JSON as JSON."""
    upper = Upper(deterministic=False)
    await chain.build(upper)
    await chain.both("q=abc&lang=en&lang=fr&other=1")
    body = {"q": "abc", "lang": {"a": [1, None]}}
    async with chain.client.post(f"{chain.front}/ask", json=body) as reply:
        assert reply.status == 200
    assert [question.parameters for question in upper.asked] == [{"lang": ["en", "fr"]}] * 2 + [
        {"lang": {"a": [1, None]}}
    ]


async def test_ids_chain(chain: Chain) -> None:
    """The id is one from front to back, the hops are counted, and Authorization stays in front."""
    upper = Upper(deterministic=False)
    await chain.build(upper)
    headers = {"X-Request-Id": "abc", "Authorization": "Bearer secret"}
    async with chain.client.get(f"{chain.front}/ask?q=abc", headers=headers) as reply:
        assert reply.headers["X-Request-Id"] == "abc"
    assert upper.asked[0].id == "abc"
    assert upper.asked[0].headers["X-Askd-Hops"] == "1"
    assert "Authorization" not in upper.asked[0].headers


async def test_stream(chain: Chain) -> None:
    """A stream is the same in front, to the byte."""
    await chain.build(Upper(deterministic=False, streams=True))
    texts = []
    for base in (chain.behind, chain.front):
        async with chain.client.get(f"{base}/ask?q=one+two", headers={"Accept": "text/event-stream"}) as reply:
            texts.append(await reply.text())
    assert texts[0] == texts[1]
    assert texts[0].count("event: delta") == 2


async def test_stream_fails(chain: Chain) -> None:
    """A failure within the stream behind is an error event in front, a 404 before it a 404."""
    await chain.build(Upper(streams=True))
    headers = {"Accept": "text/event-stream"}
    async with chain.client.get(f"{chain.front}/ask?q=one+boom", headers=headers) as reply:
        text = await reply.text()
        assert "upstream-failed" in text
        assert "secret" not in text
    async with chain.client.get(f"{chain.front}/ask?q=nothing", headers=headers) as reply:
        assert reply.status == 404


async def test_client_leaves(chain: Chain) -> None:
    """A client that leaves the stream in front stops the code behind."""
    upper = Upper(streams=True)
    await chain.build(upper)
    async with chain.client.get(f"{chain.front}/ask?q=one+wait", headers={"Accept": "text/event-stream"}) as reply:
        assert (await reply.content.readline()).strip() == b"event: delta"
        await asyncio.wait_for(upper.waiting.wait(), 30)
        reply.close()
    await asyncio.wait_for(upper.stopped.wait(), 30)


async def test_contract(chain: Chain) -> None:
    """What the one behind tells of itself, `/openapi.json` in front tells too."""
    code = Upper(streams=True)
    await chain.build(code)
    found = []
    for base in (chain.behind, chain.front):
        async with chain.client.get(f"{base}/openapi.json") as reply:
            found.append(await reply.json())
    behind, front = found
    assert front["info"]["title"] == behind["info"]["title"] == "upper"
    assert front["x-answerer"]["streams"] is True
    examples = [each["paths"]["/ask"]["get"]["parameters"][0]["examples"] for each in found]
    assert examples[0] == examples[1]


async def test_contract_comes_later(chain: Chain, nowhere: str) -> None:
    """A server that was down at the start is not ready, then found; `/openapi.json` tells its contract from then on."""
    answerer = askd(nowhere)
    front = await chain.serve(answerer)
    async with chain.client.get(f"{front}/ask?q=abc") as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    async with chain.client.get(f"{front}/openapi.json") as reply:
        assert (await reply.json())["info"]["title"] == "askd"
    answerer.upstream.base = await chain.serve(Upper())
    async with chain.client.get(f"{front}/ask?q=abc") as reply:
        assert await reply.json() == {"answer": "ABC"}
    async with chain.client.get(f"{front}/openapi.json") as reply:
        assert (await reply.json())["info"]["title"] == "upper"


async def test_circle(chain: Chain) -> None:
    """Two that ask one another end after five hops with 508, and so does one that asks itself."""
    first = askd("http://127.0.0.1:1")
    first.found = True
    one = await chain.serve(first)
    two = await chain.serve(askd(one))
    first.upstream.base = two
    for accept in ("application/json", "text/event-stream"):
        async with chain.client.get(f"{one}/ask?q=abc", headers={"Accept": accept}) as reply:
            assert reply.status == 508
            assert (await reply.json())["type"].endswith("#looped")
    first.upstream.base = one
    async with chain.client.get(f"{one}/ask?q=abc") as reply:
        assert reply.status == 508


def problem(code: str, **members: Any) -> dict[str, Any]:
    """A problem as askd writes it."""
    return {"type": f"/docs#{code}", "detail": "why", "request_id": "1", "instance": "/ask", **members}


PROBLEMS = [
    (400, problem("bad-question", parameter="lang"), BadQuestion, {"parameter": "lang"}),
    (404, problem("no-answer", suggestions=["a", 1]), NoAnswer, {"suggestions": ["a"]}),
    (404, problem("no-answer", suggestions="abc"), NoAnswer, {"suggestions": []}),
    (404, problem("not-found"), UpstreamFailed, {}),
    (409, problem("interrupted", interrupt={"a": 1}, headers=1, self=2), Interrupted, {"interrupt": {"a": 1}}),
    (413, problem("body-too-large"), BodyTooLarge, {}),
    (418, problem("refused"), Refused, {}),
    (500, problem("answerer-failed"), UpstreamFailed, {}),
    (500, problem("refused"), UpstreamFailed, {}),
    (502, problem("upstream-failed"), UpstreamFailed, {}),
    (503, problem("unavailable"), Unavailable, {}),
    (508, problem("looped"), Looped, {}),
    (400, [], UpstreamFailed, {}),
    (400, {"type": 1}, UpstreamFailed, {}),
    (200, {"answer": 1}, UpstreamFailed, {}),
    (200, [], UpstreamFailed, {}),
]


@pytest.mark.parametrize(("status", "body", "kind", "members"), PROBLEMS)
async def test_problems(start: Start, status: int, body: Any, kind: type[Problem], members: dict[str, Any]) -> None:
    """What the client can mend passes through as the same problem; the rest is 502, or 503 for a while."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers={"Retry-After": "9"})

    answerer = await loaded(start, answer)
    with pytest.raises(kind) as caught:
        await answerer.answer(asked())
    assert type(caught.value) is kind
    assert caught.value.members == members
    assert caught.value.retry_after == (9 if kind is Unavailable else None)
    assert kind is not Refused or caught.value.status == 418
    assert (caught.value.detail == "why") is (kind not in {UpstreamFailed, NoAnswer})
    await answerer.close()


STREAMS = [
    ([event("delta", "a"), event("answer", {"answer": "ab", "x": 1})], ["a", Answer("ab", {"x": 1})], None),
    ([b": still here\n\n", event("delta", "a")], ["a"], UpstreamFailed),
    ([event("delta", "a"), event("error", problem("interrupted", status=409))], ["a"], Interrupted),
    ([event("error", problem("unavailable", status=503))], [], Unavailable),
    ([event("error", problem("x", status="y"))], [], UpstreamFailed),
    ([event("error", 1)], [], UpstreamFailed),
    ([event("answer", {"other": 1})], [], UpstreamFailed),
    ([b"event: answer\ndata: {\n\n"], [], UpstreamFailed),
    ([], [], UpstreamFailed),
]


@pytest.mark.parametrize(("events", "expected", "kind"), STREAMS)
async def test_streams(start: Start, events: list[bytes], expected: list[Any], kind: type[Problem] | None) -> None:
    """Deltas pass through; a stream that fails, or ends without an answer, is the problem that it is."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"".join(events), headers=SSE)

    answerer = await loaded(start, answer)
    found: list[Any] = []
    ended: type[Problem] | None = None
    try:
        async with aclosing(answerer.stream(asked())) as items:
            async for item in items:
                found.append(item)  # noqa: PERF401 - what came before a failure counts
    except Problem as failed:
        ended = type(failed)
    assert (found, ended) == (expected, kind)
    await answerer.close()


async def loaded(start: Start, answer: Any) -> Askd:
    """An answerer for a server with `/ask` alone: the contract is optional."""
    app = web.Application()
    app.router.add_post("/ask", answer)
    answerer = askd(await start(app))
    await answerer.load(quiet)
    assert await answerer.ready() == (True, "")
    return answerer
