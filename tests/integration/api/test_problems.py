"""Error responses: each is an RFC 9457 problem without internal details."""

import json

import pytest
from aiohttp import ClientResponse

from askd.errors import MethodNotAllowed, Refused
from tests.support.app_fixtures import Client, Log, ServeApp
from tests.support.fakes import ScriptedAnswerer, UppercaseAnswerer

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PROBLEM = "application/problem+json"

FailingRequest = tuple[str, str, dict[str, str], int, str, str | None]
FAILURES: list[FailingRequest] = [
    ("GET", "/ask", {}, 400, "bad-question", "Bad question"),
    ("GET", "/ask?q=nothing", {}, 404, "no-answer", "No answer"),
    ("GET", "/nowhere", {}, 404, "not-found", "Not found"),
    ("DELETE", "/ask", {}, 405, "method-not-allowed", "Method not allowed"),
    ("GET", "/ask?q=a", {"Accept": "image/png"}, 406, "not-acceptable", "Not acceptable"),
    ("POST", "/ask", {"Content-Type": "application/json", "Content-Length": "90000"}, 413, "body-too-large", None),
    ("POST", "/ask", {"Content-Type": "text/plain"}, 415, "unsupported-media-type", "Unsupported media type"),
    (
        "GET",
        "/ask?q=a",
        {"Expect": "something-else"},
        417,
        "expectation-failed",
        "Expectation failed",
    ),
    ("GET", "/ask?q=boom", {}, 500, "answerer-failed", "The answerer failed"),
]
FAILING = pytest.mark.parametrize("failing", FAILURES, ids=lambda failing: f"{failing[3]} {failing[4]}")


async def send_failing_request(client: Client, method: str, path: str, **headers: str) -> ClientResponse:
    """Send a request that fails; return the response."""
    data = b"x" * int(headers.pop("Content-Length", "0")) or None
    return await client.request(method, path, headers=headers, data=data)


@pytest.mark.parametrize("prefix", ["", "/answers"])
@FAILING
async def test_every_error_is_a_problem(serve: ServeApp, prefix: str, failing: FailingRequest) -> None:
    """Each has the members of RFC 9457, a code in `type` and the request id, and must not be stored."""
    method, path, headers, status, code, title = failing
    response = await send_failing_request(await serve(prefix=prefix), method, prefix + path, **headers)
    problem = await response.json(content_type=PROBLEM)
    assert (response.status, problem["status"], problem["type"]) == (status, status, f"{prefix}/docs#{code}")
    assert problem["title"] == title or title is None
    assert (problem["instance"], bool(problem["detail"])) == (prefix + path.partition("?")[0], True)
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", "Accept")


@FAILING
async def test_every_error_has_a_page(serve: ServeApp, failing: FailingRequest) -> None:
    """Browsers get each problem as a page with a strict policy."""
    method, path, headers, status, code, _title = failing
    response = await send_failing_request(await serve(), method, path, **{"Accept": BROWSER, **headers})
    if headers.get("Accept"):
        assert response.content_type == PROBLEM
        return
    page = await response.text()
    assert (response.status, response.content_type) == (status, "text/html")
    assert (str(status) in page, f"#{code}" in page, response.headers["X-Request-Id"] in page) == (True, True, True)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (response.headers["X-Frame-Options"], response.headers["Referrer-Policy"]) == ("DENY", "no-referrer")


async def test_only_browsers_get_a_page(serve: ServeApp) -> None:
    """Clients that do not prefer HTML get JSON."""
    client = await serve()
    for accept in ("*/*", "application/json, text/html", "", "text/plain"):
        assert (await client.get("/nowhere", headers={"Accept": accept})).content_type == PROBLEM


async def test_internal_details_are_only_logged(serve: ServeApp, log: Log) -> None:
    """The response reveals nothing about the exception; the log has its traceback once, with the request id."""
    client = await serve()
    for accept in (BROWSER, "*/*"):
        response = await client.get("/ask?q=boom", headers={"Accept": accept, "X-Request-Id": "mine"})
        sent = await response.text() + str(response.headers)
        assert not [word for word in ("secret", "ValueError", "Traceback", ".py") if word in sent]
    lines = [line for line in log.lines() if "exception" in line]
    assert [(line["event"], line["level"], line["request_id"]) for line in lines] == [
        ("answerer_failed", "error", "mine")
    ] * 2
    assert all("ValueError: a secret of the code" in line["exception"] for line in lines)
    assert log.text.count("Traceback") == 2


async def test_bug_in_askd_is_an_internal_error(serve: ServeApp, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in askd itself is a 500 `internal-error` and is logged once."""
    client = await serve()
    monkeypatch.setattr("askd.api.rendering.encode_answer_body", lambda *_: 1 / 0)
    response = await client.get("/ask?q=hello")
    problem = await response.json(content_type=PROBLEM)
    assert (response.status, problem["type"], "division" in str(problem)) == (500, "/docs#internal-error", False)
    assert [line["event"] for line in log.lines()] == ["internal_error", "request"]


async def test_answerer_can_reject_with_own_status(serve: ServeApp) -> None:
    """Status and detail of a Refused error reach the client."""
    response = await (await serve(ScriptedAnswerer(Refused(402, "Pay first.")))).get("/ask?q=a")
    assert (response.status, (await response.json(content_type=PROBLEM))["detail"]) == (402, "Pay first.")


async def test_cancelled_error_of_the_answerer_is_a_failure(serve: ServeApp, log: Log) -> None:
    """A CancelledError that the answerer raises itself is a 500."""
    import asyncio

    client = await serve(ScriptedAnswerer(asyncio.CancelledError()))
    for accept in ("*/*", "text/event-stream"):
        assert (await client.get("/ask?q=a", headers={"Accept": accept})).status == 500
    assert [line["http.response.status_code"] for line in log.lines("request")] == [500, 500]


@pytest.mark.parametrize("path", ["/%ff%0d%0a", '/a b|<>"{}^`', "/问", "/.//", "/.../;a=b?x=%zz"])
async def test_instance_is_a_uri(serve: ServeApp, path: str) -> None:
    """For any path, `instance` is ASCII without characters that a URI does not allow."""
    problem = await (await (await serve()).get(path)).json(content_type=PROBLEM)
    assert problem["status"] == 404
    assert not set(problem["instance"]) & set(' <>"{}|\\^`\r\n')
    assert problem["instance"].isascii()


METHODS = ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "LOCK"]
PATHS = {"/ask": "GET, HEAD, OPTIONS, POST", "/": "GET, HEAD, OPTIONS", "/livez": "GET, HEAD, OPTIONS"}


@pytest.mark.parametrize(("path", "allow"), PATHS.items())
async def test_unsupported_methods_are_405(serve: ServeApp, path: str, allow: str) -> None:
    """A 405 and OPTIONS list the allowed methods."""
    client = await serve()
    for method in METHODS:
        response = await client.request(method, path)
        assert (response.status, response.headers["Allow"]) == (405, allow)
        assert (await response.json(content_type=PROBLEM))["detail"].startswith(f"{method} is not allowed here.")
    options = await client.options(path)
    assert (options.status, options.headers["Allow"], await options.read()) == (204, allow, b"")


def test_allow_is_sorted() -> None:
    """The order of methods in `Allow` does not depend on the order of registration."""
    assert MethodNotAllowed("X", ["B", "A"]).headers == {"Allow": "A, B"}


async def test_head_of_an_error_has_no_body(serve: ServeApp) -> None:
    """HEAD has the status and media type of GET, and no body."""
    response = await (await serve()).head("/ask")
    assert (response.status, response.content_type, await response.read()) == (400, PROBLEM, b"")


async def test_starting_server_sends_retry_after(serve: ServeApp) -> None:
    """Until the answerer is loaded, and if draining begins before that, `/ask` is 503 with Retry-After."""
    from askd.app import HEALTH

    answerer = UppercaseAnswerer(slow_load=True)
    client = await serve(answerer, loaded=False)
    for phase in ("starting", "draining"):
        response = await client.get("/ask?q=hello")
        assert (response.status, response.headers["Retry-After"]) == (503, "1"), phase
        client.app[HEALTH].drain_state.is_draining = True
    assert answerer.questions == []


async def test_unpaired_surrogates_are_rejected(serve: ServeApp) -> None:
    """An unpaired surrogate in a name or value of a JSON body is a 400."""
    client = await serve()
    for body in (rb'{"q":"a","lang":"\ud800"}', rb'{"q":"a","\udc00":1}', rb'{"\ud800":1,"\ud800":2}'):
        response = await client.post("/ask", data=body, headers={"Content-Type": "application/json"})
        assert (response.status, json.loads(await response.read())["type"]) == (400, "/docs#bad-question")
    paired = await client.post("/ask", data=rb'{"q":"\ud83d\ude00"}', headers={"Content-Type": "application/json"})
    assert await paired.json() == {"answer": "😀"}
