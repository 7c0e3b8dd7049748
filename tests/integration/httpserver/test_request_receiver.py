"""The intake: requests out of bytes however they are cut, their times, and answers at hand."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

from service.models import Answer, Question
from service.web import connection, intake
from service.web.doorway import Doorway
from service.web.intake import AT_ONCE
from tests.fakes import Clock, Upper, until
from tests.web.conftest import Log
from tests.web.wire import Line, Wire, Wired, get, post

BROKEN = b"GET /ask?q=x HTTP/1.1\r\nHost: askd\r\nHost: other\r\n\r\n"
TWO = get("/ask?q=one") + post(b'{"q":"two"}')


async def said(server: Wire, *parts: bytes) -> bytes:
    """Send bytes in parts, each received before the next is sent, and return all that comes back."""
    async with server.open() as line:
        await until(server.lines)
        (there,) = server.lines()
        for part in parts:
            there.data_received(part)  # as the transport would, which may cut what was sent wherever it likes
            await asyncio.sleep(0)
        return await line.rest()


def statuses(wire: bytes) -> list[int]:
    """Return the statuses of the responses in what came."""
    return [int(part[:3]) for part in wire.split(b"HTTP/1.1 ")[1:]]


async def test_requests_before_a_malformed_one_are_answered(wire: Wired) -> None:
    """Well-formed requests that come in one segment with a malformed one are answered, then it is, and no more."""
    server = await wire()
    came = await said(server, TWO + get("/nowhere") + BROKEN + get("/ask?q=never"))
    assert statuses(came) == [200, 200, 404, 400]
    assert b"ONE" in came
    assert b"NEVER" not in came


async def test_where_the_segments_are_cut_makes_no_difference(wire: Wired) -> None:
    """Two requests and a malformed one get the same three answers, however the bytes are cut in two."""
    server = await wire()
    data = TWO + BROKEN
    for cut in range(len(data) + 1):
        came = await said(server, data[:cut], data[cut:])
        assert statuses(came) == [200, 200, 400], cut


async def test_more_than_the_queue_holds_before_a_malformed_one(wire: Wired) -> None:
    """A hundred requests in one segment, more than are queued at once, are all answered before the malformed one."""
    server = await wire()
    assert statuses(await said(server, get("/ask?q=one") * 100 + BROKEN)) == [200] * 100 + [400]


async def test_a_body_full_of_blank_lines_is_a_body(wire: Wired) -> None:
    """Blank lines in a body are not the ends of requests, however many there are, and cost no cut each."""
    server = await wire()
    body = b'{"q":"two"' + b"\r\n\r\n" * 5000 + b"}"
    feeds = 0
    async with server.open() as line:
        await until(server.lines)
        (there,) = server.lines()
        feed = intake._received

        def counting(to: Doorway, data: bytes) -> None:
            nonlocal feeds
            feeds += 1
            feed(to, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intake, "_received", counting)
            there.data_received(post(body) + get("/ask?q=three"))
        assert [(await line.reply()).body for _ in range(2)] == [b'{"answer":"TWO"}', b'{"answer":"THREE"}']
    assert feeds <= intake.BARREN + 2


async def test_a_later_request_is_parsed_after_an_upgrade_that_is_none(wire: Wired) -> None:
    """What follows a request to upgrade, which is answered as any other, is answered as well."""
    server = await wire()
    async with server.open() as line:
        line.send(get("/ask?q=one", "Connection: upgrade", "Upgrade: websocket") + get("/ask?q=two"))
        assert [(await line.reply()).body for _ in range(2)] == [b'{"answer":"ONE"}', b'{"answer":"TWO"}']
        line.send(get("/ask?q=three"))
        assert (await line.reply()).body == b'{"answer":"THREE"}'


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("askd:80", method="CONNECT"), 404),
        (get("askd:80", "Expect: much", method="CONNECT"), 417),
        (get("/ask?q=one", "Expect: much", method="PROPFIND"), 417),
        (get("http://other/ask?q=one", "Expect: much"), 417),
    ],
)
async def test_no_answer_is_aiohttps_own(wire: Wired, request_bytes: bytes, status: int) -> None:
    """CONNECT, methods that are rare and other expectations get problems with an id, as everything does."""
    reply = await (await wire()).ask(request_bytes)
    assert (reply.status, json.loads(reply.body)["status"], "x-request-id" in reply.headers) == (status, status, True)
    assert reply.headers["server"] == "askd"


class Times(Upper):
    """Notes the clock at which each question is said to have come."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.arrived: list[float] = []
        self.server: Wire | None = None

    async def answer(self, question: Question) -> Answer:
        """Take note, as a guard would."""
        assert self.server
        self.arrived += [line.arrived - self.server.began for line in self.server.lines() if line.busy]
        return await super().answer(question)


async def test_a_request_comes_with_its_first_byte(wire: Wired) -> None:
    """A request has the time of its first byte; those that come together have one time; a body does not count."""
    clock = Clock()
    fake = Times(clock)
    server = fake.server = await wire(fake, clock=clock)
    async with server.open() as line:
        await until(server.lines)
        received = server.lines()[0].data_received
        for part in (b"G", get("/ask?q=one")[1:-2], b"\r\n" + get("/ask?q=two") + post(b"")[:-2]):
            received(part)
            clock.advance(1.0)
        assert [(await line.reply()).status for _ in range(2)] == [200, 200]
        received(b"\r\n")
        assert (await line.reply()).status == 400
        clock.advance(1.0)
        for part in (b"\r\n", post(b'{"q":"three"}')[:-1], b"}", get("/ask?q=four")):
            received(part)
            clock.advance(1.0)
        assert [(await line.reply()).status for _ in range(2)] == [200, 200]
    assert fake.arrived == [0.0, 2.0, 5.0, 7.0]


class Porter:
    """A door: has everything at hand whose target begins so; notes what it was asked."""

    def __init__(self, prefix: str = "/ask?q=d") -> None:
        self.prefix = prefix
        self.asked: list[str] = []
        self.given = 0

    def __call__(self, message: RawRequestMessage, line: Doorway) -> bytes | None:
        """Answer with the target."""
        self.asked.append(message.path)
        if "boom" in message.path:
            raise ValueError("a fault of the door")
        if not message.path.startswith(self.prefix) or message.method != "GET":
            return None
        self.given += 1
        closing = "Connection: close\r\n" if line.closes(message) else ""
        body = message.path.partition("=")[2].upper()
        return f"HTTP/1.1 200 OK\r\n{closing}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def bodies(line: Line, count: int) -> list[bytes]:
    """Read so many responses."""
    return [(await line.reply()).body for _ in range(count)]


async def test_what_is_at_hand_is_answered_at_the_door(wire: Wired) -> None:
    """A request that the door answers makes no request object; aiohttp's own count has it; others go the usual way."""
    door = Porter()
    server = await wire(door=door)
    async with server.open() as line:
        for target, body in (("d1", b"D1"), ("x", b'{"answer":"X"}'), ("d2", b"D2")):
            line.send(get(f"/ask?q={target}"))
            assert await bodies(line, 1) == [body]
    assert (door.given, server.counted(route="/ask", method="GET", code="200")) == (2, 1)
    assert server.runner.server
    assert server.runner.server.requests_count == 3


MIXED = [get("/ask?q=d1"), get("/ask?q=a"), get("/ask?q=d2"), post(b'{"q":"b"}'), get("/ask?q=d3"), get("/ask?q=d4")]
ANSWERS = [b"D1", b'{"answer":"A"}', b"D2", b'{"answer":"B"}', b"D3", b"D4"]


def plain(found: Sequence[bytes]) -> list[bytes]:
    """Return the answers as the ordinary way gives them."""
    return [body if body.startswith(b"{") else b'{"answer":"%b"}' % body for body in found]


async def test_answers_stay_in_order_wherever_the_bytes_are_cut(wire: Wired) -> None:
    """Pipelined requests, some at hand and some not, are answered in order, in two segments cut at every byte."""
    server = await wire(door=Porter())
    data = b"".join(MIXED)
    async with server.open() as line:
        await until(server.lines)
        received = server.lines()[0].data_received
        for cut in range(len(data) + 1):
            received(data[:cut])
            await asyncio.sleep(0)
            received(data[cut:])
            assert plain(await bodies(line, len(MIXED))) == plain(ANSWERS), cut


async def test_the_door_does_not_overtake(wire: Wired) -> None:
    """While an exchange is under way, what is at hand waits for its turn, and goes the ordinary way."""
    fake, door = Upper(), Porter()
    server = await wire(fake, door=door)
    async with server.open() as line:
        line.send(get("/ask?q=wait"))
        await fake.waiting.wait()
        line.send(get("/ask?q=d1"))
        await until(lambda: server.lines()[0]._messages)
        assert door.asked == ["/ask?q=wait"]
        fake.release.set()
        assert await bodies(line, 2) == [b'{"answer":"WAIT"}', b'{"answer":"D1"}']


@pytest.mark.parametrize("way", ["at hand", "ordinary", "mixed"])
async def test_a_deep_pipeline_is_answered_whole(wire: Wired, way: str) -> None:
    """Two hundred requests in one segment, at hand or not, get two hundred answers, in order."""
    door = Porter()
    server = await wire(door=door)
    letters = {"at hand": "d", "ordinary": "a", "mixed": "da"}[way]
    targets = [f"{letters[n % len(letters)]}{n}" for n in range(200)]
    async with server.open() as line:
        await until(server.lines)
        server.lines()[0].data_received(b"".join(get(f"/ask?q={target}") for target in targets))
        assert plain(await bodies(line, 200)) == plain([target.upper().encode() for target in targets])
        line.send(get("/ask?q=d"))  # and the connection reads again
        assert await bodies(line, 1) == [b"D"]
    if way == "at hand":
        assert door.given == 201


async def test_others_have_their_turn(wire: Wired) -> None:
    """A pipeline gets so many answers at hand in one turn of the loop; the rest waits, and no more is read."""
    door = Porter()
    server = await wire(door=door)
    async with server.open() as line:
        await until(server.lines)
        (there,) = server.lines()
        there.data_received(get("/ask?q=d") * 100)
        seen = [door.given]
        while door.given < 100:
            assert there._buffer_paused
            await asyncio.sleep(0)
            seen.append(door.given)
        assert await bodies(line, 100) == [b"D"] * 100
    steps = [after - before for before, after in zip([0, *seen], seen, strict=False)]
    assert max(steps) == AT_ONCE


@pytest.mark.parametrize(
    "request_bytes", [get("/ask?q=d", "Connection: close"), get("/ask?q=d", version="1.0")], ids=["close", "1.0"]
)
async def test_the_door_closes_where_the_client_wants_it(wire: Wired, request_bytes: bytes) -> None:
    """After the answer to a request that ends the connection, the connection ends, and what follows is not answered."""
    door = Porter()
    server = await wire(door=door)
    async with server.open() as line:
        line.send(request_bytes + get("/ask?q=d2"))
        assert (await line.rest()).endswith(b"close\r\nContent-Length: 1\r\n\r\nD")
    assert door.given == 1
    await until(lambda: server.closed() == {"client": 1})


async def test_the_door_closes_in_a_drain(wire: Wired) -> None:
    """The last answer of a connection may be one at hand: it says so, and the connection ends."""
    server = await wire(door=Porter())
    async with server.open() as line:
        line.send(get("/ask?q=d"))
        assert await bodies(line, 1) == [b"D"]
        server.runner.drain()
        line.send(get("/ask?q=d"))
        assert (await line.reply()).headers["connection"] == "close"
        assert await line.rest() == b""
    await until(lambda: server.closed() == {"drain": 1})


async def test_the_door_renews_the_idle_time(wire: Wired) -> None:
    """A connection that is answered at the door only is not idle."""
    clock = Clock()
    server = await wire(door=Porter(), clock=clock, keepalive="75s")
    async with server.open() as line:
        for _ in range(5):
            line.send(get("/ask?q=d"))
            assert await bodies(line, 1) == [b"D"]
            server.sweep()
            clock.advance(60.0)
            server.sweep()
        clock.advance(16.0)
        server.sweep()
        assert await line.rest() == b""
    await until(lambda: server.closed() == {"idle": 1})


async def test_the_door_is_not_asked_for_who_does_not_read(wire: Wired) -> None:
    """Where bytes wait for a client, what is at hand goes the ordinary way, which waits for it."""
    door = Porter()
    server = await wire(door=door)
    async with server.open() as line:
        await until(server.lines)
        (there,) = server.lines()
        there.pause_writing()
        there.data_received(get("/ask?q=d"))
        await until(lambda: server.counted(route="/ask", method="GET", code="200") == 1)
        there.resume_writing()
        assert await bodies(line, 1) == [b'{"answer":"D"}']
    assert door.asked == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b'{"q":"d"}'),
        get("/ask?q=d", "Connection: upgrade", "Upgrade: websocket"),
        get("/ask?q=d", "Transfer-Encoding: chunked", method="GET") + b"0\r\n\r\n",
    ],
    ids=["body", "upgrade", "empty chunked body"],
)
async def test_the_door_is_not_asked_for_bodies_and_upgrades(wire: Wired, request_bytes: bytes) -> None:
    """What has a body, or asks for another protocol, goes the ordinary way."""
    door = Porter()
    assert (await (await wire(door=door)).ask(request_bytes)).body == b'{"answer":"D"}'
    assert door.asked == []


async def test_a_fault_of_the_door_goes_the_ordinary_way(wire: Wired, log: Log) -> None:
    """What the door raises is logged once, and the client gets its answer."""
    door = Porter()
    server = await wire(door=door)
    async with server.open() as line:
        line.send(get("/ask?q=boom") + get("/ask?q=d"))
        assert [(await line.reply()).status for _ in range(2)] == [500, 200]
    assert log.lines()[0]["event"] == "the door failed"


async def test_the_malformed_wait_for_their_turn_at_the_door(wire: Wired) -> None:
    """What was at hand before a malformed request is answered before its 400."""
    server = await wire(door=Porter())
    assert statuses(await said(server, get("/ask?q=d") * 3 + BROKEN)) == [200, 200, 200, 400]


async def test_the_handler_knows_when_its_request_came(wire: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    """`arrived` gives a handler the time of its request's first byte."""
    clock = Clock()
    server = await wire(clock=clock)
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(connection.arrived(request))
        return web.Response()

    assert server.runner.server
    monkeypatch.setattr(server.runner.server, "request_handler", handler)
    async with server.open() as line:
        await until(server.lines)
        server.lines()[0].data_received(b"GET / HTTP/1.1\r\n")
        clock.advance(3.0)
        line.send(b"Host: askd\r\n\r\n")
        await line.reply()
    assert seen == [server.began]
