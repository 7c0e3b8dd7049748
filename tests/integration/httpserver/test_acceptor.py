"""Accepting connections: their first bytes are handled before the event loop has a transport for them."""

import asyncio
import errno
import socket
import time
from typing import Any

import pytest

from askd.app import METRICS
from askd.httpserver import acceptor
from tests.support.app_fixtures import Log
from tests.support.fakes import UppercaseAnswerer, wait_until
from tests.support.raw_http import RawServer, StartServer, get_request, open_loopback_listener, post_request


async def connect_before_accept(server: RawServer, *requests: bytes) -> list[tuple[Any, Any]]:
    """Connect and send requests to a listener that accepts only then; return readers and writers."""
    listener = open_loopback_listener()
    streams = []
    for request in requests:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(request)
        streams.append((reader, writer))
    await wait_until(lambda: all(not writer.transport.get_write_buffer_size() for _, writer in streams))
    server.http_server.listen(listener)
    return streams


async def read(stream: tuple[Any, Any]) -> bytes:
    """Read until the server closes the connection."""
    return bytes(await asyncio.wait_for(stream[0].read(), 5))


async def test_first_bytes_are_answered(start_server: StartServer) -> None:
    """Requests that arrive with their connection are answered in order, by the fast path and by aiohttp."""
    server = await start_server(UppercaseAnswerer(deterministic=False))
    last = get_request("/ask?q=last", "Connection: close")
    streams = await connect_before_accept(
        server,
        get_request("/ask?q=hello") + get_request("/ask?q=one") + last,
        post_request(b'{"q":"two"}') + last,
        last,
    )
    for stream, answers in zip(streams, ([b"Hi", b"ONE", b"LAST"], [b"TWO", b"LAST"], [b"LAST"]), strict=True):
        received = await read(stream)
        assert [received.count(b'{"answer":"%b"}' % answer) for answer in answers] == [1] * len(answers)
        stream[1].close()


async def test_shed_request_closes_its_connection(start_server: StartServer, log: Log) -> None:
    """A shed request gets a 503 with `Connection: close`; requests on connections that exist keep theirs."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake, concurrency="1", queue_size="0")
    async with server.connect() as busy:
        busy.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        for stream in await connect_before_accept(server, *[get_request("/ask?q=abc")] * 20):
            received = await read(stream)
            assert received.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nConnection: close\r\n" in received
            stream[1].close()
        assert server.close_counts() == {"shed": 20}
        fake.release.set()
        assert (await busy.read_response()).status == 200
    assert server.request_count(route="/ask", method="GET", status=503) == 20
    assert log.lines("requests_shed")


async def test_malformed_first_bytes_are_refused(start_server: StartServer) -> None:
    """A malformed request that arrives with its connection gets a 400."""
    server = await start_server()
    (stream,) = await connect_before_accept(server, b"\x16\x03\x01\r\n\r\n")
    assert (await read(stream)).startswith(b"HTTP/1.1 400 ")
    stream[1].close()


async def test_time_in_the_accept_queue_is_measured(start_server: StartServer) -> None:
    """The metric contains how long the first bytes waited in the kernel."""
    server = await start_server()
    listener = open_loopback_listener()
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(get_request("/ask?q=a", "Connection: close"))
    sent_at = time.monotonic()
    await wait_until(lambda: time.monotonic() - sent_at > 0.1)
    server.http_server.listen(listener)
    assert server.http_server.accept_queue_length == 1
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 ")
    writer.close()
    total = server.app[METRICS].registry.get_sample_value("askd_connection_accept_delay_seconds_sum")
    assert total is not None
    assert 0.05 < total < 5.0


async def test_accepting_pauses_without_descriptors(
    start_server: StartServer, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without file descriptors, accepting pauses, is logged once, and continues when there are some."""
    monkeypatch.setattr(acceptor, "PAUSE_SECONDS", 0.01)
    server = await start_server()
    attempts = 0

    class ExhaustedListener(socket.socket):
        """A listener that finds no descriptor three times."""

        def accept(self) -> tuple[socket.socket, Any]:
            nonlocal attempts
            attempts += 1
            if attempts <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    listener = ExhaustedListener(fileno=open_loopback_listener().detach())
    listener.setblocking(False)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(get_request("/ask?q=a", "Connection: close"))
    server.http_server.listen(listener)
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert (attempts > 3, len(log.lines("accept_paused"))) == (True, 1)
