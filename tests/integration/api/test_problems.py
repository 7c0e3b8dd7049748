"""Failures: each is a problem that tells the client what it needs and nothing internal."""

import json

import pytest
from aiohttp import ClientResponse

from service.errors import MethodNotAllowed, Refused
from tests.fakes import Scripted, Upper
from tests.web.conftest import Client, Log, Serve

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PROBLEM = "application/problem+json"

Failing = tuple[str, str, dict[str, str], int, str, str | None]
FAILURES: list[Failing] = [
    ("GET", "/ask", {}, 400, "bad-question", "Bad question"),
    ("GET", "/ask?q=nothing", {}, 404, "no-answer", "No answer"),
    ("GET", "/nowhere", {}, 404, "not-found", "Not found"),
    ("DELETE", "/ask", {}, 405, "method-not-allowed", "Method not allowed"),
    ("GET", "/ask?q=a", {"Accept": "image/png"}, 406, "not-acceptable", "Not acceptable"),
    ("POST", "/ask", {"Content-Type": "application/json", "Content-Length": "90000"}, 413, "body-too-large", None),
    ("POST", "/ask", {"Content-Type": "text/plain"}, 415, "unsupported-media-type", "Unsupported media type"),
    ("GET", "/ask?q=a", {"Expect": "wonders"}, 417, "expectation-failed", "Expectation failed"),
    ("GET", "/ask?q=boom", {}, 500, "answerer-failed", "The answerer failed"),
]
FAILING = pytest.mark.parametrize("failing", FAILURES, ids=lambda failing: f"{failing[3]} {failing[4]}")


async def failed(client: Client, method: str, path: str, **headers: str) -> ClientResponse:
    """Ask for something that fails; return the response."""
    data = b"x" * int(headers.pop("Content-Length", "0")) or None
    return await client.request(method, path, headers=headers, data=data)


@pytest.mark.parametrize("prefix", ["", "/answers"])
@FAILING
async def test_every_failure_is_a_problem(serve: Serve, prefix: str, failing: Failing) -> None:
    """Each has the members of RFC 9457, its code in `type`, the request's id, and is never stored."""
    method, path, headers, status, code, title = failing
    response = await failed(await serve(prefix=prefix), method, prefix + path, **headers)
    problem = await response.json(content_type=PROBLEM)
    assert (response.status, problem["status"], problem["type"]) == (status, status, f"{prefix}/docs#{code}")
    assert problem["title"] == title or title is None
    assert (problem["instance"], bool(problem["detail"])) == (prefix + path.partition("?")[0], True)
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", "Accept")


@FAILING
async def test_every_failure_is_readable(serve: Serve, failing: Failing) -> None:
    """A browser gets the same as a page, with a strict policy."""
    method, path, headers, status, code, _title = failing
    response = await failed(await serve(), method, path, **{"Accept": BROWSER, **headers})
    if headers.get("Accept"):
        assert response.content_type == PROBLEM
        return
    page = await response.text()
    assert (response.status, response.content_type) == (status, "text/html")
    assert (str(status) in page, f"#{code}" in page, response.headers["X-Request-Id"] in page) == (True, True, True)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (response.headers["X-Frame-Options"], response.headers["Referrer-Policy"]) == ("DENY", "no-referrer")


async def test_programs_never_get_a_page(serve: Serve) -> None:
    """HTML is only for those who prefer it: curl's `*/*`, JSON first, and silence get JSON."""
    client = await serve()
    for accept in ("*/*", "application/json, text/html", "", "text/plain"):
        assert (await client.get("/nowhere", headers={"Accept": accept})).content_type == PROBLEM


async def test_nothing_internal_leaks(serve: Serve, log: Log) -> None:
    """The client learns nothing of what the code raised; the log has it once, with traceback and the request's id."""
    client = await serve()
    for accept in (BROWSER, "*/*"):
        response = await client.get("/ask?q=boom", headers={"Accept": accept, "X-Request-Id": "mine"})
        told = await response.text() + str(response.headers)
        assert not [word for word in ("secret", "ValueError", "Traceback", ".py") if word in told]
    lines = [line for line in log.lines() if "exception" in line]
    assert [(line["event"], line["level"], line["id"]) for line in lines] == [
        ("the answerer failed", "error", "mine")
    ] * 2
    assert all("ValueError: a secret of the code" in line["exception"] for line in lines)
    assert log.text.count("Traceback") == 2


async def test_a_fault_of_askd_is_an_internal_error(serve: Serve, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """What askd itself does wrong is 500 `internal-error`, logged once, and not blamed on the code."""
    client = await serve()
    monkeypatch.setattr("service.web.render.rendered", lambda *_: 1 / 0)
    response = await client.get("/ask?q=hello")
    problem = await response.json(content_type=PROBLEM)
    assert (response.status, problem["type"], "division" in str(problem)) == (500, "/docs#internal-error", False)
    assert [line["event"] for line in log.lines()] == ["uncaught error", "exchange"]


async def test_code_refuses_with_its_own_status(serve: Serve) -> None:
    """A refusal of the code reaches the client with its status and words."""
    response = await (await serve(Scripted(Refused(402, "Pay first.")))).get("/ask?q=a")
    assert (response.status, (await response.json(content_type=PROBLEM))["detail"]) == (402, "Pay first.")


async def test_code_that_cancels_itself_has_failed(serve: Serve, log: Log) -> None:
    """A CancelledError of the code's own making is its failure: the client is there and gets a 500."""
    import asyncio

    client = await serve(Scripted(asyncio.CancelledError()))
    for accept in ("*/*", "text/event-stream"):
        assert (await client.get("/ask?q=a", headers={"Accept": accept})).status == 500
    assert [line["status"] for line in log.lines("exchange")] == [500, 500]


@pytest.mark.parametrize("path", ["/%ff%0d%0a", '/a b|<>"{}^`', "/问", "/.//", "/.../;a=b?x=%zz"])
async def test_instance_is_a_uri(serve: Serve, path: str) -> None:
    """Whatever path was asked for, `instance` is ASCII without what a URI may not have."""
    problem = await (await (await serve()).get(path)).json(content_type=PROBLEM)
    assert problem["status"] == 404
    assert not set(problem["instance"]) & set(' <>"{}|\\^`\r\n')
    assert problem["instance"].isascii()


METHODS = ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "LOCK"]
PATHS = {"/ask": "GET, HEAD, OPTIONS, POST", "/": "GET, HEAD, OPTIONS", "/livez": "GET, HEAD, OPTIONS"}


@pytest.mark.parametrize(("path", "allow"), PATHS.items())
async def test_other_methods_are_405(serve: Serve, path: str, allow: str) -> None:
    """A method that a path does not have is 405 and says which it has; OPTIONS says the same."""
    client = await serve()
    for method in METHODS:
        response = await client.request(method, path)
        assert (response.status, response.headers["Allow"]) == (405, allow)
        assert (await response.json(content_type=PROBLEM))["detail"].startswith(f"{method} is not allowed here.")
    options = await client.options(path)
    assert (options.status, options.headers["Allow"], await options.read()) == (204, allow, b"")


def test_allow_is_sorted() -> None:
    """`Allow` has the same order whatever the order of the methods."""
    assert MethodNotAllowed("X", ["B", "A"]).headers == {"Allow": "A, B"}


async def test_head_of_a_failure_has_no_body(serve: Serve) -> None:
    """HEAD of what fails has GET's status and type and no body."""
    response = await (await serve()).head("/ask")
    assert (response.status, response.content_type, await response.read()) == (400, PROBLEM, b"")


async def test_a_starting_server_says_when_to_come_again(serve: Serve) -> None:
    """Before the answerer is loaded, also where a stop cuts the load short, `/ask` is 503 with Retry-After."""
    from service.app import HEALTH

    fake = Upper(slow_load=True)
    client = await serve(fake, loaded=False)
    for phase in ("starting", "draining"):
        response = await client.get("/ask?q=hello")
        assert (response.status, response.headers["Retry-After"]) == (503, "1"), phase
        client.app[HEALTH].draining()
    assert fake.asked == []


async def test_half_surrogates_are_refused_wherever_they_stand(serve: Serve) -> None:
    """Half a surrogate pair in a name or value of the body is 400 and not a failure of ours."""
    client = await serve()
    for body in (rb'{"q":"a","lang":"\ud800"}', rb'{"q":"a","\udc00":1}', rb'{"\ud800":1,"\ud800":2}'):
        response = await client.post("/ask", data=body, headers={"Content-Type": "application/json"})
        assert (response.status, json.loads(await response.read())["type"]) == (400, "/docs#bad-question")
    whole = await client.post("/ask", data=rb'{"q":"\ud83d\ude00"}', headers={"Content-Type": "application/json"})
    assert await whole.json() == {"answer": "😀"}
