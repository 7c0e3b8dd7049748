"""How connections end, over real sockets, in time that the test owns."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from service.guards.connections import Reason
from service.models import Answer, Question
from service.web import connection
from tests.fakes import Clock, Upper, until
from tests.web.conftest import Log
from tests.web.wire import Line, Wire, Wired, get, post

LONG = 4 << 20
"""Characters of an answer that no socket's buffers take in whole."""


class Talkative(Upper):
    """Answers `long` with more than a client that does not read can be sent, and `stubborn` never, though cancelled."""

    async def answer(self, question: Question) -> Answer:
        """Do as the question says."""
        if question.text == "long":
            return Answer("a" * LONG)
        if question.text == "stubborn":
            self.waiting.set()
            while not self.release.is_set():
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    self.stopped.set()
        return await super().answer(question)


@asynccontextmanager
async def deaf(server: Wire) -> AsyncIterator[Line]:
    """Connect with the smallest buffer for what comes, so that little can be sent to who does not read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=client, limit=1)
        try:
            yield Line(reader, writer)
        finally:
            writer.transport.abort()


async def ended(line: Line) -> bytes:
    """Wait until the server ends the connection, and return what it had to say."""
    try:
        return await line.rest()
    except ConnectionError:
        return b""


async def idle(server: Wire) -> None:
    """Wait until no exchange is under way, and let the server take note."""
    await until(lambda: not any(line.busy for line in server.lines()))
    server.sweep()


SLOW = {"silent": b"", "dripping": b"GET /ask?q=one HTTP/1.1\r\nHost: ", "a line ending": b"\r"}


@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
async def test_who_does_not_come_to_the_point_is_closed(wire: Wired, said: bytes) -> None:
    """Silence on a new connection, and headers that do not end, are closed at the header time-out, without a word."""
    clock = Clock()
    server = await wire(clock=clock, header_timeout="10s")
    async with server.open() as line:
        line.send(said)
        await until(server.lines)
        await until(lambda: server.lines()[0].head is not None or not said.strip())
        clock.advance(9.9)
        server.sweep()
        assert not server.lines()[0].closing
        clock.advance(0.2)
        server.sweep()
        assert await ended(line) == b""
    await until(lambda: server.closed() == {"header_timeout": 1})


async def test_idle_connections_are_closed(wire: Wired) -> None:
    """A used connection is closed after the keep-alive time, which each request renews."""
    clock = Clock()
    server = await wire(clock=clock, keepalive="75s")
    async with server.open() as line:
        for _ in range(3):
            line.send(get("/ask?q=one"))
            assert (await line.reply()).status == 200
            await idle(server)
            clock.advance(74.0)
            server.sweep()
        clock.advance(2.0)
        server.sweep()
        assert await ended(line) == b""
    await until(lambda: server.closed() == {"idle": 1})


async def test_who_does_not_read_is_closed(wire: Wired) -> None:
    """An answer of which a client takes nothing for the write time-out is dropped, and its connection reset."""
    clock = Clock()
    server = await wire(Talkative(), clock=clock, write_timeout="20s")
    async with deaf(server) as line:
        line.send(get("/ask?q=long"))
        await until(lambda: [each.unsent for each in server.lines()] > [0])
        server.sweep()
        clock.advance(19.9)
        server.sweep()
        assert not server.lines()[0].closing
        clock.advance(0.2)
        server.sweep()
        await until(lambda: server.closed() == {"write_timeout": 1})
        assert server.lines() == []
        with pytest.raises(ConnectionResetError):  # else the kernel would go on sending what it has
            await line.rest()
    assert (await server.ask(get("/ask?q=one"))).status == 200


async def test_old_connections_say_that_they_end(wire: Wired) -> None:
    """After its age a connection's next answer has `Connection: close`; until there is one, it stays open."""
    clock = Clock()
    server = await wire(clock=clock, connection_max_age="300s", keepalive="1h")
    async with server.open() as line:
        line.send(get("/ask?q=one"))
        assert "connection" not in (await line.reply()).headers
        clock.advance(331.0)
        await idle(server)
        line.send(get("/ask?q=two"))
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await ended(line) == b""
    await until(lambda: server.closed() == {"age": 1})


@pytest.mark.parametrize(
    "request_bytes",
    [get("/ask?q=one"), get("/nowhere"), post(b"{"), get("/ask?q=one+two", "Accept: text/event-stream")],
    ids=["answer", "not found", "bad question", "stream"],
)
async def test_in_a_drain_every_answer_is_the_last(wire: Wired, request_bytes: bytes) -> None:
    """Once the drain has begun, answers of any kind have `Connection: close`, on old connections and on new ones."""
    server = await wire(Upper(streams=True))
    async with server.open() as old:
        await until(server.lines)
        server.runner.drain()
        async with server.open() as new:
            for line in (old, new):
                line.send(request_bytes)
                assert (await line.head())[1]["connection"] == "close"
                await line.rest()
    await until(lambda: server.closed() == {"drain": 2})


async def test_at_the_limit_the_silent_make_room(wire: Wired) -> None:
    """A new connection at the limit is answered, in the place of the oldest that never asked."""
    server = await wire(max_connections="2")
    async with server.open() as silent, server.open() as second, server.open() as good:
        good.send(get("/ask?q=one"))
        assert (await good.reply()).status == 200
        assert await ended(silent) == b""
        second.send(get("/ask?q=two"))
        assert (await second.reply()).status == 200
    await until(lambda: server.closed() == {"limit": 1, "client": 2})


async def test_at_the_limit_the_idle_make_room(wire: Wired) -> None:
    """Where all have asked, the connection that is idle for longest makes room."""
    clock = Clock()
    server = await wire(clock=clock, max_connections="2")
    async with server.open() as first, server.open() as second:
        for line in (first, second):
            line.send(get("/ask?q=one"))
            await line.reply()
            await idle(server)
            clock.advance(1.0)
        async with server.open() as third:
            assert await ended(first) == b""
            for line in (second, third):
                line.send(get("/ask?q=two"))
                assert (await line.reply()).status == 200
    await until(lambda: server.closed() == {"limit": 1, "client": 2})


async def test_at_the_limit_a_dripped_body_makes_room(wire: Wired) -> None:
    """Who drips the body of a first request has asked nothing yet, and goes."""
    server = await wire(max_connections="1")
    async with server.open() as dripping:
        dripping.send(post(b"{", "Content-Length: 100"))
        await until(lambda: [line.unread for line in server.lines()] == [True])
        assert (await server.ask(get("/ask?q=one"))).status == 200
        assert await ended(dripping) == b""
    assert server.closed()["limit"] == 1


async def test_where_all_are_busy_a_new_one_is_told_so(wire: Wired) -> None:
    """A connection that there is no room for is accepted, told 503 with what to do, and closed; exchanges go on."""
    fake = Upper()
    server = await wire(fake, max_connections="1")
    async with server.open() as busy:
        busy.send(get("/ask?q=wait"))
        await fake.waiting.wait()
        async with server.open() as line:
            refused = await line.reply()
            assert await ended(line) == b""
        assert (refused.status, refused.headers["connection"], refused.headers["retry-after"]) == (503, "close", "1")
        assert "connections" in json.loads(refused.body)["detail"]
        fake.release.set()
        assert (await busy.reply()).body == b'{"answer":"WAIT"}'
    assert server.closed()["refused"] == 1


@pytest.mark.parametrize("path", ["/ask", "/ask?q=one"])
async def test_a_body_that_does_not_come_is_408(wire: Wired, path: str) -> None:
    """A dripped body is 408 at the body time-out, with `Connection: close`, and the connection ends."""
    server = await wire(body_timeout="0.1s")
    async with server.open() as line:
        line.send(get(path, "Content-Type: application/json", "Content-Length: 10", method="POST") + b"{")
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert json.loads(reply.body)["type"] == "/docs#request-timeout"
        assert "0.1 s" in json.loads(reply.body)["detail"]
        assert await ended(line) == b""
    await until(lambda: server.closed() == {"body_timeout": 1})
    assert server.counted(route="/ask", method="POST", code="408") == 1


async def test_an_invited_body_that_does_not_come_is_408(wire: Wired) -> None:
    """After `100 Continue` the body has its time as well."""
    server = await wire(body_timeout="0.1s")
    async with server.open() as line:
        line.send(post(b"", "Content-Length: 10", "Expect: 100-continue"))
        assert (await line.head())[0] == 100
        assert (await line.reply()).status == 408
        assert await ended(line) == b""


@pytest.mark.parametrize("target", ["/ask?q=one", "/nowhere", "/livez"])
async def test_a_body_that_nobody_wants_is_not_waited_for(wire: Wired, target: str) -> None:
    """The answer comes at once, and the connection ends soon, however slowly the body drips."""
    server = await wire()
    async with server.open() as line:
        line.send(get(target, "Content-Length: 1000") + b"a")
        assert (await line.reply()).status in {200, 404}
        assert await ended(line) == b""
    await until(lambda: server.closed() == {"unread": 1})


async def test_a_chunk_that_breaks_later_fails_its_request(wire: Wired, log: Log) -> None:
    """A body that turns out malformed after its headers is a 400 at once, one answer, and the connection ends."""
    server = await wire()
    async with server.open() as line:
        line.send(post(b"", "Transfer-Encoding: chunked"))
        await until(lambda: any(each.unread and each.busy for each in server.lines()))
        line.send(b"zz\r\nhello\r\n0\r\n\r\n")
        reply = await line.reply()
        assert (reply.status, json.loads(reply.body)["parameter"]) == (400, "body")
        assert (reply.headers["connection"], await ended(line)) == ("close", b"")
    assert [entry["event"] for entry in log.lines()] == ["exchange"]


async def due_in(server: Wire, seconds: float) -> None:
    """Set the due time of the one exchange, as a handler would."""
    (line,) = server.lines()
    line.due = line._clock() + seconds


async def test_code_that_heeds_no_cancellation_is_504(wire: Wired) -> None:
    """A second after its due time an exchange without an answer gets a ready 504, and the connection ends."""
    fake, clock = Talkative(), Clock()
    server = await wire(fake, clock=clock)
    async with server.open() as line:
        line.send(get("/ask?q=stubborn"))
        await fake.waiting.wait()
        await due_in(server, 5.0)
        clock.advance(5.9)
        server.sweep()
        assert not server.lines()[0].closing
        clock.advance(0.2)
        server.sweep()
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (504, "close")
        assert json.loads(reply.body)["title"] == "Deadline exceeded"
        assert await ended(line) == b""
    await fake.stopped.wait()
    assert server.closed() == {"deadline": 1}
    fake.release.set()


async def test_an_answer_that_is_overdue_on_its_way_is_cut(wire: Wired) -> None:
    """Where the client has not taken the answer a second after the due time, the connection is aborted."""
    clock = Clock()
    server = await wire(Talkative(), clock=clock)
    async with deaf(server) as line:
        line.send(get("/ask?q=long"))
        await until(lambda: [each.unsent for each in server.lines()] > [0])
        await due_in(server, 5.0)
        clock.advance(6.1)
        server.sweep()
        await until(lambda: server.closed() == {"deadline": 1})


async def test_a_stream_that_is_overdue_is_cut(wire: Wired) -> None:
    """A stream that has begun gets no second answer: it ends without its end."""
    fake, clock = Upper(streams=True), Clock()
    server = await wire(fake, clock=clock)
    async with server.open() as line:
        line.send(get("/ask?q=one+wait", "Accept: text/event-stream"))
        await fake.waiting.wait()
        await due_in(server, 5.0)
        clock.advance(6.1)
        server.sweep()
        said = await ended(line)
    assert (b"504" in said, said.endswith(b"0\r\n\r\n")) == (False, False)
    await until(lambda: server.closed() == {"deadline": 1})


async def test_other_connections_know_no_times() -> None:
    """Behind a server that is not ours a request came now, and what is set for its connection is not heard."""
    seen = []

    async def handler(request: web.Request) -> web.Response:
        connection.set_due(request, 1.0)
        connection.because(request, Reason.AGE)
        seen.append(connection.arrived(request))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    before = time.monotonic()
    async with TestClient(TestServer(app)) as plain:
        assert (await plain.get("/")).status == 200
    assert before < seen[0] < time.monotonic()
