"""`/ask`: requests, responses and validation."""

from collections.abc import AsyncIterator

import pytest

from tests.support.app_fixtures import ServeApp
from tests.support.fakes import UppercaseAnswerer


async def test_question_in_query(serve: ServeApp) -> None:
    """`GET /ask?q=hello` returns one JSON object."""
    client = await serve()
    response = await client.get("/ask?q=hello")
    assert (response.status, response.content_type, await response.read()) == (
        200,
        "application/json",
        b'{"answer":"Hi"}',
    )


async def test_question_in_json_or_form(serve: ServeApp) -> None:
    """`POST /ask` accepts JSON and forms."""
    client = await serve()
    assert await (await client.post("/ask", json={"q": "hello"})).json() == {"answer": "Hi"}
    assert await (await client.post("/ask", data={"q": "hello"})).json() == {"answer": "Hi"}


async def test_extra_fields_are_returned(serve: ServeApp) -> None:
    """Extra fields of the answerer are part of the JSON object."""
    client = await serve()
    assert await (await client.get("/ask?q=field")).json() == {"answer": "FIELD", "more": 1}


async def test_plain_text(serve: ServeApp) -> None:
    """With `Accept: text/plain` the body is the text and a newline."""
    client = await serve()
    response = await client.get("/ask?q=hello", headers={"Accept": "text/plain"})
    assert (response.headers["Content-Type"], await response.read()) == ("text/plain; charset=utf-8", b"Hi\n")


async def test_browsers_get_json(serve: ServeApp) -> None:
    """Answers have no HTML representation."""
    client = await serve()
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert (await client.get("/ask?q=hello", headers={"Accept": accept})).content_type == "application/json"


async def test_head_has_the_headers_of_get(serve: ServeApp) -> None:
    """`HEAD` has the same status and headers as `GET`, and no body."""
    client = await serve()
    head, get = await client.head("/ask?q=hello"), await client.get("/ask?q=hello")
    assert (head.status, head.headers["ETag"], head.headers["Content-Length"]) == (200, get.headers["ETag"], "15")
    assert await head.read() == b""


async def test_head_of_a_stream_does_not_call_the_answerer(serve: ServeApp) -> None:
    """`HEAD` for an event stream only returns the headers."""
    answerer = UppercaseAnswerer(supports_streaming=True)
    response = await (await serve(answerer)).head("/ask?q=abc", headers={"Accept": "text/event-stream"})
    assert (response.status, response.content_type, answerer.questions) == (200, "text/event-stream", [])


BAD_QUERIES = {
    "": "q",
    "?q=": "q",
    "?q=%20": "q",
    "?q=a&q=b": "q",
    "?q=%ff": "q",
    "?q=%c3%28": "q",
    "?q=a&%ff=1": "parameter name",
    "?q=a&lang=%ff": "lang",
    "?q=" + "x" * 1001: "q",
}


@pytest.mark.parametrize(("query", "parameter"), BAD_QUERIES.items())
async def test_invalid_query_names_the_parameter(serve: ServeApp, query: str, parameter: str) -> None:
    """Missing, empty, too long, repeated or not UTF-8: 400 with the parameter's name."""
    response = await (await serve(question_max_length="1000")).get("/ask" + query)
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["status"], problem["parameter"]) == (400, 400, parameter)


BAD_BODIES = {
    b"": "body",
    b"{": "body",
    b"[]": "body",
    b'"hello"': "body",
    b'{"q": NaN}': "body",
    b"\xff": "body",
    b"[" * 60_000: "body",
    b"{}": "q",
    b'{"q": 1}': "q",
    b'{"q": ""}': "q",
    b'{"q": "a", "q": "b"}': "q",
    b'{"q": "\\ud800"}': "q",
}


@pytest.mark.parametrize(("body", "parameter"), BAD_BODIES.items())
async def test_invalid_body_names_the_parameter(serve: ServeApp, body: bytes, parameter: str) -> None:
    """A body that is not a JSON object with one string `q`: 400 with the invalid part's name."""
    client = await serve()
    response = await client.post("/ask", data=body, headers={"Content-Type": "application/json"})
    assert (response.status, (await response.json(content_type=None))["parameter"]) == (400, parameter)


async def test_question_of_maximum_length(serve: ServeApp) -> None:
    """The maximum length counts characters, not bytes."""
    client = await serve(question_max_length="1000")
    response = await client.post("/ask", json={"q": "問" * 1000})
    assert await response.json() == {"answer": "問" * 1000}


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
async def test_unsupported_media_type(serve: ServeApp, media: str) -> None:
    """A body with another media type, or without one, is 415."""
    client = await serve()
    response = await client.post("/ask", data=b"hello", headers={"Content-Type": media})
    assert response.status == 415


async def test_unsupported_charset(serve: ServeApp) -> None:
    """A body in another charset is 415."""
    headers = {"Content-Type": "application/json; charset=latin-1"}
    assert (await (await serve()).post("/ask", data=b'{"q":"a"}', headers=headers)).status == 415


async def test_not_acceptable_lists_representations(serve: ServeApp) -> None:
    """A 406 lists the available representations."""
    response = await (await serve()).get("/ask?q=hello", headers={"Accept": "image/png"})
    assert (response.status, "text/plain" in (await response.json(content_type=None))["detail"]) == (406, True)


async def test_body_over_the_limit_is_413(serve: ServeApp) -> None:
    """The limit applies to `Content-Length` and to chunked bodies."""
    client = await serve(body_max_size="1KiB")
    large_body = b'{"q": "' + b"x" * 2000 + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        yield large_body

    for data in (large_body, pieces()):
        response = await client.post("/ask", data=data, headers={"Content-Type": "application/json"})
        assert (response.status, "1024 bytes" in await response.text()) == (413, True)


async def test_wrong_content_encoding_is_400(serve: ServeApp) -> None:
    """A body that is not compressed as its header claims is 400."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await (await serve()).post("/ask", data=b'{"q":"hello"}', headers=headers)
    assert response.status == 400


async def test_no_answer_is_404_with_suggestions(serve: ServeApp) -> None:
    """A question without an answer is 404, with similar questions."""
    response = await (await serve()).get("/ask?q=nothing")
    assert (response.status, (await response.json(content_type=None))["suggestions"]) == (404, ["hello"])


async def test_deterministic_answer_is_revalidated(serve: ServeApp) -> None:
    """`If-None-Match` with the ETag is 304; each representation has its own ETag."""
    client = await serve()
    first = await client.get("/ask?q=hello")
    tag = first.headers["ETag"]
    assert (first.headers["Cache-Control"], first.headers["Vary"], "v1" in tag) == ("no-cache", "Accept", True)
    again = await client.get("/ask?q=hello", headers={"If-None-Match": f'"x", W/{tag}'})
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    assert (await client.get("/ask?q=hello", headers={"If-None-Match": tag, "Accept": "text/plain"})).status == 200


async def test_non_deterministic_answer_is_not_stored(serve: ServeApp) -> None:
    """Other answers have no ETag and `no-store`."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = await serve(answerer)
    for _ in range(2):
        response = await client.get("/ask?q=abc")
    assert ("ETag" in response.headers, response.headers["Cache-Control"], len(answerer.questions)) == (
        False,
        "no-store",
        2,
    )


async def test_deterministic_answer_is_cached(serve: ServeApp) -> None:
    """The same question is answered from the cache; other parameters make it another question."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer)
    bodies = [await (await client.get(f"/ask?q=abc{more}")).read() for more in ("", "", "&lang=de", "&lang=de")]
    assert (len(answerer.questions), set(bodies)) == (2, {b'{"answer":"ABC"}'})


async def test_cache_can_be_disabled(serve: ServeApp) -> None:
    """With a cache size of 0 every question reaches the answerer."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer, cache_size="0")
    for _ in range(2):
        await client.get("/ask?q=abc")
    assert len(answerer.questions) == 2


async def test_503_until_answerer_is_loaded(serve: ServeApp) -> None:
    """Until the answerer is loaded, `/ask` is 503 with Retry-After."""
    answerer = UppercaseAnswerer(slow_load=True)
    client = await serve(answerer, loaded=False)
    early = await client.get("/ask?q=hello")
    assert (early.status, early.headers["Retry-After"]) == (503, "1")
    answerer.load_allowed.set()
    from askd.app import LOAD_TASK

    await client.app[LOAD_TASK]
    assert (await client.get("/ask?q=hello")).status == 200
