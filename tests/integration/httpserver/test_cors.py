"""Cross-origin requests: which pages may ask, and what they may read."""

import pytest

from tests.fakes import Scripted
from tests.web.conftest import Serve

ORIGIN = "https://example.org"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


async def test_by_default_no_other_page_may_ask(serve: Serve) -> None:
    """Without the setting there is no header of CORS, and a preflight is an ordinary OPTIONS."""
    client = await serve()
    answer = await client.get("/ask?q=hello", headers={"Origin": ORIGIN})
    preflight = await client.options("/ask", headers=PREFLIGHT)
    for response in (answer, preflight):
        assert not [name for name in response.headers if name.startswith("Access-Control")]
    assert (answer.headers["Vary"], preflight.headers["Allow"]) == ("Accept", "GET, HEAD, OPTIONS, POST")


ASKED = {
    "an answer": ("/ask?q=hello", "*/*", 200),
    "a stream": ("/ask?q=abc", "text/event-stream", 200),
    "a failure": ("/ask?q=boom", "*/*", 500),
    "a wrong path": ("/nowhere", "*/*", 404),
    "a page of one": ("/nowhere", "text/html", 404),
}


@pytest.mark.parametrize(("path", "accept", "status"), ASKED.values(), ids=ASKED)
async def test_an_admitted_page_reads_everything(serve: Serve, path: str, accept: str, status: int) -> None:
    """Answers, streams and failures alike say that the origin may read them, and which headers."""
    client = await serve(cors_origins=f"{ORIGIN},https://b.example")
    response = await client.get(path, headers={"Origin": ORIGIN, "Accept": accept})
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"ETag", "Retry-After", "Server-Timing", "X-Request-Id"} <= exposed
    assert (response.headers["Timing-Allow-Origin"], response.headers["Vary"]) == (ORIGIN, "Accept, Origin")


async def test_a_304_may_be_read(serve: Serve) -> None:
    """A validated answer has the headers as well."""
    response = await (await serve(cors_origins=ORIGIN)).get(
        "/ask?q=hello", headers={"Origin": ORIGIN, "If-None-Match": "*"}
    )
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (304, ORIGIN)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://example.org.evil.example", "http://example.org", "null"]
)
async def test_another_page_is_told_nothing(serve: Serve, origin: str) -> None:
    """An origin that is not listed gets no permission; caches are still told that the origin matters."""
    client = await serve(cors_origins=ORIGIN)
    answer = await client.get("/ask?q=hello", headers={"Origin": origin})
    preflight = await client.options("/ask", headers={**PREFLIGHT, "Origin": origin})
    for response in (answer, preflight):
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Access-Control-Allow-Methods" not in response.headers
        assert "Origin" in response.headers["Vary"]


async def test_any_page(serve: Serve) -> None:
    """With `*` every origin may ask, and answers do not vary by it."""
    response = await (await serve(cors_origins="*")).get("/ask?q=hello", headers={"Origin": "null"})
    assert (response.headers["Access-Control-Allow-Origin"], response.headers["Vary"]) == ("*", "Accept")


@pytest.mark.parametrize("path", ["/ask", "/answers/ask", "/nowhere"])
async def test_a_preflight_is_answered_before_anything_else(serve: Serve, path: str) -> None:
    """A preflight is 204 with methods, headers and how long that holds; the code is not asked."""
    client = await serve(Scripted(ValueError()), cors_origins=ORIGIN, prefix="/answers")
    headers = {**PREFLIGHT, "Access-Control-Request-Headers": "content-type"}
    response = await client.options(path, headers=headers)
    assert (response.status, response.headers["Access-Control-Allow-Origin"], await response.read()) == (
        204,
        ORIGIN,
        b"",
    )
    assert {"GET", "HEAD", "POST"} <= set(response.headers["Access-Control-Allow-Methods"].split(", "))
    allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"content-type", "x-request-id", "traceparent", "authorization"} <= set(allowed)
    assert (response.headers["Access-Control-Max-Age"], response.headers["Vary"]) == ("600", "Origin")


async def test_options_without_a_preflight_is_ordinary(serve: Serve) -> None:
    """OPTIONS that announces no method is about the resource, and tells its methods."""
    response = await (await serve(cors_origins=ORIGIN)).options("/ask", headers={"Origin": ORIGIN})
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
