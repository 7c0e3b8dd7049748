"""Cross-origin requests: which origins are allowed, and which headers their scripts may read."""

import pytest

from tests.support.app_fixtures import ServeApp
from tests.support.fakes import ScriptedAnswerer

ORIGIN = "https://example.org"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


async def test_cors_is_disabled_by_default(serve: ServeApp) -> None:
    """Without the setting, no CORS header is sent, and a preflight is an ordinary OPTIONS."""
    client = await serve()
    answer = await client.get("/ask?q=hello", headers={"Origin": ORIGIN})
    preflight = await client.options("/ask", headers=PREFLIGHT)
    for response in (answer, preflight):
        assert not [name for name in response.headers if name.startswith("Access-Control")]
    assert (answer.headers["Vary"], preflight.headers["Allow"]) == ("Accept", "GET, HEAD, OPTIONS, POST")


RESPONSES = {
    "answer": ("/ask?q=hello", "*/*", 200),
    "stream": ("/ask?q=abc", "text/event-stream", 200),
    "error": ("/ask?q=boom", "*/*", 500),
    "not found": ("/nowhere", "*/*", 404),
    "not found page": ("/nowhere", "text/html", 404),
}


@pytest.mark.parametrize(("path", "accept", "status"), RESPONSES.values(), ids=RESPONSES)
async def test_allowed_origin_may_read_every_response(serve: ServeApp, path: str, accept: str, status: int) -> None:
    """Answers, streams and errors have the CORS headers."""
    client = await serve(cors_origins=f"{ORIGIN},https://b.example")
    response = await client.get(path, headers={"Origin": ORIGIN, "Accept": accept})
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"ETag", "Retry-After", "Server-Timing", "X-Request-Id"} <= exposed
    assert (response.headers["Timing-Allow-Origin"], response.headers["Vary"]) == (ORIGIN, "Accept, Origin")


async def test_allowed_origin_may_read_304(serve: ServeApp) -> None:
    """A 304 has the CORS headers."""
    response = await (await serve(cors_origins=ORIGIN)).get(
        "/ask?q=hello", headers={"Origin": ORIGIN, "If-None-Match": "*"}
    )
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (304, ORIGIN)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://example.org.evil.example", "http://example.org", "null"]
)
async def test_other_origins_are_not_allowed(serve: ServeApp, origin: str) -> None:
    """An origin that is not listed gets no permission; `Vary` still contains Origin for caches."""
    client = await serve(cors_origins=ORIGIN)
    answer = await client.get("/ask?q=hello", headers={"Origin": origin})
    preflight = await client.options("/ask", headers={**PREFLIGHT, "Origin": origin})
    for response in (answer, preflight):
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Access-Control-Allow-Methods" not in response.headers
        assert "Origin" in response.headers["Vary"]


async def test_any_origin_is_allowed(serve: ServeApp) -> None:
    """With `*` every origin is allowed, and responses do not vary by origin."""
    response = await (await serve(cors_origins="*")).get("/ask?q=hello", headers={"Origin": "null"})
    assert (response.headers["Access-Control-Allow-Origin"], response.headers["Vary"]) == ("*", "Accept")


@pytest.mark.parametrize("path", ["/ask", "/answers/ask", "/nowhere"])
async def test_preflight_does_not_call_the_answerer(serve: ServeApp, path: str) -> None:
    """A preflight is 204 with the allowed methods and headers and its maximum age, on any path."""
    client = await serve(ScriptedAnswerer(ValueError()), cors_origins=ORIGIN, prefix="/answers")
    headers = {**PREFLIGHT, "Access-Control-Request-Headers": "content-type"}
    response = await client.options(path, headers=headers)
    assert (response.status, await response.read()) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "HEAD", "POST"} <= set(response.headers["Access-Control-Allow-Methods"].split(", "))
    allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"content-type", "x-request-id", "traceparent", "authorization"} <= set(allowed)
    assert (response.headers["Access-Control-Max-Age"], response.headers["Vary"]) == ("600", "Origin")


async def test_options_without_requested_method_is_not_a_preflight(serve: ServeApp) -> None:
    """OPTIONS without Access-Control-Request-Method lists the methods of the resource."""
    response = await (await serve(cors_origins=ORIGIN)).options("/ask", headers={"Origin": ORIGIN})
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
