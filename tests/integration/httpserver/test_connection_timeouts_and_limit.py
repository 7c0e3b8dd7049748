"""Closing of connections, over real sockets with a fake clock."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from askd.models import Answer, Question
from tests.support.app_fixtures import Log, RawServer, StartServer
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.raw_http import RawConnection, get_request, post_request

LONG_ANSWER_LENGTH = 4 << 20
"""Characters of an answer that does not fit into the socket buffers."""


class LongAnswerer(UppercaseAnswerer):
    """Answers `long` with a very long answer; `stubborn` ignores cancellation until it is released."""

    async def answer(self, question: Question) -> Answer:
        """Answer depending on the question."""
        if question.text == "long":
            return Answer("a" * LONG_ANSWER_LENGTH)
        if question.text == "stubborn":
            self.wait_started.set()
            while not self.release.is_set():
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
        return await super().answer(question)


@asynccontextmanager
async def connect_with_small_buffer(server: RawServer) -> AsyncIterator[RawConnection]:
    """Connect with a minimal receive buffer, so that the server can send little if the client does not read."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1)
        try:
            yield RawConnection(reader, writer)
        finally:
            writer.transport.abort()


async def read_until_ended(client: RawConnection) -> bytes:
    """Read until the server closes or resets the connection."""
    try:
        return await client.read_until_closed()
    except ConnectionError:
        return b""


async def sweep_when_idle(server: RawServer) -> None:
    """Wait until no request is in flight, then sweep."""
    await wait_until(lambda: not any(connection.is_busy for connection in server.server_connections()))
    server.sweep()


async def wait_until_buffered(server: RawServer) -> None:
    """Wait until the only connection has buffered bytes."""
    await wait_until(lambda: any(connection.buffered_bytes for connection in server.server_connections()))


INCOMPLETE_HEADERS = {"nothing": b"", "slow headers": b"GET /ask?q=one HTTP/1.1\r\nHost: ", "blank line": b"\r"}


@pytest.mark.parametrize("data", INCOMPLETE_HEADERS.values(), ids=INCOMPLETE_HEADERS)
async def test_incomplete_headers_are_closed(start_server: StartServer, data: bytes) -> None:
    """A connection without a complete request is closed after the header timeout, without a response."""
    clock = Clock()
    server = await start_server(clock=clock, header_timeout="10s")
    async with server.connect() as client:
        client.send(data)
        await wait_until(server.server_connections)
        (connection,) = server.server_connections()
        await wait_until(lambda: connection.headers_started_at is not None or not data.strip())
        clock.advance(9.9)
        server.sweep()
        assert not connection.is_closing
        clock.advance(0.2)
        server.sweep()
        assert await read_until_ended(client) == b""
    await wait_until(lambda: server.close_counts() == {"header_timeout": 1})


async def test_idle_connection_is_closed(start_server: StartServer) -> None:
    """A used connection is closed after the keep-alive timeout, which each request resets."""
    clock = Clock()
    server = await start_server(clock=clock, keepalive_timeout="75s")
    async with server.connect() as client:
        for _ in range(3):
            client.send(get_request("/ask?q=one"))
            assert (await client.read_response()).status == 200
            await sweep_when_idle(server)
            clock.advance(74.0)
            server.sweep()
        clock.advance(2.0)
        server.sweep()
        assert await read_until_ended(client) == b""
    await wait_until(lambda: server.close_counts() == {"idle": 1})


async def test_client_that_does_not_read_is_reset(start_server: StartServer) -> None:
    """If a client accepts nothing for the write timeout, its response is dropped and the connection is reset."""
    clock = Clock()
    server = await start_server(LongAnswerer(), clock=clock, write_timeout="20s")
    async with connect_with_small_buffer(server) as client:
        client.send(get_request("/ask?q=long"))
        await wait_until_buffered(server)
        server.sweep()
        clock.advance(19.9)
        server.sweep()
        assert not server.server_connections()[0].is_closing
        clock.advance(0.2)
        server.sweep()
        await wait_until(lambda: server.close_counts() == {"write_timeout": 1})
        assert server.server_connections() == []
        with pytest.raises(ConnectionResetError):  # without a reset, the kernel would send the rest of its buffer
            await client.read_until_closed()
    assert (await server.send_request(get_request("/ask?q=one"))).status == 200


async def test_old_connection_closes_after_its_next_response(start_server: StartServer) -> None:
    """After the maximum age, the next response has `Connection: close`; until then the connection stays open."""
    clock = Clock()
    server = await start_server(clock=clock, connection_max_age="300s", keepalive_timeout="1h")
    async with server.connect() as client:
        client.send(get_request("/ask?q=one"))
        assert "connection" not in (await client.read_response()).headers
        clock.advance(331.0)
        await sweep_when_idle(server)
        client.send(get_request("/ask?q=two"))
        response = await client.read_response()
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert await read_until_ended(client) == b""
    await wait_until(lambda: server.close_counts() == {"age": 1})


@pytest.mark.parametrize(
    "request_bytes",
    [
        get_request("/ask?q=one"),
        get_request("/nowhere"),
        post_request(b"{"),
        get_request("/ask?q=one+two", "Accept: text/event-stream"),
    ],
    ids=["answer", "not found", "bad question", "stream"],
)
async def test_drain_closes_after_every_response(start_server: StartServer, request_bytes: bytes) -> None:
    """While draining, responses of any kind have `Connection: close`, on old and on new connections."""
    server = await start_server(UppercaseAnswerer(supports_streaming=True))
    async with server.connect() as old:
        await wait_until(server.server_connections)
        server.http_server.connections.drain()
        async with server.connect() as new:
            for client in (old, new):
                client.send(request_bytes)
                assert (await client.read_head())[1]["connection"] == "close"
                await client.read_until_closed()
    await wait_until(lambda: server.close_counts() == {"drain": 2})


async def test_unused_connection_is_evicted(start_server: StartServer) -> None:
    """At the limit, the oldest connection without a request is evicted, and the new one is served."""
    server = await start_server(max_connections="2")
    async with server.connect() as silent, server.connect() as second, server.connect() as third:
        third.send(get_request("/ask?q=one"))
        assert (await third.read_response()).status == 200
        assert await read_until_ended(silent) == b""
        second.send(get_request("/ask?q=two"))
        assert (await second.read_response()).status == 200
    await wait_until(lambda: server.close_counts() == {"limit": 1, "client": 2})


async def test_longest_idle_connection_is_evicted(start_server: StartServer) -> None:
    """If all connections have been used, the longest idle one is evicted."""
    clock = Clock()
    server = await start_server(clock=clock, max_connections="2")
    async with server.connect() as first, server.connect() as second:
        for client in (first, second):
            client.send(get_request("/ask?q=one"))
            await client.read_response()
            await sweep_when_idle(server)
            clock.advance(1.0)
        async with server.connect() as third:
            assert await read_until_ended(first) == b""
            for client in (second, third):
                client.send(get_request("/ask?q=two"))
                assert (await client.read_response()).status == 200
    await wait_until(lambda: server.close_counts() == {"limit": 1, "client": 2})


async def test_connection_sending_its_first_body_is_evicted(start_server: StartServer) -> None:
    """A connection still sending the body of its first request counts as unused."""
    server = await start_server(max_connections="1")
    async with server.connect() as sending:
        sending.send(post_request(b"{", "Content-Length: 100"))
        await wait_until(lambda: [connection.is_busy for connection in server.server_connections()] == [True])
        assert (await server.send_request(get_request("/ask?q=one"))).status == 200
        assert await read_until_ended(sending) == b""
    assert server.close_counts()["limit"] == 1


async def test_connection_over_the_limit_is_refused_with_503(start_server: StartServer) -> None:
    """If all connections are busy, a new one gets a 503 and is closed; requests in flight continue."""
    fake = UppercaseAnswerer()
    server = await start_server(fake, max_connections="1")
    async with server.connect() as busy:
        busy.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        async with server.connect() as client:
            refused = await client.read_response()
            assert await read_until_ended(client) == b""
        assert (refused.status, refused.headers["connection"], refused.headers["retry-after"]) == (503, "close", "1")
        assert "connections" in json.loads(refused.body)["detail"]
        fake.release.set()
        assert (await busy.read_response()).body == b'{"answer":"WAIT"}'
    assert server.close_counts()["refused"] == 1


@pytest.mark.parametrize("path", ["/ask", "/ask?q=one"])
async def test_slow_body_is_408(start_server: StartServer, path: str) -> None:
    """A body that does not arrive within the body timeout is 408, and the connection is closed."""
    server = await start_server(body_timeout="0.1s")
    async with server.connect() as client:
        client.send(get_request(path, "Content-Type: application/json", "Content-Length: 10", method="POST") + b"{")
        response = await client.read_response()
        assert (response.status, response.headers["connection"]) == (408, "close")
        assert json.loads(response.body)["type"] == "/docs#request-timeout"
        assert "0.1 s" in json.loads(response.body)["detail"]
        assert await read_until_ended(client) == b""
    await wait_until(lambda: server.close_counts() == {"body_timeout": 1})
    assert server.request_count(route="/ask", method="POST", status=408) == 1


async def test_slow_body_after_100_continue_is_408(start_server: StartServer) -> None:
    """The body timeout also applies after `100 Continue`."""
    server = await start_server(body_timeout="0.1s")
    async with server.connect() as client:
        client.send(post_request(b"", "Content-Length: 10", "Expect: 100-continue"))
        assert (await client.read_head())[0] == 100
        assert (await client.read_response()).status == 408
        assert await read_until_ended(client) == b""


@pytest.mark.parametrize("target", ["/ask?q=one", "/nowhere", "/livez"])
async def test_unneeded_body_is_not_awaited(start_server: StartServer, target: str) -> None:
    """If a request is answered without its body, the connection is closed soon after, however slow the body is."""
    server = await start_server()
    async with server.connect() as client:
        client.send(get_request(target, "Content-Length: 1000") + b"a")
        assert (await client.read_response()).status in {200, 404}
        assert await read_until_ended(client) == b""
    await wait_until(lambda: server.close_counts() == {"unread_body": 1})


async def test_malformed_chunk_fails_its_request(start_server: StartServer, log: Log) -> None:
    """A malformed chunk after the headers leads to exactly one response, a 400, and the connection is closed."""
    server = await start_server()
    async with server.connect() as client:
        client.send(post_request(b"", "Transfer-Encoding: chunked"))
        await wait_until(lambda: any(connection.is_busy for connection in server.server_connections()))
        client.send(b"zz\r\nhello\r\n0\r\n\r\n")
        response = await client.read_response()
        assert (response.status, json.loads(response.body)["parameter"]) == (400, "body")
        assert (response.headers["connection"], await read_until_ended(client)) == ("close", b"")
    assert [line["event"] for line in log.lines()] == ["request"]


async def set_deadline(server: RawServer, seconds: float) -> None:
    """Set the deadline of the only connection, as a handler would."""
    (connection,) = server.server_connections()
    connection.deadline = server.http_server.clock() + seconds


async def test_code_that_ignores_cancellation_is_504(start_server: StartServer) -> None:
    """A second after its deadline, a request without a response gets a static 504, and the connection is closed."""
    fake, clock = LongAnswerer(), Clock()
    server = await start_server(fake, clock=clock)
    async with server.connect() as client:
        client.send(get_request("/ask?q=stubborn"))
        await fake.wait_started.wait()
        await set_deadline(server, 5.0)
        clock.advance(5.9)
        server.sweep()
        assert not server.server_connections()[0].is_closing
        clock.advance(0.2)
        server.sweep()
        response = await client.read_response()
        assert (response.status, response.headers["connection"]) == (504, "close")
        assert json.loads(response.body)["title"] == "Deadline exceeded"
        assert await read_until_ended(client) == b""
    await fake.cancelled.wait()
    assert server.close_counts() == {"deadline": 1}
    fake.release.set()


async def test_partly_sent_response_is_aborted_after_the_deadline(start_server: StartServer) -> None:
    """If the client has not accepted the response a second after the deadline, the connection is aborted."""
    clock = Clock()
    server = await start_server(LongAnswerer(), clock=clock)
    async with connect_with_small_buffer(server) as client:
        client.send(get_request("/ask?q=long"))
        await wait_until_buffered(server)
        await set_deadline(server, 5.0)
        clock.advance(6.1)
        server.sweep()
        await wait_until(lambda: server.close_counts() == {"deadline": 1})


async def test_stream_is_aborted_after_the_deadline(start_server: StartServer) -> None:
    """A stream that has begun gets no 504, and ends without its last chunk."""
    fake, clock = UppercaseAnswerer(supports_streaming=True), Clock()
    server = await start_server(fake, clock=clock)
    async with server.connect() as client:
        client.send(get_request("/ask?q=one+wait", "Accept: text/event-stream"))
        await fake.wait_started.wait()
        await set_deadline(server, 5.0)
        clock.advance(6.1)
        server.sweep()
        received = await read_until_ended(client)
    assert (b"504" in received, received.endswith(b"0\r\n\r\n")) == (False, False)
    await wait_until(lambda: server.close_counts() == {"deadline": 1})
