"""The load of k8s/load: what it counts as a failure, and how it treats connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.cluster.asking import Load, load

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\nX-Served-By: one\r\n\r\n{"answer":"Hi"}'
LAST = OK.replace(b"X-Served-By: one", b"Connection: close")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nanswer\r\n3\r\n...\r\n0\r\n\r\n"
MANY = 10_000
Start = Callable[..., Awaitable[Load]]


@pytest.fixture
async def asked() -> AsyncIterator[Start]:
    """Give `asked(replies, **kind)`, which asks a server that gives these bytes in turn and then closes."""
    servers: list[asyncio.Server] = []

    async def ask(*replies: bytes, **kind: int) -> Load:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(1)
            with contextlib.suppress(EOFError):
                for reply in replies:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(reply)
            writer.close()

        connections: list[int] = []
        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        port = servers[-1].sockets[0].getsockname()[1]
        found = Load(f"http://127.0.0.1:{port}", [load.Kind(**{"kept": 1, "fresh": 0, "pause": 0.001, **kind})])
        running = asyncio.create_task(found.run())
        await found.warm()
        await found.warm()
        found.stop()
        await running
        found.connections = len(connections)
        return found

    yield ask
    for server in servers:
        server.close()


async def test_a_kept_connection_is_used_again(asked: Start) -> None:
    """A response without `Connection: close` is followed by the next request on the same connection."""
    found = await asked(*[OK] * MANY)
    assert found.connections == 1
    assert found.report()["ask"]["servers"] == {"one": found.tallies["ask"].good}


async def test_a_close_is_honoured(asked: Start) -> None:
    """After `Connection: close` a new connection is opened, and that is no failure."""
    found = await asked(LAST)
    assert not found.failed
    assert found.connections == found.tallies["ask"].good


async def test_a_connection_that_breaks_is_a_failure(asked: Start) -> None:
    """A server that closes without saying so loses the request under way, and it is counted, not repeated."""
    found = await asked(OK)
    assert found.failed
    with pytest.raises(AssertionError, match="kept: "):
        found.clean()


@pytest.mark.parametrize("reply", [OK.replace(b"200 OK", b"503 No"), OK.replace(b"answer", b"nothin")])
async def test_a_bad_answer_is_a_failure(asked: Start, reply: bytes) -> None:
    """Another status, and another body, are failures."""
    found = await asked(*[reply] * MANY)
    assert not found.tallies["ask"].good


async def test_a_fresh_connection_is_used_once(asked: Start) -> None:
    """Workers that connect anew do so for each request."""
    found = await asked(OK, kept=0, fresh=1)
    assert not found.failed
    assert found.connections == found.tallies["ask"].good


async def test_chunks_are_read_to_their_end(asked: Start) -> None:
    """A streamed body is put together, and its connection used again."""
    found = await asked(*[CHUNKED] * MANY)
    assert not found.failed
    assert found.tallies["ask"].bodies == {b"answer..."}


async def test_it_waits_for_a_server_that_is_not_there_yet() -> None:
    """Nothing is asked before something listens; where nothing ever does, that is said in time."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await Load(f"http://127.0.0.1:{port}", []).reach()
    server.close()
    with pytest.raises(TimeoutError):
        await Load(f"http://127.0.0.1:{port}", []).reach(0.01)
