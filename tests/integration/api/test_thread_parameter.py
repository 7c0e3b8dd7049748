"""The `thread` parameter: from the request to the answerer."""

from typing import Any

import pytest

from askd.api import openapi
from askd.config import Settings
from askd.models import Answer, Question
from tests.support.app_fixtures import Log, ServeApp
from tests.support.fakes import UppercaseAnswerer


class ThreadCounter(UppercaseAnswerer):
    """Answers with the number of questions in the thread so far."""

    kind = "talker"
    supports_threads = True

    def __init__(self, *, deterministic: bool = True) -> None:
        super().__init__(deterministic=deterministic)
        self.threads: dict[str | None, list[str]] = {}

    def try_immediate(self, question: Question) -> Answer | None:
        """Return None."""
        return None

    async def answer(self, question: Question) -> Answer:
        """Count the question."""
        self.questions.append(question)
        self.threads.setdefault(question.thread_id, []).append(question.text)
        return Answer(str(len(self.threads[question.thread_id])))


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "query": ("GET", {"params": {"q": "hi", "thread": "a/b c"}}),
    "form": ("POST", {"data": {"q": "hi", "thread": "a/b c"}}),
    "json": ("POST", {"json": {"q": "hi", "thread": "a/b c"}}),
}


@pytest.mark.parametrize(("method", "request_"), REQUESTS.values(), ids=REQUESTS)
async def test_thread_reaches_answerer(serve: ServeApp, method: str, request_: dict[str, Any]) -> None:
    """Query, form and JSON can carry the thread id, which is not among the parameters."""
    answerer = ThreadCounter()
    client = await serve(answerer)
    response = await client.request(method, "/ask", **request_)
    assert (response.status, await response.json()) == (200, {"answer": "1"})
    assert [(question.thread_id, question.parameters) for question in answerer.questions] == [("a/b c", {})]


async def test_thread_reaches_answerer_of_stream(serve: ServeApp) -> None:
    """A streamed question belongs to its thread."""
    answerer = ThreadCounter()
    client = await serve(answerer)
    response = await client.get("/ask?q=hi&thread=a", headers={"Accept": "text/event-stream"})
    assert b'{"answer":"1"}' in await response.read()
    assert answerer.questions[0].thread_id == "a"


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_threads_bypass_the_cache(serve: ServeApp, accept: str) -> None:
    """A question in a thread is always computed again, even by a deterministic answerer."""
    answerer = ThreadCounter()
    client = await serve(answerer)
    for path, call_count in (("/ask?q=hi&thread=a", 2), ("/ask?q=hi", 3)):
        for _ in range(2):
            await (await client.get(path, headers={"Accept": accept})).read()
        assert len(answerer.questions) == call_count


async def test_threads_have_no_etag(serve: ServeApp) -> None:
    """An answer in a thread has no ETag, must not be stored, and ignores `If-None-Match`."""
    client = await serve(ThreadCounter())
    response = await client.get("/ask?q=hi&thread=a", headers={"If-None-Match": "*"})
    assert (response.status, response.headers["Cache-Control"], "ETag" in response.headers) == (200, "no-store", False)
    assert "ETag" in (await client.get("/ask?q=hi")).headers


INVALID: dict[str, tuple[str, dict[str, Any], str]] = {
    "empty": ("GET", {"params": {"q": "hi", "thread": ""}}, "must be a string of 1 to 256 characters"),
    "too long": ("GET", {"params": {"q": "hi", "thread": "x" * 257}}, "must be a string of 1 to 256 characters"),
    "control": ("GET", {"params": {"q": "hi", "thread": "a\nb"}}, "without control characters"),
    "nul": ("POST", {"json": {"q": "hi", "thread": "\0"}}, "without control characters"),
    "twice": ("GET", {"params": [("q", "hi"), ("thread", "a"), ("thread", "b")]}, "was sent 2 times"),
    "number": ("POST", {"json": {"q": "hi", "thread": 7}}, "must be a string of 1 to 256 characters"),
    "object": ("POST", {"json": {"q": "hi", "thread": {}}}, "must be a string of 1 to 256 characters"),
    "list": ("POST", {"json": {"q": "hi", "thread": ["a"]}}, "must be a string of 1 to 256 characters"),
    "surrogate": ("POST", {"data": b'{"q":"hi","thread":"\\ud800"}'}, "surrogate"),
}


@pytest.mark.parametrize(("method", "request_", "message"), INVALID.values(), ids=INVALID)
async def test_invalid_thread_is_rejected(serve: ServeApp, method: str, request_: dict[str, Any], message: str) -> None:
    """An invalid thread id gets a 400 that names the parameter, and does not reach the answerer."""
    answerer = ThreadCounter()
    headers = {"Content-Type": "application/json"} if "data" in request_ else {}
    response = await (await serve(answerer)).request(method, "/ask", **request_, headers=headers)
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["parameter"]) == (400, "thread")
    assert message in problem["detail"]
    assert not answerer.questions


@pytest.mark.parametrize("thread", ["a" * 256, "ü☃" * 128, "x"])
async def test_thread_allows_any_script(serve: ServeApp, thread: str) -> None:
    """A thread id is 1 to 256 characters of any script."""
    answerer = ThreadCounter()
    assert (await (await serve(answerer)).get("/ask", params={"q": "hi", "thread": thread})).status == 200
    assert answerer.questions[0].thread_id == thread


async def test_null_thread_means_no_thread(serve: ServeApp) -> None:
    """A JSON `null` is the same as no thread."""
    answerer = ThreadCounter()
    await (await serve(answerer)).post("/ask", json={"q": "hi", "thread": None})
    assert answerer.questions[0].thread_id is None


async def test_thread_is_ordinary_without_thread_support(serve: ServeApp) -> None:
    """If the answerer does not support threads, `thread` is an ordinary parameter."""

    class ParameterAnswerer(UppercaseAnswerer):
        def parse_parameters(self, values: Any, *, from_strings: bool) -> Any:
            return dict(values)

    answerer = ParameterAnswerer()
    response = await (await serve(answerer)).get("/ask?q=hi&thread=silk&thread=wool")
    assert response.status == 200
    assert (answerer.questions[0].thread_id, answerer.questions[0].parameters) == (None, {"thread": ["silk", "wool"]})


async def test_thread_is_not_logged(serve: ServeApp, log: Log) -> None:
    """A thread id may be private, like the question."""
    await (await serve(ThreadCounter())).get("/ask?q=hi&thread=a-secret-name")
    assert [line["http.route"] for line in log.lines("request")] == ["/ask"]
    assert "a-secret-name" not in log.text


def test_openapi_documents_thread_if_supported() -> None:
    """The document lists `thread` only for an answerer that supports threads."""
    for answerer, count in ((ThreadCounter(), 1), (UppercaseAnswerer(), 0)):
        document = openapi.build_document(Settings(), answerer, max_length=10)
        get = document["paths"]["/ask"]["get"]
        assert sum(parameter.get("name") == "thread" for parameter in get["parameters"]) == count
        assert ("thread" in document["components"]["schemas"]["Question"]["properties"]) == bool(count)
        assert document["x-answerer"]["conversational"] == bool(count)


async def test_home_page_has_thread_field_if_supported(serve: ServeApp) -> None:
    """The form has a field for the thread only if the answerer supports threads."""
    browser = {"Accept": "text/html"}
    assert 'name="thread"' in await (await (await serve(ThreadCounter())).get("/", headers=browser)).text()
    assert 'name="thread"' not in await (await (await serve(UppercaseAnswerer())).get("/", headers=browser)).text()
