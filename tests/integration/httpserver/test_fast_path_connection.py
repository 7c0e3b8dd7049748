"""Fast path on a connection: order, pipelining, closing, and what is left to aiohttp."""

import asyncio
from collections.abc import Sequence

import pytest

from askd.httpserver.connections import CloseReason
from askd.httpserver.protocol import MAX_REQUESTS_PER_ITERATION, HttpConnection
from askd.httpserver.request_parser import RequestHead
from tests.support.app_fixtures import Log, StartServer, exchange
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.raw_http import MALFORMED_REQUEST, get_request, post_request, read_bodies, statuses


class FakeFastPath:
    """Answers `GET` requests with its prefix, and records the targets that it was called with."""

    def __init__(self, prefix: str = "/ask?q=d") -> None:
        self.prefix = prefix
        self.targets: list[str] = []
        self.answered = 0

    def __call__(self, head: RequestHead, connection: HttpConnection) -> bytes | None:
        """Respond with the question in capitals, or fall back to aiohttp."""
        self.targets.append(head.target)
        if "boom" in head.target:
            raise ValueError("an error of the fast path")
        if not head.target.startswith(self.prefix) or head.method != "GET":
            return None
        self.answered += 1
        close = "Connection: close\r\n" if connection.closes_after(head) else ""
        body = head.target.partition("=")[2].upper()
        return f"HTTP/1.1 200 OK\r\n{close}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_fast_path_answers_without_aiohttp(start_server: StartServer) -> None:
    """The fast path answers what it can; aiohttp gets the others."""
    fast_path = FakeFastPath()
    server = await start_server(fast_path=fast_path)
    async with server.connect() as client:
        for question, body in (("d1", b"D1"), ("x", b'{"answer":"X"}'), ("d2", b"D2")):
            client.send(get_request(f"/ask?q={question}"))
            assert await read_bodies(client, 1) == [body]
    assert (fast_path.answered, server.request_count(route="/ask", method="GET", status=200)) == (2, 1)


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
    """A request behind one that aiohttp handles waits for it."""
    fake, fast_path = UppercaseAnswerer(), FakeFastPath()
    server = await start_server(fake, fast_path=fast_path)
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        client.send(get_request("/ask?q=d1"))
        await wait_until(lambda: server.server_connections()[0]._queue)
        assert fast_path.targets == ["/ask?q=wait"]
        fake.release.set()
        assert await read_bodies(client, 2) == [b'{"answer":"WAIT"}', b"D1"]


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
        assert connection._is_reading_paused
        while fast_path.answered < 100:
            await asyncio.sleep(0)
            totals.append(fast_path.answered)
        assert await read_bodies(client, 100) == [b"D"] * 100
    responses_per_iteration = [after - before for before, after in zip([0, *totals], totals, strict=False)]
    assert max(responses_per_iteration) == MAX_REQUESTS_PER_ITERATION


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
        server.http_server.connections.drain()
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


async def test_no_request_starts_while_the_client_does_not_read(start_server: StartServer) -> None:
    """If the write buffer is full, requests wait until the client has read."""
    fast_path = FakeFastPath()
    server = await start_server(fast_path=fast_path)
    async with server.connect() as client:
        await wait_until(server.server_connections)
        (connection,) = server.server_connections()
        connection.pause_writing()
        connection.data_received(get_request("/ask?q=d"))
        assert fast_path.targets == []
        connection.resume_writing()
        assert await read_bodies(client, 1) == [b"D"]


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


async def test_fast_path_error_is_a_static_500(start_server: StartServer, log: Log) -> None:
    """An exception of the fast path is logged once, the client gets a 500, and the connection is closed."""
    server = await start_server(fast_path=FakeFastPath())
    async with server.connect() as client:
        client.send(get_request("/ask?q=boom") + get_request("/ask?q=d"))
        assert statuses(await client.read_until_closed()) == [500]
    assert [line["event"] for line in log.lines()].count("fast_path_failed") == 1


async def test_malformed_request_after_fast_path_requests(start_server: StartServer) -> None:
    """Fast path requests before a malformed one are answered before its 400."""
    server = await start_server(fast_path=FakeFastPath())
    received = await exchange(server, get_request("/ask?q=d") * 3 + MALFORMED_REQUEST)
    assert statuses(received) == [200, 200, 200, 400]


@pytest.mark.parametrize("method", ["close", "close_with_reason"])
async def test_response_is_written_before_its_connection_closes(start_server: StartServer, method: str) -> None:
    """A batched response is written even if its connection is closed in the same loop iteration."""
    server = await start_server(UppercaseAnswerer())
    async with server.connect() as client:
        client.send(get_request("/ask?q=hello"))
        await client.read_response()
        (connection,) = server.server_connections()
        connection.data_received(get_request("/ask?q=hello"))
        assert connection.has_deferred_response
        if method == "close_with_reason":
            connection.close_with_reason(CloseReason.IDLE)
        else:
            connection.close()
        assert (await client.read_response()).status == 200
