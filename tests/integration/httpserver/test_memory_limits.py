"""Bytes that clients make the server hold: unfinished heads, waiting requests, trailers, and unread responses."""

import asyncio
import contextlib
import socket

from askd.app import CONNECTIONS
from askd.models import Answer
from tests.support.app_fixtures import RawServer, StartServer, exchange
from tests.support.fakes import ScriptedAnswerer, UppercaseAnswerer, wait_until
from tests.support.raw_http import get_request, post_request, statuses

HEAD_PART = get_request("/ask?q=a", *[f"X-{number}: {'a' * 8000}" for number in range(7)])[:-2]
"""A head of 56 KB that is not finished."""


def count_refused(server: RawServer) -> int:
    """Return the number of connections that have got their last response."""
    return sum(connection.is_closing for connection in server.server_connections())


async def test_unfinished_heads_share_a_limit(start_server: StartServer) -> None:
    """Beyond 1 MB in all connections, the oldest unfinished heads get a 503; other clients are served."""
    server = await start_server()
    limit = server.app[CONNECTIONS].received_bytes.limit = 1 << 20
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect()) for _ in range(40)]
        for client in clients:
            client.send(HEAD_PART)
        await wait_until(lambda: count_refused(server) >= 40 - limit // len(HEAD_PART))
        assert sum(connection.received_bytes for connection in server.server_connections()) <= limit
        assert (await server.send_request(get_request("/ask?q=hello"))).status == 200
        assert statuses(await clients[0].read_until_closed()) == [503]
        clients[-1].send(b"\r\n")
        assert (await clients[-1].read_response()).status == 200


async def test_unfinished_bodies_share_a_limit(start_server: StartServer) -> None:
    """Beyond 1 MB in all connections, the oldest unfinished bodies get a 503; other clients are served."""
    server = await start_server()
    limit = server.app[CONNECTIONS].received_bytes.limit = 1 << 20
    body = b'{"q":"hello"' + b" " * 60_000
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect()) for _ in range(40)]
        for client in clients:
            client.send(post_request(body + b"}")[:-1])
        assert (await clients[0].read_response()).status == 503
        assert await clients[0].read_until_closed() == b""
        assert sum(connection.received_bytes for connection in server.server_connections()) <= limit
        assert (await server.send_request(post_request(body + b"}"))).status == 200
        clients[-1].send(b"}")
        assert (await clients[-1].read_response()).status == 200
    await wait_until(lambda: server.close_counts().get("received_bytes", 0) >= 40 - limit // len(body))


async def test_requests_in_flight_share_a_limit(start_server: StartServer) -> None:
    """Beyond 1 MB of requests that wait for the code, the newest large ones get a 503; small ones are answered."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake)
    limit = server.app[CONNECTIONS].received_bytes.limit = 1 << 20
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect()) for _ in range(40)]
        clients[0].send(get_request("/ask?q=wait"))
        for client in clients[1:]:
            client.send(post_request(b'{"q":"wait"' + b" " * 60_000 + b"}"))
        await wait_until(lambda: count_refused(server) > 0)
        assert sum(connection.received_bytes for connection in server.server_connections()) <= limit
        fake.release.set()
        outcomes = [(await client.read_response()).status for client in clients]
    assert set(outcomes) == {200, 503}
    assert outcomes[:2] == [200, 200]
    assert server.request_count(route="/ask", method="POST", status=503) == outcomes.count(503)


async def test_bodies_in_tiny_chunks_are_refused(start_server: StartServer) -> None:
    """A thousand chunks of 2 bytes are accepted; more of them are a 400."""
    server = await start_server()
    for count, status in ((1000, 200), (2000, 400)):
        chunks = b"2\r\n  \r\n" * count + b'd\r\n{"q":"hello"}\r\n0\r\n\r\n'
        received = await exchange(server, post_request(chunks, "Transfer-Encoding: chunked", "Connection: close"))
        assert statuses(received) == [status]


async def test_waiting_requests_count(start_server: StartServer) -> None:
    """Large requests behind one in flight pause reading, and share the limit."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake)
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        client.send((HEAD_PART + b"\r\n") * 100)
        (connection,) = server.server_connections()
        await wait_until(lambda: connection.received_bytes > 64 << 10)
        await asyncio.sleep(0)
        assert connection.received_bytes < 1 << 20
        fake.release.set()
        assert [(await client.read_response()).status for _ in range(101)] == [200] * 101
        assert connection.received_bytes == 0


async def test_small_waiting_requests_are_not_parsed_ahead(start_server: StartServer) -> None:
    """Of a thousand small requests behind one in flight, only a few are parsed, because each takes a kilobyte."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake)
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait") + get_request("/ask?q=hello") * 1000)
        await fake.wait_started.wait()
        (connection,) = server.server_connections()
        await wait_until(lambda: connection.received_bytes > 30_000)
        await asyncio.sleep(0)
        assert connection.received_bytes < 200_000
        fake.release.set()
        assert [(await client.read_response()).status for _ in range(1001)] == [200] * 1001
        assert connection.received_bytes == 0


async def test_endless_trailers_are_refused(start_server: StartServer) -> None:
    """Trailers of a chunked body do not accumulate."""
    server = await start_server()
    request = post_request(b"2\r\n{}\r\n0\r\nX: ", "Transfer-Encoding: chunked")
    received = await exchange(server, request, *[b"a" * 30_000] * 3)
    assert statuses(received) == [400]
    await wait_until(lambda: server.close_counts() == {"malformed": 1})


async def test_long_pipeline_is_not_an_unfinished_head(start_server: StartServer) -> None:
    """Segments that begin and end within a head of a long pipeline do not count as a head that is too long."""
    server = await start_server()
    request = get_request("/ask?q=hello", "X-Padding: " + "a" * 500)
    pipeline = request * 200 + get_request("/ask?q=hello", "Connection: close")
    cut = len(request) // 2
    received = await exchange(
        server, pipeline[:cut], pipeline[cut : 150 * len(request)], pipeline[150 * len(request) :]
    )
    assert statuses(received) == [200] * 201


async def connect_without_reading(server: RawServer) -> socket.socket:
    """Return a connected socket with a small receive buffer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
    return client


async def test_unsent_responses_share_a_limit(start_server: StartServer) -> None:
    """Beyond 16 MB in all connections, those that do not read are closed; a client that reads gets its response."""
    server = await start_server(ScriptedAnswerer(Answer("x" * 4_000_000)))
    limit = server.app[CONNECTIONS].unsent_bytes.limit = 16 << 20
    clients = []
    try:
        for _ in range(12):
            clients.append(await connect_without_reading(server))
            await asyncio.get_running_loop().sock_sendall(clients[-1], get_request("/ask?q=long"))
        await wait_until(lambda: server.close_counts().get("unsent_bytes", 0) >= 8)
        assert sum(connection.unsent_bytes for connection in server.server_connections()) <= limit
        assert len((await server.send_request(get_request("/ask?q=long"))).body) > 4_000_000
    finally:
        for client in clients:
            client.close()
