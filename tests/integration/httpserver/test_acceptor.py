"""Accepting connections: their first bytes are handled before the event loop has a transport for them."""

import asyncio
import errno
import itertools
import os
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from askd.app import CONNECTIONS, METRICS
from askd.httpserver import acceptor
from tests.support.app_fixtures import Log, RawServer, StartServer, open_loopback_listener
from tests.support.certificates import client_context, issue_certificate, write_certificate
from tests.support.descriptors import all_descriptors_used
from tests.support.fakes import Clock, UppercaseAnswerer, wait_until
from tests.support.raw_http import get_request, post_request


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


async def test_client_that_left_the_accept_queue(start_server: StartServer) -> None:
    """A request whose client has disconnected before it was accepted is a 499, and the answerer is not called."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake)
    listener = open_loopback_listener()
    for _ in range(3):
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(get_request("/ask?q=wait"))
    server.http_server.listen(listener)
    await wait_until(lambda: server.request_count(route="/ask", method="GET", status=499) == 3)
    assert not fake.wait_started.is_set()
    registry = server.app[METRICS].registry
    assert registry.get_sample_value("askd_clients_left_queue_total") == 3
    assert registry.get_sample_value("askd_connections") == 0


async def test_client_that_left_during_a_call(start_server: StartServer) -> None:
    """A client that disconnects while the answerer runs has not left the queue."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake)
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
    await wait_until(lambda: server.request_count(route="/ask", method="GET", status=499) == 1)
    assert server.app[METRICS].registry.get_sample_value("askd_clients_left_queue_total") == 0


async def test_time_in_the_accept_queue_is_measured(start_server: StartServer) -> None:
    """The time that the first bytes waited in the kernel is a metric, and part of the duration of the request."""
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
    labels = {"http_route": "/ask", "http_request_method": "GET", "http_response_status_code": "200"}
    for name, name_labels in (
        ("askd_connection_accept_delay_seconds_sum", {}),
        ("http_server_request_duration_seconds_sum", labels),
    ):
        seconds = server.app[METRICS].registry.get_sample_value(name, name_labels)
        assert seconds is not None
        assert 0.05 < seconds < 5.0


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
    assert (attempts > 3, len(log.lines("accept_paused")), server.http_server.accept_pauses) == (True, 1, 3)


async def listen_with_tls(server: RawServer, folder: Path) -> int:
    """Let a server accept HTTPS on another port; return the port."""
    files = write_certificate(folder, issue_certificate())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.cert, files.key)
    listener = open_loopback_listener()
    server.http_server.listen(listener, tls=context)
    return int(listener.getsockname()[1])


@pytest.mark.parametrize("first_bytes", [b"", b"\x16\x03\x01"], ids=["silent", "begins a handshake"])
async def test_connections_count_before_the_tls_handshake(
    start_server: StartServer, tmp_path: Path, first_bytes: bytes
) -> None:
    """At the limit, the oldest connection without a handshake is evicted; other clients get their responses."""
    server = await start_server(max_connections="10")
    port = await listen_with_tls(server, tmp_path)
    streams = []
    for count in range(1, 31):
        streams.append(await asyncio.open_connection("127.0.0.1", port))
        streams[-1][1].write(first_bytes)
        await wait_until(lambda: len(server.app[CONNECTIONS].all()) == min(count, 10))  # noqa: B023 - called at once
    await wait_until(lambda: server.close_counts() == {"limit": 20})
    assert await read_or_reset(streams[0]) == b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context())
    writer.write(get_request("/ask?q=hello", "Connection: close"))
    assert (await read((reader, writer))).startswith(b"HTTP/1.1 200 ")
    writer.close()
    for _, silent_writer in streams:
        silent_writer.close()
    await wait_until(lambda: not server.app[CONNECTIONS].all())


async def test_accepting_waits_for_descriptors_of_evicted_connections(start_server: StartServer) -> None:
    """At the limit, accepting waits until the event loop has closed the connections that were evicted."""
    server = await start_server(max_connections="100")
    connections = server.app[CONNECTIONS]
    listener = open_loopback_listener()
    counts = []

    def connect() -> list[socket.socket]:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(100)]
        for client in clients:
            client.sendall(b"GET /ask")  # the event loop has a transport for connections with data
        return clients

    clients = connect()
    server.http_server.listen(listener)
    await wait_until(lambda: len(connections.all()) == 100)
    clients += connect()
    while server.close_counts().get("limit", 0) < 100:
        await asyncio.sleep(0)
        counts.append(connections.pending_evictions)
    await wait_until(lambda: not connections.pending_evictions)
    assert 0 < max(counts) <= 32
    for client in clients:
        client.close()


async def test_accepting_leaves_time_for_other_connections(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its time in an iteration of the event loop is over, the other connections wait for the next one."""
    monkeypatch.setattr(acceptor, "MAX_SECONDS_PER_ITERATION", 0.0)
    server = await start_server()
    listener = open_loopback_listener()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(10)]
    server.http_server.listen(listener)
    counts = [0]
    while counts[-1] < 10:
        await asyncio.sleep(0)
        counts.append(len(server.app[CONNECTIONS].all()))
    assert max(after - before for before, after in itertools.pairwise(counts)) == 1
    for client in clients:
        client.close()


async def read_or_reset(stream: tuple[Any, Any]) -> bytes:
    """Read until the server closes or resets the connection."""
    try:
        return await read(stream)
    except ConnectionResetError:
        return b""


async def test_silent_connection_is_closed_at_the_header_timeout(start_server: StartServer) -> None:
    """A connection that sends nothing counts, and is closed after the header time-out."""
    clock = Clock()
    server = await start_server(clock=clock, header_timeout="1s")
    async with server.connect() as client:
        await wait_until(server.server_connections)
        server.sweep()
        clock.advance(1.5)
        server.sweep()
        assert await client.read_until_closed() == b""
    assert server.close_counts() == {"header_timeout": 1}


async def test_client_that_leaves_without_a_request(start_server: StartServer) -> None:
    """A connection that is closed before its first byte is forgotten."""
    server = await start_server()
    async with server.connect() as client:
        await wait_until(server.server_connections)
        await client.close()
    await wait_until(lambda: server.close_counts() == {"client": 1})
    assert not server.server_connections()


async def test_spare_descriptors_keep_a_listener_reachable(start_server: StartServer, log: Log) -> None:
    """A listener with reserved descriptors accepts although all other descriptors of the process are used."""
    server = await start_server()
    listener = open_loopback_listener()
    server.http_server.listen(listener, spare_descriptors=2)
    client = socket.socket()
    client.setblocking(False)
    with all_descriptors_used():
        await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
        await asyncio.get_running_loop().sock_sendall(client, get_request("/ask?q=hello", "Connection: close"))
        received = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1000), 5)
    assert received.startswith(b"HTTP/1.1 200 ")
    client.close()
    assert (server.http_server.accept_pauses, log.lines("accept_paused")) == (0, [])


def test_reserve_gives_up_its_descriptors() -> None:
    """When the process lacks descriptors, those of the reserve can be used; later they are taken again."""
    reserve = acceptor.SpareDescriptors(2)
    with all_descriptors_used() as opened:
        assert [reserve.release() for _ in range(3)] == [True, True, False]
        opened += [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
        reserve.refill()  # there is none
        assert not reserve.release()
    reserve.refill()
    assert [reserve.release() for _ in range(3)] == [True, True, False]
    reserve.refill()
    reserve.close()
    assert not reserve.release()
