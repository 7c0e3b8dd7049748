"""Parsing of received bytes: requests split anywhere, arrival times, and the fast path."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

from askd.httpserver import protocol, request_receiver
from askd.httpserver.fast_path_connection import FastPathConnection
from askd.httpserver.request_receiver import MAX_FAST_RESPONSES_PER_ITERATION
from askd.models import Answer, Question
from tests.support.app_fixtures import Log
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.raw_http import RawConnection, RawServer, StartServer, get_request, post_request

MALFORMED = b"GET /ask?q=x HTTP/1.1\r\nHost: askd\r\nHost: other\r\n\r\n"
TWO_REQUESTS = get_request("/ask?q=one") + post_request(b'{"q":"two"}')


async def exchange(server: RawServer, *segments: bytes) -> bytes:
    """Send segments, each received before the next one is sent, and return everything that comes back."""
    async with server.connect() as client:
        await wait_until(server.server_connections)
        (connection,) = server.server_connections()
        for segment in segments:
            connection.data_received(segment)  # directly, because a socket may split or join segments
            await asyncio.sleep(0)
        return await client.read_until_closed()


def statuses(data: bytes) -> list[int]:
    """Return the statuses of several responses."""
    return [int(response[:3]) for response in data.split(b"HTTP/1.1 ")[1:]]


async def test_requests_before_a_malformed_one_are_answered(start_server: StartServer) -> None:
    """Requests in the same segment before a malformed one are answered, and those after it are not."""
    server = await start_server()
    received = await exchange(server, TWO_REQUESTS + get_request("/nowhere") + MALFORMED + get_request("/ask?q=never"))
    assert statuses(received) == [200, 200, 404, 400]
    assert b"ONE" in received
    assert b"NEVER" not in received


async def test_segment_boundaries_make_no_difference(start_server: StartServer) -> None:
    """Two requests and a malformed one get the same responses, wherever the bytes are split."""
    server = await start_server()
    data = TWO_REQUESTS + MALFORMED
    for split in range(len(data) + 1):
        received = await exchange(server, data[:split], data[split:])
        assert statuses(received) == [200, 200, 400], split


async def test_full_queue_before_a_malformed_request(start_server: StartServer) -> None:
    """A hundred requests, more than the queue holds, are all answered before the malformed one."""
    server = await start_server()
    received = await exchange(server, get_request("/ask?q=one") * 100 + MALFORMED)
    assert statuses(received) == [200] * 100 + [400]


async def test_blank_lines_in_a_body(start_server: StartServer) -> None:
    """Blank lines in a body do not end requests, and the number of parser calls does not grow with them."""
    server = await start_server()
    body = b'{"q":"two"' + b"\r\n\r\n" * 5000 + b"}"
    calls = 0
    async with server.connect() as client:
        await wait_until(server.server_connections)
        (connection,) = server.server_connections()
        original = request_receiver._aiohttp_data_received

        def count_calls(protocol: FastPathConnection, data: bytes) -> None:
            nonlocal calls
            calls += 1
            original(protocol, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(request_receiver, "_aiohttp_data_received", count_calls)
            connection.data_received(post_request(body) + get_request("/ask?q=three"))
        assert await read_bodies(client, 2) == [b'{"answer":"TWO"}', b'{"answer":"THREE"}']
    assert 0 < calls <= request_receiver.MAX_FALSE_HEADER_ENDS + 2


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


class FakeFastPath:
    """Answers `GET` requests with its prefix, and records the targets that it was called with."""

    def __init__(self, prefix: str = "/ask?q=d") -> None:
        self.prefix = prefix
        self.targets: list[str] = []
        self.answered = 0

    def __call__(self, message: RawRequestMessage, connection: FastPathConnection) -> bytes | None:
        """Respond with the question in capitals, or fall back to aiohttp."""
        self.targets.append(message.path)
        if "boom" in message.path:
            raise ValueError("an error of the fast path")
        if not message.path.startswith(self.prefix) or message.method != "GET":
            return None
        self.answered += 1
        close = "Connection: close\r\n" if connection.should_close_after(message) else ""
        body = message.path.partition("=")[2].upper()
        return f"HTTP/1.1 200 OK\r\n{close}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def read_bodies(client: RawConnection, count: int) -> list[bytes]:
    """Read responses and return their bodies."""
    return [(await client.read_response()).body for _ in range(count)]


async def test_fast_path_answers_without_aiohttp(start_server: StartServer) -> None:
    """Fast path requests create no request object, but are in aiohttp's count; others fall back to aiohttp."""
    fast_path = FakeFastPath()
    server = await start_server(fast_path=fast_path)
    async with server.connect() as client:
        for question, body in (("d1", b"D1"), ("x", b'{"answer":"X"}'), ("d2", b"D2")):
            client.send(get_request(f"/ask?q={question}"))
            assert await read_bodies(client, 1) == [body]
    assert (fast_path.answered, server.request_count(route="/ask", method="GET", status=200)) == (2, 1)
    assert server.runner.server
    assert server.runner.server.requests_count == 3


MIXED_REQUESTS = [
    get_request("/ask?q=d1"),
    get_request("/ask?q=a"),
    get_request("/ask?q=d2"),
    post_request(b'{"q":"b"}'),
    get_request("/ask?q=d3"),
    get_request("/ask?q=d4"),
]
MIXED_BODIES = [b"D1", b'{"answer":"A"}', b"D2", b'{"answer":"B"}', b"D3", b"D4"]


def normalize(bodies: Sequence[bytes]) -> list[bytes]:
    """Return fast path bodies in the format of aiohttp's responses."""
    return [body if body.startswith(b"{") else b'{"answer":"%b"}' % body for body in bodies]


async def test_pipelined_requests_are_answered_in_order(start_server: StartServer) -> None:
    """Fast path and aiohttp responses are in order, wherever the bytes are split."""
    server = await start_server(fast_path=FakeFastPath())
    data = b"".join(MIXED_REQUESTS)
    async with server.connect() as client:
        await wait_until(server.server_connections)
        receive = server.server_connections()[0].data_received
        for split in range(len(data) + 1):
            receive(data[:split])
            await asyncio.sleep(0)
            receive(data[split:])
            assert normalize(await read_bodies(client, len(MIXED_REQUESTS))) == normalize(MIXED_BODIES), split


async def test_fast_path_waits_for_the_request_in_flight(start_server: StartServer) -> None:
    """A request behind one that aiohttp handles falls back to aiohttp too."""
    fake, fast_path = UppercaseAnswerer(), FakeFastPath()
    server = await start_server(fake, fast_path=fast_path)
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        client.send(get_request("/ask?q=d1"))
        await wait_until(lambda: server.server_connections()[0]._messages)
        assert fast_path.targets == ["/ask?q=wait"]
        fake.release.set()
        assert await read_bodies(client, 2) == [b'{"answer":"WAIT"}', b'{"answer":"D1"}']


@pytest.mark.parametrize("letters", ["d", "a", "da"], ids=["fast path", "aiohttp", "mixed"])
async def test_long_pipeline_is_answered(start_server: StartServer, letters: str) -> None:
    """Two hundred requests in one segment get two hundred responses in order, and the connection stays usable."""
    fast_path = FakeFastPath()
    server = await start_server(fast_path=fast_path)
    questions = [f"{letters[n % len(letters)]}{n}" for n in range(200)]
    async with server.connect() as client:
        await wait_until(server.server_connections)
        data = b"".join(get_request(f"/ask?q={question}") for question in questions)
        server.server_connections()[0].data_received(data)
        expected = normalize([question.upper().encode() for question in questions])
        assert normalize(await read_bodies(client, 200)) == expected
        client.send(get_request("/ask?q=d"))
        assert await read_bodies(client, 1) == [b"D"]
    if letters == "d":
        assert fast_path.answered == 201


async def test_long_pipeline_does_not_starve_other_connections(start_server: StartServer) -> None:
    """A connection gets a bounded number of fast path responses per loop iteration, and reading is paused."""
    fast_path = FakeFastPath()
    server = await start_server(fast_path=fast_path)
    async with server.connect() as client:
        await wait_until(server.server_connections)
        (connection,) = server.server_connections()
        connection.data_received(get_request("/ask?q=d") * 100)
        totals = [fast_path.answered]
        while fast_path.answered < 100:
            assert connection._buffer_paused
            await asyncio.sleep(0)
            totals.append(fast_path.answered)
        assert await read_bodies(client, 100) == [b"D"] * 100
    responses_per_iteration = [after - before for before, after in zip([0, *totals], totals, strict=False)]
    assert max(responses_per_iteration) == MAX_FAST_RESPONSES_PER_ITERATION


@pytest.mark.parametrize(
    "request_bytes",
    [get_request("/ask?q=d", "Connection: close"), get_request("/ask?q=d", version="1.0")],
    ids=["close", "1.0"],
)
async def test_fast_path_closes_if_the_client_asks_for_it(start_server: StartServer, request_bytes: bytes) -> None:
    """After the response the connection is closed, and a pipelined request is not answered."""
    fast_path = FakeFastPath()
    server = await start_server(fast_path=fast_path)
    async with server.connect() as client:
        client.send(request_bytes + get_request("/ask?q=d2"))
        assert (await client.read_until_closed()).endswith(b"close\r\nContent-Length: 1\r\n\r\nD")
    assert fast_path.answered == 1
    await wait_until(lambda: server.close_counts() == {"client": 1})


async def test_fast_path_closes_while_draining(start_server: StartServer) -> None:
    """While draining, a fast path response has `Connection: close`, and the connection is closed."""
    server = await start_server(fast_path=FakeFastPath())
    async with server.connect() as client:
        client.send(get_request("/ask?q=d"))
        assert await read_bodies(client, 1) == [b"D"]
        server.runner.drain()
        client.send(get_request("/ask?q=d"))
        assert (await client.read_response()).headers["connection"] == "close"
        assert await client.read_until_closed() == b""
    await wait_until(lambda: server.close_counts() == {"drain": 1})


async def test_fast_path_resets_the_keepalive_timeout(start_server: StartServer) -> None:
    """A connection with only fast path requests is not idle."""
    clock = Clock()
    server = await start_server(fast_path=FakeFastPath(), clock=clock, keepalive_timeout="75s")
    async with server.connect() as client:
        for _ in range(5):
            client.send(get_request("/ask?q=d"))
            assert await read_bodies(client, 1) == [b"D"]
            server.sweep()
            clock.advance(60.0)
            server.sweep()
        clock.advance(16.0)
        server.sweep()
        assert await client.read_until_closed() == b""
    await wait_until(lambda: server.close_counts() == {"idle": 1})


async def test_fast_path_is_skipped_if_the_client_does_not_read(start_server: StartServer) -> None:
    """If the write buffer is full, requests fall back to aiohttp, which waits for the client."""
    fast_path = FakeFastPath()
    server = await start_server(fast_path=fast_path)
    async with server.connect() as client:
        await wait_until(server.server_connections)
        (connection,) = server.server_connections()
        connection.pause_writing()
        connection.data_received(get_request("/ask?q=d"))
        await wait_until(lambda: server.request_count(route="/ask", method="GET", status=200) == 1)
        connection.resume_writing()
        assert await read_bodies(client, 1) == [b'{"answer":"D"}']
    assert fast_path.targets == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        post_request(b'{"q":"d"}'),
        get_request("/ask?q=d", "Connection: upgrade", "Upgrade: websocket"),
        get_request("/ask?q=d", "Transfer-Encoding: chunked", method="GET") + b"0\r\n\r\n",
    ],
    ids=["body", "upgrade", "empty chunked body"],
)
async def test_fast_path_is_skipped_for_bodies_and_upgrades(start_server: StartServer, request_bytes: bytes) -> None:
    """A request with a body or an upgrade falls back to aiohttp."""
    fast_path = FakeFastPath()
    response = await (await start_server(fast_path=fast_path)).send_request(request_bytes)
    assert response.body == b'{"answer":"D"}'
    assert fast_path.targets == []


async def test_fast_path_error_falls_back_to_aiohttp(start_server: StartServer, log: Log) -> None:
    """An exception of the fast path is logged once, and aiohttp handles the request."""
    server = await start_server(fast_path=FakeFastPath())
    async with server.connect() as client:
        client.send(get_request("/ask?q=boom") + get_request("/ask?q=d"))
        assert [(await client.read_response()).status for _ in range(2)] == [500, 200]
    assert [line["event"] for line in log.lines()].count("fast_path_failed") == 1


async def test_malformed_request_after_fast_path_requests(start_server: StartServer) -> None:
    """Fast path requests before a malformed one are answered before its 400."""
    server = await start_server(fast_path=FakeFastPath())
    received = await exchange(server, get_request("/ask?q=d") * 3 + MALFORMED)
    assert statuses(received) == [200, 200, 200, 400]


async def test_handler_reads_the_arrival_time(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`arrival_time` returns the arrival time of the first byte to a handler."""
    clock = Clock()
    server = await start_server(clock=clock)
    arrival_times = []

    async def handler(request: web.Request) -> web.Response:
        arrival_times.append(protocol.arrival_time(request))
        return web.Response()

    assert server.runner.server
    monkeypatch.setattr(server.runner.server, "request_handler", handler)
    async with server.connect() as client:
        await wait_until(server.server_connections)
        server.server_connections()[0].data_received(b"GET / HTTP/1.1\r\n")
        clock.advance(3.0)
        client.send(b"Host: askd\r\n\r\n")
        await client.read_response()
    assert arrival_times == [server.started_at]
