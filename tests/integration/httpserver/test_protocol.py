"""The HTTP features of connections: HTTP/1.0, HEAD, streams, bodies, 100 Continue, and clients that disconnect."""

import asyncio
import json
from urllib.parse import quote

import pytest

from askd.app import INSTRUMENTATION
from tests.support.app_fixtures import Log, StartServer
from tests.support.fakes import UppercaseAnswerer, wait_until
from tests.support.raw_http import get_request, post_request


@pytest.mark.parametrize(
    "headers",
    [
        ("Accept: Text/Event-Stream",),
        ("Accept: text/*, text/plain;q=0",),
        ("Accept: application/json;q=0.1", "Accept: text/event-stream"),
    ],
)
async def test_stream_is_recognized(start_server: StartServer, headers: tuple[str, ...]) -> None:
    """Media types are case-insensitive, ranges count, and so do all lines of a repeated Accept."""
    response = await (await start_server()).send_request(get_request("/ask?q=a", *headers, method="HEAD"))
    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")


@pytest.mark.parametrize("host", ["askd", "askd:8080", "127.0.0.1:1", "[::1]:8080", "", "a.example:"])
async def test_valid_host(start_server: StartServer, host: str) -> None:
    """Names, addresses and ports are accepted, and so is an empty host (RFC 9110, section 7.2)."""
    server = await start_server()
    request = f"GET /ask?q=a HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert (await server.send_request(request)).status == 200


@pytest.mark.parametrize(("question", "status"), [("one", 200), ("boom", 500), ("nothing", 404)])
async def test_head_of_a_stream_has_the_status_of_get(start_server: StartServer, question: str, status: int) -> None:
    """HEAD calls the code up to its first event, so that its status is that of GET."""
    server = await start_server(UppercaseAnswerer(supports_streaming=True))
    for method in ("HEAD", "GET"):
        request = get_request(f"/ask?q={question}", "Accept: text/event-stream", method=method)
        async with server.connect() as client:
            client.send(request)
            assert (await client.read_head())[0] == status


async def test_stream_for_http_1_0_ends(start_server: StartServer) -> None:
    """HTTP/1.0 lacks chunks: the connection is closed after a stream, also if the client asked to keep it open."""
    server = await start_server(UppercaseAnswerer(supports_streaming=True))
    async with server.connect() as client:
        headers = ("Accept: text/event-stream", "Connection: keep-alive")
        client.send(get_request("/ask?q=one", *headers, version="1.0"))
        head, _, body = (await client.read_until_closed()).partition(b"\r\n\r\n")
    assert body.endswith(b'event: answer\ndata: {"answer":"one "}\n\n')
    assert b"chunked" not in head


async def test_repeated_if_none_match(start_server: StartServer) -> None:
    """All lines of a repeated If-None-Match count."""
    server = await start_server()
    etag = (await server.send_request(get_request("/ask?q=hello"))).headers["etag"]
    request = get_request("/ask?q=hello", 'If-None-Match: "other"', f"If-None-Match: {etag}")
    assert (await server.send_request(request)).status == 304


async def test_pipelined_requests_are_answered_in_order(start_server: StartServer) -> None:
    """Pipelined requests are answered in order, and the connection stays open."""
    server = await start_server()
    async with server.connect() as client:
        client.send(
            get_request("/ask?q=one")
            + post_request(b'{"q":"two"}')
            + get_request("/nowhere")
            + get_request("/ask?q=three")
        )
        responses = [await client.read_response() for _ in range(4)]
        client.send(get_request("/ask?q=four"))
        responses.append(await client.read_response())
    assert [response.status for response in responses] == [200, 200, 404, 200, 200]
    answers = [json.loads(response.body).get("answer") for response in responses]
    assert answers == ["ONE", "TWO", None, "THREE", "FOUR"]


async def test_http_1_0(start_server: StartServer) -> None:
    """HTTP/1.0 needs no Host header; the connection is closed after the response, and streams are not chunked."""
    server = await start_server(UppercaseAnswerer(supports_streaming=True))
    async with server.connect() as client:
        client.send(b"GET /ask?q=one HTTP/1.0\r\n\r\n")
        assert (await client.read_until_closed()).endswith(b'\r\n\r\n{"answer":"ONE"}')
    async with server.connect() as client:
        client.send(b"GET /ask?q=two HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        received = await client.read_until_closed()
    assert (b"chunked" in received, received.endswith(b'data: {"answer":"two "}\n\n')) == (False, True)


async def test_longest_question_fits_into_the_request_line(start_server: StartServer) -> None:
    """A GET with the maximum of 1,000 CJK characters, percent-encoded, is answered."""
    server = await start_server(question_max_length="1000")
    question = "問" * 1000
    response = await server.send_request(get_request("/ask?q=" + quote(question)))
    assert (response.status, json.loads(response.body)) == (200, {"answer": question})


@pytest.mark.parametrize("target", ["/ask?q=hello", "/nowhere", "/", "/docs", "/metrics", "/livez", "/ask"])
async def test_head_has_no_body(start_server: StartServer, target: str) -> None:
    """The response to HEAD has the content length of GET and no body."""
    server = await start_server()
    async with server.connect() as client:
        client.send(get_request(target, method="HEAD") + get_request("/ask?q=next"))
        head, following = await client.read_response(head_request=True), await client.read_response()
    assert (int(head.headers["content-length"]) > 0, following.body) == (True, b'{"answer":"NEXT"}')


@pytest.mark.parametrize(
    "request_bytes", [get_request("/ask?q=hello", "If-None-Match: *"), get_request("/ask", method="OPTIONS")]
)
async def test_responses_without_body_have_no_content_headers(start_server: StartServer, request_bytes: bytes) -> None:
    """304 and 204 responses have no Content-Length and no Content-Type."""
    response = await (await start_server()).send_request(request_bytes)
    assert (response.status in {204, 304}, {"content-length", "content-type"} & set(response.headers)) == (True, set())


LARGE_BODIES = {
    "announced": post_request(b"", "Content-Length: 10000000"),
    "announced, waiting": post_request(b"", "Content-Length: 10000000", "Expect: 100-continue"),
    "chunked": post_request(b"800\r\n" + b"x" * 2048 + b"\r\n", "Transfer-Encoding: chunked"),
    "sent": post_request(b"x" * 300_000),
}


@pytest.mark.parametrize("request_bytes", LARGE_BODIES.values(), ids=LARGE_BODIES)
async def test_large_body_is_rejected_early(start_server: StartServer, request_bytes: bytes) -> None:
    """The 413 is sent as soon as the limit is exceeded, and the client receives it before the connection closes."""
    server = await start_server(body_max_size="1KiB")
    async with server.connect() as client:
        client.send(request_bytes)
        response = await client.read_response()
    assert (response.status, response.headers.get("connection", "close")) == (413, "close")
    assert json.loads(response.body)["detail"].startswith("The body is larger than 1024 bytes.")


async def test_connection_stays_open_if_the_rejected_body_is_complete(start_server: StartServer) -> None:
    """If the whole body has arrived, an error response does not close the connection."""
    server = await start_server()
    async with server.connect() as client:
        client.send(post_request(b"hello", content_type="text/plain"))
        rejected = await client.read_response()
        client.send(get_request("/ask?q=next"))
        assert (rejected.status, (await client.read_response()).body) == (415, b'{"answer":"NEXT"}')


async def test_expect_100_continue(start_server: StartServer) -> None:
    """`100 Continue` is sent before the body is read, except to an HTTP/1.0 client (RFC 9110, section 10.1.1)."""
    server = await start_server()
    async with server.connect() as client:
        client.send(post_request(b"", "Content-Length: 11", "Expect: 100-continue"))
        assert await client.read_head() == (100, {})
        client.send(b'{"q":"abc"}')
        assert (await client.read_response()).body == b'{"answer":"ABC"}'
    http_1_0 = post_request(b'{"q":"abc"}', "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await server.send_request(http_1_0)).status == 200


@pytest.mark.parametrize("target", ["/ask?q=hello", "/nowhere", "*"])
async def test_unknown_expectation_is_417(start_server: StartServer, log: Log, target: str) -> None:
    """The 417 is a problem with a request id and a log line, on any target, and does not echo the header."""
    server = await start_server()
    response = await server.send_request(get_request(target, "Expect: <b>", method="OPTIONS"))
    assert (response.status, json.loads(response.body)["type"]) == (417, "/docs#expectation-failed")
    assert (b"<b>" in response.body, log.lines("request")[0]["request_id"]) == (False, response.headers["x-request-id"])
    assert (await server.send_request(get_request("/ask?q=hello", "Expect:"))).status == 200


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("question", ["wait", "one+wait"])
async def test_client_disconnect_cancels_the_answerer(
    start_server: StartServer, log: Log, accept: str, question: str
) -> None:
    """The answerer is cancelled before or after the first event; the status in log and metrics is 499."""
    fake = UppercaseAnswerer(supports_streaming=accept == "text/event-stream")
    server = await start_server(fake)
    async with server.connect() as client:
        client.send(get_request(f"/ask?q={question if fake.supports_streaming else 'wait'}", f"Accept: {accept}"))
        await asyncio.wait_for(fake.wait_started.wait(), 5)
        await client.close()
    await asyncio.wait_for(fake.cancelled.wait(), 5)
    await wait_until(lambda: log.lines("request"))
    assert [line["http.response.status_code"] for line in log.lines()] == [499]
    assert server.request_count(route="/ask", method="GET", status=499) == 1
    assert server.app[INSTRUMENTATION].in_flight == 0


async def test_client_disconnect_within_the_body_is_499(start_server: StartServer, log: Log) -> None:
    """A connection that is closed within a body is logged as 499, and not as an error."""
    server = await start_server()
    async with server.connect() as client:
        client.send(post_request(b'{"q":', "Content-Length: 50"))
        await wait_until(lambda: server.app[INSTRUMENTATION].in_flight)
        await client.close()
    await wait_until(lambda: log.lines("request"))
    assert [(line["level"], line["http.response.status_code"]) for line in log.lines()] == [("info", 499)]


async def test_error_that_cannot_be_rendered_is_a_static_500(
    start_server: StartServer, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the problem renderer is a 500 without details, is counted as 500, and is logged."""
    server = await start_server()
    monkeypatch.setattr("askd.api.rendering.problem_details", lambda *_args, **_options: 1 / 0)
    response = await server.send_request(get_request("/nowhere"))
    assert (response.status, json.loads(response.body)["title"]) == (500, "Internal error")
    assert b"division" not in response.body
    assert server.request_count(route="unmatched", method="GET", status=500) == 1
    assert len(log.lines("connection_error")) == 1
