"""Clients that end their side of the connection right after their requests, as `nc -N` does."""

import asyncio

import pytest

from askd.httpserver.server import HALF_CLOSE_WINDOW
from tests.support.app_fixtures import StartServer
from tests.support.fakes import Clock, UppercaseAnswerer
from tests.support.raw_http import RawConnection, get_request, post_request, statuses


async def send_and_end(client: RawConnection, data: bytes) -> bytes:
    """Send bytes, end the client's side, and read until the server closes the connection."""
    client.send(data)
    client.writer.write_eof()
    return await client.read_until_closed()


REQUESTS = {
    "immediate": (get_request("/ask?q=hello"), [200]),
    "waits": (get_request("/ask?q=one"), [200]),
    "several": (get_request("/ask?q=one") + get_request("/ask?q=hello") + get_request("/ask?q=two"), [200] * 3),
    "with a body": (post_request(b'{"q":"one"}'), [200]),
    "other page": (get_request("/openapi.json"), [200]),
    "then a part": (get_request("/ask?q=one") + b"GET /ask?q=t", [200]),
    "part of a head": (b"GET /ask?q=o", []),
    "part of a body": (post_request(b"{", "Content-Length: 10"), []),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("data", "expected"), REQUESTS.values(), ids=REQUESTS)
async def test_requests_before_the_end_are_answered(
    start_server: StartServer, data: bytes, expected: list[int]
) -> None:
    """All complete requests get their responses, then the connection is closed."""
    server = await start_server(UppercaseAnswerer(deterministic=False), half_close_window=HALF_CLOSE_WINDOW)
    async with server.connect() as client:
        assert statuses(await send_and_end(client, data)) == expected
    assert server.close_counts() == {"client": 1}


async def test_stream_is_sent_in_full(start_server: StartServer) -> None:
    """A stream ends with its last event."""
    server = await start_server(UppercaseAnswerer(supports_streaming=True), half_close_window=HALF_CLOSE_WINDOW)
    async with server.connect() as client:
        received = await send_and_end(client, get_request("/ask?q=one+two", "Accept: text/event-stream"))
    assert b"event: answer\r\n" in received.replace(b"event: answer\n", b"event: answer\r\n")
    assert received.endswith(b"0\r\n\r\n")


async def test_later_end_cancels_the_call(start_server: StartServer) -> None:
    """The end of the input some time after the request means that the client has left."""
    fake, clock = UppercaseAnswerer(deterministic=False), Clock()
    server = await start_server(fake, clock=clock, half_close_window=HALF_CLOSE_WINDOW)
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait"))
        await asyncio.wait_for(fake.wait_started.wait(), 5)
        clock.advance(2 * HALF_CLOSE_WINDOW)
        client.writer.write_eof()
        assert await client.read_until_closed() == b""
    await asyncio.wait_for(fake.cancelled.wait(), 5)
