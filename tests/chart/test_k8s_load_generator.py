"""k8s/load/load.py: use of connections, and counting of failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.cluster_load import ClusterLoad, load

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\nX-Served-By: one\r\n\r\n{"answer":"Hi"}'
LAST = OK.replace(b"X-Served-By: one", b"Connection: close")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nanswer\r\n3\r\n...\r\n0\r\n\r\n"
MANY = 10_000
RunLoad = Callable[..., Awaitable[ClusterLoad]]


@pytest.fixture
async def run_load() -> AsyncIterator[RunLoad]:
    """`run_load(*responses, **kind)` sends requests to a server that sends these bytes in order, and then closes."""
    servers: list[asyncio.Server] = []

    async def run(*responses: bytes, **kind: int) -> ClusterLoad:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(1)
            with contextlib.suppress(EOFError):
                for response in responses:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(response)
            writer.close()

        connections: list[int] = []
        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        port = servers[-1].sockets[0].getsockname()[1]
        options = {"keepalive_connections": 1, "new_connections": 0, "pause": 0.001, **kind}
        generator = ClusterLoad(f"http://127.0.0.1:{port}", [load.RequestKind(**options)])
        running = asyncio.create_task(generator.run())
        await generator.wait_for_requests()
        await generator.wait_for_requests()
        generator.stop()
        await running
        generator.connections = len(connections)
        return generator

    yield run
    for server in servers:
        server.close()


async def test_keepalive_connection_is_reused(run_load: RunLoad) -> None:
    """Requests use the same connection while responses have no `Connection: close`."""
    generator = await run_load(*[OK] * MANY)
    assert generator.connections == 1
    assert generator.report()["ask"]["servers"] == {"one": generator.results["ask"].succeeded}


async def test_connection_close_is_honoured(run_load: RunLoad) -> None:
    """After `Connection: close` the next request uses a new connection, without a failure."""
    generator = await run_load(LAST)
    assert not generator.failed
    assert generator.connections == generator.results["ask"].succeeded


async def test_lost_connection_is_a_failure(run_load: RunLoad) -> None:
    """A request whose keep-alive connection closes is counted as a failure and not retried."""
    generator = await run_load(OK)
    assert generator.failed
    with pytest.raises(AssertionError, match="keep-alive: "):
        generator.assert_no_failures()


@pytest.mark.parametrize("response", [OK.replace(b"200 OK", b"503 No"), OK.replace(b"answer", b"nothin")])
async def test_unexpected_response_is_a_failure(run_load: RunLoad, response: bytes) -> None:
    """Another status or body than expected is a failure."""
    generator = await run_load(*[response] * MANY)
    assert not generator.results["ask"].succeeded


async def test_new_connection_is_used_once(run_load: RunLoad) -> None:
    """Workers without keep-alive open a new connection for each request."""
    generator = await run_load(OK, keepalive_connections=0, new_connections=1)
    assert not generator.failed
    assert generator.connections == generator.results["ask"].succeeded


async def test_chunked_body_is_read(run_load: RunLoad) -> None:
    """A chunked body is read completely, and its connection is reused."""
    generator = await run_load(*[CHUNKED] * MANY)
    assert not generator.failed
    assert generator.results["ask"].bodies == {b"answer..."}


async def test_load_waits_until_the_server_is_reachable() -> None:
    """Waiting ends when the server accepts a connection, or with a TimeoutError."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await ClusterLoad(f"http://127.0.0.1:{port}", []).wait_until_reachable()
    server.close()
    with pytest.raises(TimeoutError):
        await ClusterLoad(f"http://127.0.0.1:{port}", []).wait_until_reachable(0.01)
