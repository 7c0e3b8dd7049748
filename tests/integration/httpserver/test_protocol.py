"""The connection: what clients send that is no HTTP, and what they may do with HTTP."""

import asyncio
import json
from urllib.parse import quote

import pytest
from aiohttp import http_exceptions
from aiohttp.test_utils import make_mocked_request

from service.app import OBSERVER
from service.telemetry.metrics import Metrics
from service.web.connection import Connection
from service.web.malformed import Malformed
from tests.fakes import Clock, Upper, until
from tests.web.conftest import Log
from tests.web.wire import HOST, Wired, get, post

MALFORMED = {
    "length and chunks": post(b"0\r\n\r\n", "Content-Length: 3", "Transfer-Encoding: chunked"),
    "two lengths": post(b"abcd", "Content-Length: 3", "Content-Length: 4"),
    "negative length": post(b"", "Content-Length: -3"),
    "unknown encoding": post(b"abcd", "Transfer-Encoding: xchunked"),
    "bad chunk": post(b"zz\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "bare line feeds": b"GET /ask?q=secret HTTP/1.1\nHost: askd\n\n",
    "folded header": get("/ask?q=secret", "X-One: a\r\n b"),
    "no host": b"GET /ask?q=secret HTTP/1.1\r\n\r\n",
    "two hosts": get("/ask?q=secret", "Host: other"),
    "NUL in a header": get("/ask?q=secret", "X-One: a\0b"),
    "space before a colon": get("/ask?q=secret", "X-One : a"),
    "space in the target": get("/ask?q=secret secret"),
    "bytes that are no ASCII": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad address": get("http://[::1/ask?q=secret"),
    "unknown method": get("/ask?q=secret", method="BREW"),
    "unknown version": get("/ask?q=secret", version="1.9"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(40)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "too many headers": get("/ask?q=secret", *["X-One: a"] * 200),
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_http_gets_a_constant_answer(wire: Wired, log: Log, request_bytes: bytes) -> None:
    """The answer is a constant 400 that echoes nothing; the connection ends; one line without traceback is logged."""
    server = await wire()
    async with server.open() as line:
        line.send(request_bytes)
        reply = await line.reply()
        assert await line.rest() == b""
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Bad request",
        "status": 400,
        "detail": "The request is not well-formed HTTP/1.1.",
    }
    assert ("x-request-id" in reply.headers, reply.headers["server"]) == (False, "askd")
    assert server.counted(route="malformed", method="other", code="400") == 1
    await until(lambda: server.closed() == {"malformed": 1})
    assert [(entry["event"], entry["count"]) for entry in log.lines()] == [("malformed requests", 1)]
    assert not {"secret", "Traceback"} & set(log.text.split())


@pytest.mark.parametrize("request_bytes", [get("/ask?q=" + "a" * 20_000), get("/ask?q=a", "X-One: " + "a" * 20_000)])
async def test_what_is_too_long_is_414(wire: Wired, request_bytes: bytes) -> None:
    """A request line or header over its limit is 414, says to use POST, and ends the connection."""
    server = await wire(question_max_length="1000")
    async with server.open() as line:
        line.send(request_bytes)
        reply = await line.reply()
        assert await line.rest() == b""
    assert (reply.status, json.loads(reply.body)["status"], b"POST" in reply.body) == (414, 414, True)
    assert server.counted(route="malformed", method="other", code="414") == 1


async def test_a_flood_of_malformed_requests_is_one_line_a_second(wire: Wired, log: Log) -> None:
    """However many come, a second has one line; the next second's sums up what came since, though no more comes."""
    clock = Clock()
    server = await wire(clock=clock)
    for _ in range(5):
        await server.ask(b"\x16\x03\x01\r\n\r\n")
    assert [line["count"] for line in log.lines()] == [1]
    server.sweep()
    assert len(log.lines()) == 1
    clock.advance(1.0)
    server.sweep()
    assert [(line["count"], line["last_client"]) for line in log.lines()] == [(1, "127.0.0.1"), (4, "127.0.0.1")]
    await server.ask(b"\x16\x03\x01\r\n\r\n")
    assert len(log.lines()) == 2
    assert server.counted(route="malformed", method="other", code="400") == 6


async def test_connections_are_kept_and_pipelines_answered_in_order(wire: Wired) -> None:
    """Requests sent at once on one connection are answered one after the other; then it can be used again."""
    server = await wire()
    async with server.open() as line:
        line.send(get("/ask?q=one") + post(b'{"q":"two"}') + get("/nowhere") + get("/ask?q=three"))
        replies = [await line.reply() for _ in range(4)]
        line.send(get("/ask?q=four"))
        replies.append(await line.reply())
    assert [reply.status for reply in replies] == [200, 200, 404, 200, 200]
    answers = [json.loads(reply.body).get("answer") for reply in replies]
    assert answers == ["ONE", "TWO", None, "THREE", "FOUR"]


async def test_http_1_0_is_answered_and_closed(wire: Wired) -> None:
    """A client of HTTP/1.0, which needs no Host, gets its answer, streams too, and the end of the connection."""
    server = await wire(Upper(streams=True))
    async with server.open() as line:
        line.send(b"GET /ask?q=one HTTP/1.0\r\n\r\n")
        assert (await line.rest()).endswith(b'\r\n\r\n{"answer":"ONE"}')
    async with server.open() as line:
        line.send(b"GET /ask?q=two HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        said = await line.rest()
    assert (b"chunked" in said, said.endswith(b'data: {"answer":"two "}\n\n')) == (False, True)


async def test_the_longest_question_fits_the_line(wire: Wired) -> None:
    """A GET with 1,000 CJK characters, percent-encoded, is answered."""
    server = await wire(question_max_length="1000")
    question = "問" * 1000
    reply = await server.ask(get("/ask?q=" + quote(question)))
    assert (reply.status, json.loads(reply.body)) == (200, {"answer": question})


@pytest.mark.parametrize("target", ["/ask?q=hello", "/nowhere", "/", "/docs", "/metrics", "/livez", "/ask"])
async def test_head_has_no_body(wire: Wired, target: str) -> None:
    """The answer to HEAD has GET's length and no body: the next answer follows at once."""
    server = await wire()
    async with server.open() as line:
        line.send(get(target, method="HEAD") + get("/ask?q=next"))
        head, following = await line.reply(bodiless=True), await line.reply()
    assert (int(head.headers["content-length"]) > 0, following.body) == (True, b'{"answer":"NEXT"}')


@pytest.mark.parametrize("request_bytes", [get("/ask?q=hello", "If-None-Match: *"), get("/ask", method="OPTIONS")])
async def test_what_has_no_body_says_nothing_of_one(wire: Wired, request_bytes: bytes) -> None:
    """Neither 304 nor 204 has a length or a type."""
    reply = await (await wire()).ask(request_bytes)
    assert (reply.status in {204, 304}, {"content-length", "content-type"} & set(reply.headers)) == (True, set())


LARGE = {
    "told": post(b"", "Content-Length: 10000000"),
    "told, waiting": post(b"", "Content-Length: 10000000", "Expect: 100-continue"),
    "chunked": post(b"800\r\n" + b"x" * 2048 + b"\r\n", "Transfer-Encoding: chunked"),
    "sent": post(b"x" * 300_000),
}


@pytest.mark.parametrize("request_bytes", LARGE.values(), ids=LARGE)
async def test_a_large_body_is_refused_without_its_end(wire: Wired, request_bytes: bytes) -> None:
    """413 comes as soon as the limit is known to be passed, says that the connection ends, and is seen."""
    server = await wire(body_max_size="1KiB")
    async with server.open() as line:
        line.send(request_bytes)
        reply = await line.reply()
    assert (reply.status, reply.headers.get("connection", "close")) == (413, "close")
    assert json.loads(reply.body)["detail"].startswith("The body is larger than 1024 bytes.")


async def test_a_refused_body_that_has_come_keeps_the_connection(wire: Wired) -> None:
    """Where the whole body is there already, a refusal does not end the connection."""
    server = await wire()
    async with server.open() as line:
        line.send(post(b"hello", media="text/plain"))
        refused = await line.reply()
        line.send(get("/ask?q=next"))
        assert (refused.status, (await line.reply()).body) == (415, b'{"answer":"NEXT"}')


async def test_a_body_is_invited(wire: Wired) -> None:
    """`Expect: 100-continue` is met where the body is wanted; a client of HTTP/1.0 would not know it."""
    server = await wire()
    async with server.open() as line:
        line.send(post(b"", "Content-Length: 11", "Expect: 100-continue"))
        assert await line.head() == (100, {})
        line.send(b'{"q":"abc"}')
        assert (await line.reply()).body == b'{"answer":"ABC"}'
    old = post(b'{"q":"abc"}', "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await server.ask(old)).status == 200


@pytest.mark.parametrize("target", ["/ask?q=hello", "/nowhere", "*"])
async def test_other_expectations_are_417(wire: Wired, log: Log, target: str) -> None:
    """An unknown Expect is 417 as a problem, on any target, with an id and a log line, and is not echoed."""
    server = await wire()
    reply = await server.ask(get(target, "Expect: <b>", method="OPTIONS"))
    assert (reply.status, json.loads(reply.body)["type"]) == (417, "/docs#expectation-failed")
    assert (b"<b>" in reply.body, log.lines("exchange")[0]["id"]) == (False, reply.headers["x-request-id"])
    assert (await server.ask(get("/ask?q=hello", "Expect:"))).status == 200


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("question", ["wait", "one+wait"])
async def test_a_client_that_leaves_stops_the_code(wire: Wired, log: Log, accept: str, question: str) -> None:
    """The code is cancelled when its client goes, before or after the first event; the log and metrics say 499."""
    fake = Upper(streams=accept == "text/event-stream")
    server = await wire(fake)
    async with server.open() as line:
        line.send(get(f"/ask?q={question if fake.streams else 'wait'}", f"Accept: {accept}"))
        await asyncio.wait_for(fake.waiting.wait(), 5)
        await line.leave()
    await asyncio.wait_for(fake.stopped.wait(), 5)
    await until(lambda: log.lines("exchange"))
    assert [entry["status"] for entry in log.lines()] == [499]
    assert server.counted(route="/ask", method="GET", code="499") == 1
    assert server.app[OBSERVER].in_flight == 0


async def test_a_client_that_leaves_its_body_behind_is_no_failure(wire: Wired, log: Log) -> None:
    """A connection that ends within a body is 499 in the log, and not an error of ours."""
    server = await wire()
    async with server.open() as line:
        line.send(post(b'{"q":', "Content-Length: 50"))
        await until(lambda: server.app[OBSERVER].in_flight)
        await line.leave()
    await until(lambda: log.lines("exchange"))
    assert [(entry["level"], entry["status"]) for entry in log.lines()] == [("info", 499)]


async def test_what_fails_beyond_every_handler_is_a_constant_500(
    wire: Wired, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the failure renderer itself is 500 without a word of it, counted as 500, and logged."""
    server = await wire()
    monkeypatch.setattr("service.web.render.problem", lambda *_args, **_more: 1 / 0)
    reply = await server.ask(get("/nowhere"))
    assert (reply.status, json.loads(reply.body)["title"], b"division" in reply.body) == (500, "Internal error", False)
    assert (len(log.lines("uncaught error")), server.counted(route="unmatched", method="GET", code="500")) == (1, 1)


async def test_no_second_answer_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an answer is on its way already, none is put behind it."""
    metrics = Metrics([1.0])
    request = make_mocked_request("GET", "/")
    monkeypatch.setattr(request.writer, "output_size", 1)
    with pytest.raises(ConnectionError):
        Connection.handle_error(
            type("Fake", (), {"malformed": Malformed(metrics)})(), request, 400, http_exceptions.BadHttpMessage("x")
        )
