"""Slow and idle clients: their connections are closed in time, and other clients are served."""

import asyncio
import contextlib
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from yarl import URL

from tests.support.askd_process import TIMEOUT, AskdProcess, StartAskd

pytestmark = pytest.mark.slow

SHORT_TIMEOUTS: Final = {
    "ASKD_HEADER_TIMEOUT": "1s",
    "ASKD_BODY_TIMEOUT": "1s",
    "ASKD_WRITE_TIMEOUT": "1s",
    "ASKD_KEEPALIVE_TIMEOUT": "1s",
}
TOLERANCE: Final = 4.0
"""Seconds after a time-out in which the connection must be closed: 0.25 s for a sweep, the rest for slow machines."""
PAUSE: Final = 0.1
"""Seconds between two pieces of a slow request."""
LONG_ANSWER: Final = "def answer(text):\n    return text * 40_000_000 if text == 'a' else text\n"


@contextlib.asynccontextmanager
async def connect(process: AskdProcess) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection with a minimal receive buffer."""
    url = URL(await process.url())
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (url.host or "", url.port or 0))
    reader, writer = await asyncio.open_connection(sock=client, limit=1)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def send_slowly(process: AskdProcess, first: bytes, piece: bytes) -> tuple[float, bytes]:
    """Send pieces until the server closes the connection. Returns the seconds until then, and the data received."""
    loop = asyncio.get_running_loop()
    started = loop.time()  # before the connection: the server counts from its accept
    async with asyncio.timeout(TIMEOUT), connect(process) as (reader, writer):
        writer.write(first)
        end = asyncio.create_task(reader.read())
        while not (await asyncio.wait({end}, timeout=PAUSE))[0]:
            writer.write(piece)
        seconds = loop.time() - started
        try:
            return seconds, end.result()
        except ConnectionError:
            return seconds, b""


async def closed_connections(process: AskdProcess, reason: str) -> float:
    """Return the number of connections closed for a reason."""
    metrics = (await process.get("/metrics")).text
    match = re.search(rf'^askd_connections_closed_total{{reason="{reason}"}} (\S+)$', metrics, re.MULTILINE)
    assert match
    return float(match[1])


HEAD: Final = b"Host: askd\r\nContent-Type: application/json\r\n"


class SlowClient(NamedTuple):
    """A slow client: the reason for its closing, the data that it sends first and repeatedly, and the response."""

    reason: str
    first: bytes
    piece: bytes
    received: str
    """Regular expression."""


SLOW_CLIENTS: Final = {
    "silence": SlowClient("header_timeout", b"", b"", "^$"),
    "headers": SlowClient("header_timeout", b"GET /ask?q=b HTTP/1.1\r\n", b"X-A: b\r\n", "^$"),
    "a body": SlowClient(
        "body_timeout",
        b"POST /ask HTTP/1.1\r\nContent-Length: 1000\r\n" + HEAD + b"\r\n",
        b" ",
        "^HTTP/1.1 408 (?s:.*)\r\nConnection: close\r\n",
    ),
    "chunks": SlowClient(
        "body_timeout",
        b"POST /ask HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\n",
        b"1\r\n \r\n",
        "^HTTP/1.1 408 (?s:.*)\r\nConnection: close\r\n",
    ),
    "nothing more": SlowClient("idle", b"GET /ask?q=b HTTP/1.1\r\nHost: askd\r\n\r\n", b"", r'\{"answer":"b"\}$'),
}


@pytest.mark.slow
async def test_slow_clients_are_closed(start: StartAskd, tmp_path: Path) -> None:
    """Clients that send nothing, or headers or a body in small pieces, are closed after the time-out."""
    (tmp_path / "main.py").write_text(LONG_ANSWER)
    process = await start("serve", "main.py:answer", **SHORT_TIMEOUTS)
    await process.wait_for_event("ready")
    clients = list(SLOW_CLIENTS.items()) * 20
    results = await asyncio.gather(*[send_slowly(process, client.first, client.piece) for _, client in clients])
    for (name, client), (seconds, received) in zip(clients, results, strict=True):
        assert 0.9 < seconds < 1.0 + TOLERANCE, name
        assert re.search(client.received, received.decode()), (name, received)
    for reason, count in Counter(client.reason for _, client in clients).items():
        assert await closed_connections(process, reason) == count
    assert (await process.get("/ask?q=b")).status == 200


async def test_client_that_does_not_read_is_closed(start: StartAskd, tmp_path: Path) -> None:
    """A client that does not read a long answer is closed after the write time-out, and counted."""
    (tmp_path / "main.py").write_text(LONG_ANSWER)
    process = await start("serve", "main.py:answer", **SHORT_TIMEOUTS)
    await process.wait_for_event("ready")
    loop = asyncio.get_running_loop()
    async with connect(process) as (_, writer):
        writer.write(b"GET /ask?q=a HTTP/1.1\r\nHost: askd\r\n\r\n")
        await process.wait_for_event("request")
        started = loop.time()
        async with asyncio.timeout(TIMEOUT):
            while not await closed_connections(process, "write_timeout"):
                assert (await process.get("/ask?q=b")).status == 200
    assert loop.time() - started < 1.0 + TOLERANCE


async def test_idle_connections_do_not_block_new_clients(start: StartAskd, tmp_path: Path) -> None:
    """A client is served although ten times the maximum of idle connections have been opened."""
    (tmp_path / "main.py").write_text(LONG_ANSWER)
    process = await start("serve", "main.py:answer", ASKD_MAX_CONNECTIONS="10")
    await process.wait_for_event("ready")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(connect(process))
        assert (await process.get("/ask?q=b")).status == 200
        assert await closed_connections(process, "limit") >= 90
        match = re.search(r"^askd_connections (\S+)$", (await process.get("/metrics")).text, re.MULTILINE)
        assert match
        assert 8 <= float(match[1]) <= 10  # less than 10 if a closed connection of the client was still counted
