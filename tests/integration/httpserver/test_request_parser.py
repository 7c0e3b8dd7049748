"""Parsing of received bytes: malformed requests, large heads, requests split anywhere, upgrades, and arrival times."""

import json

import pytest

from askd.models import Answer, Question
from tests.support.app_fixtures import Log, RawServer, StartServer, exchange
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.raw_http import HOST_HEADER, MALFORMED_REQUEST, get_request, post_request, read_bodies, statuses

TWO_REQUESTS = get_request("/ask?q=one") + post_request(b'{"q":"two"}')


async def test_requests_before_a_malformed_one_are_answered(start_server: StartServer) -> None:
    """Requests in the same segment before a malformed one are answered, and those after it are not."""
    server = await start_server()
    received = await exchange(
        server, TWO_REQUESTS + get_request("/nowhere") + MALFORMED_REQUEST + get_request("/ask?q=never")
    )
    assert statuses(received) == [200, 200, 404, 400]
    assert b"ONE" in received
    assert b"NEVER" not in received


async def test_segment_boundaries_make_no_difference(start_server: StartServer) -> None:
    """Two requests and a malformed one get the same responses, wherever the bytes are split."""
    server = await start_server()
    data = TWO_REQUESTS + MALFORMED_REQUEST
    for split in range(len(data) + 1):
        received = await exchange(server, data[:split], data[split:])
        assert statuses(received) == [200, 200, 400], split


async def test_full_queue_before_a_malformed_request(start_server: StartServer) -> None:
    """A hundred requests, more than the queue holds, are all answered before the malformed one."""
    server = await start_server()
    received = await exchange(server, get_request("/ask?q=one") * 100 + MALFORMED_REQUEST)
    assert statuses(received) == [200] * 100 + [400]


async def test_blank_lines_in_a_body(start_server: StartServer) -> None:
    """Blank lines in a body do not end requests."""
    server = await start_server()
    async with server.connect() as client:
        client.send(post_request(b'{"q":"two"' + b"\r\n\r\n" * 5000 + b"}") + get_request("/ask?q=three"))
        assert await read_bodies(client, 2) == [b'{"answer":"TWO"}', b'{"answer":"THREE"}']


async def test_request_after_an_ignored_upgrade(start_server: StartServer) -> None:
    """A request to upgrade is answered like any other, and so are the requests that follow it."""
    server = await start_server()
    async with server.connect() as client:
        client.send(get_request("/ask?q=one", "Connection: upgrade", "Upgrade: websocket") + get_request("/ask?q=two"))
        assert await read_bodies(client, 2) == [b'{"answer":"ONE"}', b'{"answer":"TWO"}']
        client.send(get_request("/ask?q=three"))
        assert await read_bodies(client, 1) == [b'{"answer":"THREE"}']


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get_request("askd:80", method="CONNECT"), 404),
        (get_request("askd:80", "Expect: much", method="CONNECT"), 417),
        (get_request("/ask?q=one", "Expect: much", method="PROPFIND"), 417),
        (get_request("http://other/ask?q=one", "Expect: much"), 417),
    ],
)
async def test_aiohttp_never_responds_itself(start_server: StartServer, request_bytes: bytes, status: int) -> None:
    """CONNECT, rare methods and unknown expectations get a problem with a request id, like any other request."""
    response = await (await start_server()).send_request(request_bytes)
    assert (response.status, json.loads(response.body)["status"]) == (status, status)
    assert (response.headers["server"], "x-request-id" in response.headers) == ("askd", True)


class ArrivalTimeRecorder(UppercaseAnswerer):
    """Records the arrival time of each question, relative to the start of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival_times: list[float] = []
        self.server: RawServer | None = None

    async def answer(self, question: Question) -> Answer:
        """Record the arrival time that the connection reports."""
        assert self.server
        self.arrival_times += [
            connection.arrived_at - self.server.started_at
            for connection in self.server.server_connections()
            if connection.is_busy
        ]
        return await super().answer(question)


async def test_arrival_time_is_that_of_the_first_byte(start_server: StartServer) -> None:
    """Requests that arrive together have the same arrival time, and the body does not count."""
    clock, recorder = Clock(), ArrivalTimeRecorder()
    server = recorder.server = await start_server(recorder, clock=clock)
    async with server.connect() as client:
        await wait_until(server.server_connections)
        receive = server.server_connections()[0].data_received
        for segment in (
            b"G",
            get_request("/ask?q=one")[1:-2],
            b"\r\n" + get_request("/ask?q=two") + post_request(b"")[:-2],
        ):
            receive(segment)
            clock.advance(1.0)
        assert [(await client.read_response()).status for _ in range(2)] == [200, 200]
        receive(b"\r\n")
        assert (await client.read_response()).status == 400
        clock.advance(1.0)
        for segment in (b"\r\n", post_request(b'{"q":"three"}')[:-1], b"}", get_request("/ask?q=four")):
            receive(segment)
            clock.advance(1.0)
        assert [(await client.read_response()).status for _ in range(2)] == [200, 200]
    assert recorder.arrival_times == [0.0, 2.0, 5.0, 7.0]


MALFORMED = {
    "length and chunks": post_request(b"0\r\n\r\n", "Content-Length: 3", "Transfer-Encoding: chunked"),
    "two lengths": post_request(b"abcd", "Content-Length: 3", "Content-Length: 4"),
    "negative length": post_request(b"", "Content-Length: -3"),
    "unknown encoding": post_request(b"abcd", "Transfer-Encoding: xchunked"),
    "encoding that begins with chunked": post_request(b"0\r\n\r\n", "Transfer-Encoding: chunkedx"),
    "two encodings": post_request(b"0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "two media types": post_request(b"{}", "Content-Type: text/plain"),
    "two user agents": get_request("/ask?q=secret", "User-Agent: a", "user-agent: b"),
    "bad chunk": post_request(b"zz\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "bare line feeds": b"GET /ask?q=secret HTTP/1.1\nHost: askd\n\n",
    "folded header": get_request("/ask?q=secret", "X-One: a\r\n b"),
    "no host": b"GET /ask?q=secret HTTP/1.1\r\n\r\n",
    "two hosts": get_request("/ask?q=secret", "Host: other"),
    "NUL in a header": get_request("/ask?q=secret", "X-One: a\0b"),
    "space before a colon": get_request("/ask?q=secret", "X-One : a"),
    "space in the target": get_request("/ask?q=secret secret"),
    "non-ASCII bytes": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST_HEADER + b"\r\n",
    "invalid host": b"GET /ask?q=secret HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with a user": b"GET /ask?q=secret HTTP/1.1\r\nHost: user@askd\r\n\r\n",
    "invalid port": b"GET /ask?q=secret HTTP/1.1\r\nHost: askd:http\r\n\r\n",
    "target without a slash": get_request("*x", method="OPTIONS"),
    "asterisk": get_request("*"),
    "URL without a host": get_request("http:///ask?q=secret"),
    "bad address": get_request("http://[::1/ask?q=secret"),
    "lower-case method": get_request("/ask?q=secret", method="get"),
    "unknown version": get_request("/ask?q=secret", version="1.9"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(40)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_request_gets_a_static_400(start_server: StartServer, log: Log, request_bytes: bytes) -> None:
    """The response echoes nothing, the connection is closed, and one line without traceback is logged."""
    server = await start_server()
    async with server.connect() as client:
        client.send(request_bytes)
        response = await client.read_response()
        assert await client.read_until_closed() == b""
    assert (response.status, response.headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": "Bad request",
        "status": 400,
        "detail": "The request is not well-formed HTTP/1.1.",
    }
    assert ("x-request-id" in response.headers, response.headers["server"]) == (False, "askd")
    assert server.request_count(route="malformed", method="_OTHER", status=400) == 1
    await wait_until(lambda: server.close_counts() == {"malformed": 1})
    assert [(line["event"], line["count"]) for line in log.lines()] == [("malformed_requests", 1)]
    assert not {"secret", "Traceback"} & set(log.text.split())


LARGE_HEADS = {
    "request line": (get_request("/ask?q=" + "a" * 20_000), 414),
    "header": (get_request("/ask?q=a", "X-One: " + "a" * 20_000), 431),
    "number of headers": (get_request("/ask?q=a", *["X-One: a"] * 200), 431),
    "all headers": (get_request("/ask?q=a", *["X-One: " + "a" * 8000] * 9), 431),
    "unfinished header": (get_request("/ask?q=a", "X-One: " + "a" * 70_000)[:-4], 431),
}


@pytest.mark.parametrize(("request_bytes", "status"), LARGE_HEADS.values(), ids=LARGE_HEADS)
async def test_large_head_is_refused(start_server: StartServer, request_bytes: bytes, status: int) -> None:
    """The response names the limit, and the connection is closed."""
    server = await start_server(question_max_length="1000")
    async with server.connect() as client:
        client.send(request_bytes)
        response = await client.read_response()
        assert await client.read_until_closed() == b""
    assert (response.status, json.loads(response.body)["status"]) == (status, status)
    assert server.request_count(route="malformed", method="_OTHER", status=status) == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get_request("/ask?q=a", method="BREW"), 501),
        (get_request("/ask?q=a", version="2.0"), 505),
        (get_request("/ask?q=a", version="0.9"), 505),
    ],
)
async def test_unknown_method_or_version(start_server: StartServer, request_bytes: bytes, status: int) -> None:
    """A method that the parser does not know is 501, another version of HTTP is 505."""
    server = await start_server()
    async with server.connect() as client:
        client.send(request_bytes)
        assert (await client.read_response()).status == status
        assert await client.read_until_closed() == b""


async def test_malformed_requests_are_logged_once_per_second(start_server: StartServer, log: Log) -> None:
    """There is at most one line per second; it contains the number of requests since the previous line."""
    clock = Clock()
    server = await start_server(clock=clock)
    for _ in range(5):
        await server.send_request(b"\x16\x03\x01\r\n\r\n")
    assert [line["count"] for line in log.lines()] == [1]
    server.sweep()
    assert len(log.lines()) == 1
    clock.advance(1.0)
    server.sweep()
    assert [(line["count"], line["last_client"]) for line in log.lines()] == [(1, "127.0.0.1"), (4, "127.0.0.1")]
    await server.send_request(b"\x16\x03\x01\r\n\r\n")
    assert len(log.lines()) == 2
    assert server.request_count(route="malformed", method="_OTHER", status=400) == 6
