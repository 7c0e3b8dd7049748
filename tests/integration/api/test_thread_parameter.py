"""`thread`: the conversation that a question belongs to, from the request to the answerer."""

from typing import Any

import pytest

from service.models import Answer, Question
from service.settings import Settings
from service.web import openapi
from tests.fakes import Upper
from tests.web.conftest import Log, Serve


class Talker(Upper):
    """Remembers what was said in each thread."""

    kind = "talker"
    conversational = True

    def __init__(self, *, deterministic: bool = True) -> None:
        super().__init__(deterministic=deterministic)
        self.said: dict[str | None, list[str]] = {}

    def at_hand(self, question: Question) -> Answer | None:
        """Nothing is: each answer depends on what was said."""
        return None

    async def answer(self, question: Question) -> Answer:
        """Say how often something was said in the thread."""
        self.asked.append(question)
        self.said.setdefault(question.thread, []).append(question.text)
        return Answer(str(len(self.said[question.thread])))


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "query": ("GET", {"params": {"q": "hi", "thread": "a/b c"}}),
    "form": ("POST", {"data": {"q": "hi", "thread": "a/b c"}}),
    "json": ("POST", {"json": {"q": "hi", "thread": "a/b c"}}),
}


@pytest.mark.parametrize(("method", "request_"), REQUESTS.values(), ids=REQUESTS)
async def test_reaches_the_answerer(serve: Serve, method: str, request_: dict[str, Any]) -> None:
    """Query, form and JSON carry it; it is no parameter of the answerer's."""
    talker = Talker()
    client = await serve(talker)
    response = await client.request(method, "/ask", **request_)
    assert (response.status, await response.json()) == (200, {"answer": "1"})
    assert [(question.thread, question.parameters) for question in talker.asked] == [("a/b c", {})]


async def test_streams_carry_it(serve: Serve) -> None:
    """A streamed question belongs to its thread."""
    talker = Talker()
    client = await serve(talker)
    response = await client.get("/ask?q=hi&thread=a", headers={"Accept": "text/event-stream"})
    assert b'{"answer":"1"}' in await response.read()
    assert talker.asked[0].thread == "a"


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_never_given_from_the_cache(serve: Serve, accept: str) -> None:
    """Within a thread the same question is asked again, though the answerer is deterministic; outside it is not."""
    talker = Talker()
    client = await serve(talker)
    for path, asked in (("/ask?q=hi&thread=a", 2), ("/ask?q=hi", 3)):
        for _ in range(2):
            await (await client.get(path, headers={"Accept": accept})).read()
        assert len(talker.asked) == asked


async def test_never_validated(serve: Serve) -> None:
    """An answer within a thread has no validator, and must not be stored; `If-None-Match` means nothing."""
    client = await serve(Talker())
    response = await client.get("/ask?q=hi&thread=a", headers={"If-None-Match": "*"})
    assert (response.status, response.headers["Cache-Control"], "ETag" in response.headers) == (200, "no-store", False)
    assert "ETag" in (await client.get("/ask?q=hi")).headers


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "empty": ("GET", {"params": {"q": "hi", "thread": ""}}, "is not 1 to 256 characters"),
    "too long": ("GET", {"params": {"q": "hi", "thread": "x" * 257}}, "is not 1 to 256 characters"),
    "control": ("GET", {"params": {"q": "hi", "thread": "a\nb"}}, "none of them a control character"),
    "nul": ("POST", {"json": {"q": "hi", "thread": "\0"}}, "none of them a control character"),
    "twice": ("GET", {"params": [("q", "hi"), ("thread", "a"), ("thread", "b")]}, "is given 2 times"),
    "number": ("POST", {"json": {"q": "hi", "thread": 7}}, "is not 1 to 256 characters"),
    "object": ("POST", {"json": {"q": "hi", "thread": {}}}, "is not 1 to 256 characters"),
    "list": ("POST", {"json": {"q": "hi", "thread": ["a"]}}, "is not 1 to 256 characters"),
    "surrogate": ("POST", {"data": b'{"q":"hi","thread":"\\ud800"}'}, "surrogate"),
}


@pytest.mark.parametrize(("method", "request_", "said"), BAD.values(), ids=BAD)
async def test_bad_ones_are_refused_by_name(serve: Serve, method: str, request_: dict[str, Any], said: str) -> None:
    """What is no thread's name is a 400 that names the parameter, and never reaches the code."""
    talker = Talker()
    headers = {"Content-Type": "application/json"} if "data" in request_ else {}
    response = await (await serve(talker)).request(method, "/ask", **request_, headers=headers)
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["parameter"]) == (400, "thread")
    assert said in problem["detail"]
    assert not talker.asked


@pytest.mark.parametrize("thread", ["a" * 256, "ü☃" * 128, "x"])
async def test_any_other_characters_will_do(serve: Serve, thread: str) -> None:
    """1 to 256 characters of any script."""
    talker = Talker()
    assert (await (await serve(talker)).get("/ask", params={"q": "hi", "thread": thread})).status == 200
    assert talker.asked[0].thread == thread


async def test_null_is_none(serve: Serve) -> None:
    """In JSON `null` is the same as nothing."""
    talker = Talker()
    await (await serve(talker)).post("/ask", json={"q": "hi", "thread": None})
    assert talker.asked[0].thread is None


async def test_without_conversations_it_is_a_name_as_others(serve: Serve) -> None:
    """An answerer that remembers nothing gets no thread; the name is free for a parameter of its own."""

    class Sewing(Upper):
        def bind(self, given: Any, *, textual: bool) -> Any:
            return dict(given)

    fake = Sewing()
    response = await (await serve(fake)).get("/ask?q=hi&thread=silk&thread=wool")
    assert response.status == 200
    assert (fake.asked[0].thread, fake.asked[0].parameters) == (None, {"thread": ["silk", "wool"]})


async def test_not_in_the_log(serve: Serve, log: Log) -> None:
    """The name of a conversation may be private, as the question."""
    await (await serve(Talker())).get("/ask?q=hi&thread=a-secret-name")
    lines = [line for line in log.lines() if line.get("logger") != "aiohttp.access"]  # the test server's own
    assert [line["route"] for line in lines if "route" in line] == ["/ask"]
    assert "a-secret-name" not in str(lines)


def test_the_contract_offers_it_where_it_means_something() -> None:
    """Parameter and body show it for a conversational answerer, and not for others; one of that name is not doubled."""
    for answerer, offered in ((Talker(), 1), (Upper(), 0)):
        document = openapi.document(Settings(), answerer, max_length=10)
        get = document["paths"]["/ask"]["get"]
        assert sum(each.get("name") == "thread" for each in get["parameters"]) == offered
        assert ("thread" in document["components"]["schemas"]["Question"]["properties"]) == bool(offered)
        assert document["x-answerer"]["conversational"] == bool(offered)


async def test_the_home_page_asks_for_it(serve: Serve) -> None:
    """The page's form has a field for the thread where there are such."""
    browser = {"Accept": "text/html"}
    assert 'name="thread"' in await (await (await serve(Talker())).get("/", headers=browser)).text()
    assert 'name="thread"' not in await (await (await serve(Upper())).get("/", headers=browser)).text()
