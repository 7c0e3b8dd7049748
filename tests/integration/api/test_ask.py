"""`/ask`: questions come in, answers and problems go out."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes import Upper
from tests.web.conftest import Serve


async def test_answers_a_question_in_the_query(serve: Serve) -> None:
    """`GET /ask?q=hello` is answered with one JSON object, byte for byte."""
    client = await serve()
    response = await client.get("/ask?q=hello")
    assert (response.status, response.content_type, await response.read()) == (
        200,
        "application/json",
        b'{"answer":"Hi"}',
    )


async def test_answers_json_and_forms(serve: Serve) -> None:
    """`POST /ask` takes the question as JSON and as a form."""
    client = await serve()
    assert await (await client.post("/ask", json={"q": "hello"})).json() == {"answer": "Hi"}
    assert await (await client.post("/ask", data={"q": "hello"})).json() == {"answer": "Hi"}


async def test_extra_fields_stand_beside_the_answer(serve: Serve) -> None:
    """What the code returns beside the answer reaches the client."""
    client = await serve()
    assert await (await client.get("/ask?q=field")).json() == {"answer": "FIELD", "more": 1}


async def test_plain_text_is_the_bare_answer(serve: Serve) -> None:
    """With `Accept: text/plain` the answer is its text and a newline."""
    client = await serve()
    response = await client.get("/ask?q=hello", headers={"Accept": "text/plain"})
    assert (response.headers["Content-Type"], await response.read()) == ("text/plain; charset=utf-8", b"Hi\n")


async def test_a_browser_gets_json(serve: Serve) -> None:
    """A browser's `Accept` does not turn an answer into a page."""
    client = await serve()
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert (await client.get("/ask?q=hello", headers={"Accept": accept})).content_type == "application/json"


async def test_head_is_get_without_the_body(serve: Serve) -> None:
    """`HEAD` has the same status and headers as `GET`, and no body."""
    client = await serve()
    head, get = await client.head("/ask?q=hello"), await client.get("/ask?q=hello")
    assert (head.status, head.headers["ETag"], head.headers["Content-Length"]) == (200, get.headers["ETag"], "15")
    assert await head.read() == b""


async def test_head_of_a_stream_does_not_ask_the_code(serve: Serve) -> None:
    """`HEAD` for an event stream has its headers, and costs no work."""
    fake = Upper(streams=True)
    response = await (await serve(fake)).head("/ask?q=abc", headers={"Accept": "text/event-stream"})
    assert (response.status, response.content_type, fake.asked) == (200, "text/event-stream", [])


BAD_QUERIES = {
    "": "q",
    "?q=": "q",
    "?q=%20": "q",
    "?q=a&q=b": "q",
    "?q=%ff": "q",
    "?q=%c3%28": "q",
    "?q=a&%ff=1": "a parameter's name",
    "?q=a&lang=%ff": "lang",
    "?q=" + "x" * 1001: "q",
}


@pytest.mark.parametrize(("query", "parameter"), BAD_QUERIES.items())
async def test_a_bad_query_is_refused_by_name(serve: Serve, query: str, parameter: str) -> None:
    """Missing, empty, too long, not UTF-8, given twice: 400 that names the parameter."""
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
async def test_a_bad_body_is_refused_by_name(serve: Serve, body: bytes, parameter: str) -> None:
    """A body that is no JSON object with one text `q`: 400 that names what is wrong."""
    client = await serve()
    response = await client.post("/ask", data=body, headers={"Content-Type": "application/json"})
    assert (response.status, (await response.json(content_type=None))["parameter"]) == (400, parameter)


async def test_the_longest_question_fits_the_request_line(serve: Serve) -> None:
    """A question of as many CJK characters as are allowed is answered."""
    client = await serve(question_max_length="1000")
    response = await client.post("/ask", json={"q": "問" * 1000})
    assert await response.json() == {"answer": "問" * 1000}


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
async def test_other_bodies_are_not_read(serve: Serve, media: str) -> None:
    """A body of another media type, or of none, is 415."""
    client = await serve()
    response = await client.post("/ask", data=b"hello", headers={"Content-Type": media})
    assert response.status == 415


async def test_only_utf8_is_read(serve: Serve) -> None:
    """A body in another charset is 415 rather than misread."""
    headers = {"Content-Type": "application/json; charset=latin-1"}
    assert (await (await serve()).post("/ask", data=b'{"q":"a"}', headers=headers)).status == 415


async def test_an_unacceptable_accept_is_told_what_there_is(serve: Serve) -> None:
    """An `Accept` that admits no representation is 406 and names them."""
    response = await (await serve()).get("/ask?q=hello", headers={"Accept": "image/png"})
    assert (response.status, "text/plain" in (await response.json(content_type=None))["detail"]) == (406, True)


async def test_a_large_body_is_refused_before_it_is_read(serve: Serve) -> None:
    """A body over the limit is 413, by its length or as it comes."""
    client = await serve(body_max_size="1KiB")
    large = b'{"q": "' + b"x" * 2000 + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        yield large

    for data in (large, pieces()):
        response = await client.post("/ask", data=data, headers={"Content-Type": "application/json"})
        assert (response.status, "1024 bytes" in await response.text()) == (413, True)


async def test_a_body_that_lies_about_its_encoding_is_refused(serve: Serve) -> None:
    """A body that is not compressed as its header says is 400."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await (await serve()).post("/ask", data=b'{"q":"hello"}', headers=headers)
    assert response.status == 400


async def test_no_answer_is_404_with_suggestions(serve: Serve) -> None:
    """Where there is no answer, the client is told of questions that have one."""
    response = await (await serve()).get("/ask?q=nothing")
    assert (response.status, (await response.json(content_type=None))["suggestions"]) == (404, ["hello"])


async def test_a_deterministic_answer_is_validated(serve: Serve) -> None:
    """`If-None-Match` with the answer's ETag is 304 without a body; each representation has its own."""
    client = await serve()
    first = await client.get("/ask?q=hello")
    tag = first.headers["ETag"]
    assert (first.headers["Cache-Control"], first.headers["Vary"], "v1" in tag) == ("no-cache", "Accept", True)
    again = await client.get("/ask?q=hello", headers={"If-None-Match": f'"x", W/{tag}'})
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    assert (await client.get("/ask?q=hello", headers={"If-None-Match": tag, "Accept": "text/plain"})).status == 200


async def test_other_answers_are_not_stored(serve: Serve) -> None:
    """An answer that may differ next time has no ETag and is stored nowhere."""
    fake = Upper(deterministic=False)
    client = await serve(fake)
    for _ in range(2):
        response = await client.get("/ask?q=abc")
    assert ("ETag" in response.headers, response.headers["Cache-Control"], len(fake.asked)) == (False, "no-store", 2)


async def test_a_deterministic_answer_is_asked_for_once(serve: Serve) -> None:
    """The second same question is answered from the cache; other parameters are another question."""
    fake = Upper()
    client = await serve(fake)
    bodies = [await (await client.get(f"/ask?q=abc{more}")).read() for more in ("", "", "&lang=de", "&lang=de")]
    assert (len(fake.asked), set(bodies)) == (2, {b'{"answer":"ABC"}'})


async def test_a_cache_of_nothing_asks_each_time(serve: Serve) -> None:
    """With a cache size of 0 each question reaches the code."""
    fake = Upper()
    client = await serve(fake, cache_size="0")
    for _ in range(2):
        await client.get("/ask?q=abc")
    assert len(fake.asked) == 2


async def test_while_the_answerer_loads_clients_are_told_to_come_back(serve: Serve) -> None:
    """Until the answerer is loaded `/ask` is 503 with Retry-After; then it answers."""
    fake = Upper(slow_load=True)
    client = await serve(fake, loaded=False)
    early = await client.get("/ask?q=hello")
    assert (early.status, early.headers["Retry-After"]) == (503, "1")
    fake.load_now.set()
    from service.app import LOADED

    await client.app[LOADED]
    assert (await client.get("/ask?q=hello")).status == 200


async def test_a_continue_is_sent_before_the_body_is_read(serve: Serve) -> None:
    """A client that waits for `100 Continue` gets it, and its answer."""
    response = await (await serve()).post("/ask", json={"q": "hello"}, expect100=True)
    assert await response.json() == {"answer": "Hi"}
