"""Slow and absent clients of the real process: each is closed in its time, while others are answered."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from yarl import URL

from .conftest import BOUND, Process, Start

SHORT: Final = {
    "ASKD_HEADER_TIMEOUT": "1s",
    "ASKD_BODY_TIMEOUT": "1s",
    "ASKD_WRITE_TIMEOUT": "1s",
    "ASKD_KEEPALIVE": "1s",
}
LATE: Final = 4.0
"""Seconds after its time in which a connection must be closed: four sweeps a second would do, but machines are slow."""
PAUSE: Final = 0.1
"""Seconds between two drips: how long each waits for the end of the connection."""
LONG: Final = "def answer(text):\n    return text * 40_000_000 if text == 'a' else text\n"


@contextlib.asynccontextmanager
async def connected(process: Process) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection that takes as little as can be unless it reads."""
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


async def drip(process: Process, first: bytes, drop: bytes) -> tuple[float, bytes]:
    """Send, then drip until the server closes; return after how many seconds it did, and what it said."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(BOUND), connected(process) as (reader, writer):
        started = loop.time()
        writer.write(first)
        end = asyncio.create_task(reader.read())
        while not (await asyncio.wait({end}, timeout=PAUSE))[0]:
            writer.write(drop)
        taken = loop.time() - started
        try:
            return taken, end.result()
        except ConnectionError:
            return taken, b""


async def closed(process: Process, reason: str) -> float:
    """Return how many connections have been closed for a reason."""
    metrics = (await process.get("/metrics")).text
    found = re.search(rf'^askd_connections_closed_total{{reason="{reason}"}} (\S+)$', metrics, re.MULTILINE)
    assert found
    return float(found[1])


HEAD: Final = b"Host: askd\r\nContent-Type: application/json\r\n"


class Slow(NamedTuple):
    """A client that is slow: what it sends first, what it drips, for which reason it is closed, and what it hears."""

    reason: str
    first: bytes
    drop: bytes
    hears: str


SLOW: Final = {
    "silence": Slow("header_timeout", b"", b"", "^$"),
    "headers": Slow("header_timeout", b"GET /ask?q=b HTTP/1.1\r\n", b"X-A: b\r\n", "^$"),
    "a body": Slow(
        "body_timeout",
        b"POST /ask HTTP/1.1\r\nContent-Length: 1000\r\n" + HEAD + b"\r\n",
        b" ",
        "^HTTP/1.1 408 (?s:.*)\r\nConnection: close\r\n",
    ),
    "chunks": Slow(
        "body_timeout",
        b"POST /ask HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\n",
        b"1\r\n \r\n",
        "^HTTP/1.1 408 (?s:.*)\r\nConnection: close\r\n",
    ),
    "nothing more": Slow("idle", b"GET /ask?q=b HTTP/1.1\r\nHost: askd\r\n\r\n", b"", r'\{"answer":"b"\}$'),
}


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
async def test_who_is_slow_is_closed_in_time(start: Start, tmp_path: Path, slow: Slow) -> None:
    """Silence, dripped headers and dripped bodies end soon after their second, however steadily they drip."""
    (tmp_path / "main.py").write_text(LONG)
    process = await start("serve", "main.py:answer", **SHORT)
    await process.event("ready")
    ends = await asyncio.gather(*[drip(process, slow.first, slow.drop) for _ in range(20)])
    assert all(0.9 < seconds < 1.0 + LATE for seconds, _ in ends), ends
    assert all(re.search(slow.hears, said.decode()) for _, said in ends), ends
    assert await closed(process, slow.reason) == 20
    assert (await process.get("/ask?q=b")).status == 200


async def test_who_does_not_read_is_closed_in_time(start: Start, tmp_path: Path) -> None:
    """A client that takes nothing of a long answer is closed soon after the write time-out, and counted."""
    (tmp_path / "main.py").write_text(LONG)
    process = await start("serve", "main.py:answer", **SHORT)
    await process.event("ready")
    loop = asyncio.get_running_loop()
    async with connected(process) as (_, writer):
        writer.write(b"GET /ask?q=a HTTP/1.1\r\nHost: askd\r\n\r\n")
        await process.event("exchange")
        started = loop.time()
        async with asyncio.timeout(BOUND):
            while not await closed(process, "write_timeout"):
                assert (await process.get("/ask?q=b")).status == 200
    assert loop.time() - started < 1.0 + LATE


async def test_there_is_always_room_for_who_asks(start: Start, tmp_path: Path) -> None:
    """Ten times the limit of silent connections do not keep a good client out."""
    (tmp_path / "main.py").write_text(LONG)
    process = await start("serve", "main.py:answer", ASKD_MAX_CONNECTIONS="10")
    await process.event("ready")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(connected(process))
        assert (await process.get("/ask?q=b")).status == 200
        assert await closed(process, "limit") >= 90
        found = re.search(r"^askd_connections (\S+)$", (await process.get("/metrics")).text, re.MULTILINE)
        assert found
        assert 8 <= float(found[1]) <= 10  # another of the silent went where a good client's end was not seen yet
