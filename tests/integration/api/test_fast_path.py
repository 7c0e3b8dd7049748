"""The door, open and closed: the same answers, metrics and log, whatever is asked and however it comes."""

import asyncio
import contextlib
import random
import re
from collections.abc import Iterator
from time import monotonic
from typing import Any, NamedTuple

import pytest

from service.app import DOOR, METRICS, OBSERVER
from service.guards import cache
from service.models import Answer, Answerer, Question
from service.web import hot
from service.web.connection import Connection
from tests.fakes import Scripted, Upper, until
from tests.telemetry.captured import Captured
from tests.web.conftest import Log
from tests.web.pipe import Pipe
from tests.web.wire import Wire, Wired, get, post

CASES = 1000
"""Connections, each with one to five requests."""
MASKED = {"date", "x-request-id", "server-timing", "age", "retry-after", "ratelimit"}
TARGETS = [
    *(
        "/ask?q=hello",
        "/ask?q=one",
        "/ask?q=two",
        "/ask?q=nothing",
        "/ask?q=boom",
        "/ask?q=field",
        "/ask?q=%F0%9F%98%80",
    ),
    *("/ask", "/ask?", "/ask?q=", "/ask?q=a&q=b", "/ask?q=%FF", "/ask?q=a+b%20c", "/ask?q=one&lang=de", "/ask?x=1"),
    *("/ask/", "/askew?q=one", "/nowhere", "/livez", "/ask?q=one#f", "/ask?q=hello&thread=t", "/ask?q=" + "x" * 1100),
]
HEADERS = [
    *("Accept: application/json", "Accept: text/plain", "Accept: text/html", "Accept: image/png", "Accept: */*"),
    *("Accept: text/event-stream", "If-None-Match: *", 'If-None-Match: "x"', "Cache-Control: no-cache"),
    *("Cache-Control: no-store", "Cache-Control: only-if-cached", "Cache-Control: max-age=0", "Pragma: no-cache"),
    *("X-Request-Id: mine", "X-Request-Id: <no>", "X-Request-Timeout: 5", "X-Request-Timeout: soon"),
    *("Connection: keep-alive", "Expect: 100-continue", "Expect: more", "Origin: https://example.org"),
    *("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Authorization: Bearer x"),
]
METHODS = [*(["GET"] * 12), *(["HEAD"] * 3), "OPTIONS", "DELETE"]


class Bare(Upper):
    """Has never an answer at hand, so that its places are asked for before anything else."""

    at_hand = Answerer.at_hand


class Large(Upper):
    """Answers with as many characters as the question says."""

    async def answer(self, question: Question) -> Answer:
        """Do so."""
        return Answer("x" * int(question.text))


class Response(NamedTuple):
    """One response, what differs each time masked."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def requests(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield methods and requests of one connection; the last one ends it."""
    for _ in range(chance.randint(1, 4)):
        headers = chance.sample(HEADERS, chance.choice([0, 0, 1, 1, 2, 3]))
        if chance.random() < 0.08:
            yield "POST", post(b'{"q":"%s"}' % chance.choice([b"one", b"hello", b"nothing"]))
            continue
        method = chance.choice(METHODS)
        yield method, get(chance.choice(TARGETS), *headers, method=method)
    version = chance.choice(["1.0", "1.1"])  # only here: what comes after an end may be lost in its reset
    yield "GET", get(chance.choice(TARGETS), "Connection: close", version=version)


def segments(chance: random.Random, data: bytes) -> Iterator[bytes]:
    """Cut bytes somewhere, or everywhere."""
    if chance.random() < 0.05:
        yield from (data[at : at + 1] for at in range(len(data)))
        return
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.choice([0, 0, 1, 2, 5])))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if start < end:
            yield data[start:end]


async def talk(server: Wire, parts: list[bytes]) -> bytes:
    """Send segments as they are, and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def parsed(data: bytes, methods: list[str]) -> list[Response]:
    """Read responses off a connection."""
    found = []
    asked = iter(methods)
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        if status.startswith("HTTP/1.1 100"):
            found.append(Response(status, [], b""))
            continue
        headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        length = int(dict(headers).get("content-length", 0))
        bodiless = next(asked, "GET") == "HEAD" or " 304 " in status or " 204 " in status
        if dict(headers).get("transfer-encoding") == "chunked" and not bodiless:
            body, _, data = data.partition(b"0\r\n\r\n")
        else:
            body, data = (b"", data) if bodiless else (data[:length], data[length:])
        masked = sorted((name, "" if name in MASKED else re.sub(r"ttl=\d+", "", value)) for name, value in headers)
        found.append(Response(status, masked, re.sub(rb'"request_id":"[^"]*"|[0-9a-f]{32}', b"", body)))
    return found


def lines(log: Log) -> list[dict[str, Any]]:
    """The log's lines since the last look, without what differs each time."""
    volatile = {"id", "timestamp", "duration_ms", "cache_ms", "queue_ms", "code_ms", "render_ms", "exception"}
    found = log.lines()
    log.stream.seek(0)
    log.stream.truncate()
    return [{name: value for name, value in line.items() if name not in volatile} for line in found]


def counted(server: Wire) -> dict[str, float]:
    """What the metrics count, times aside."""
    names = (
        "askd_requests_total",
        "askd_request_duration_seconds_count",
        "askd_cache_results_total",
        "askd_shed_total",
    )
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in server.app[METRICS].registry.collect()
        for sample in family.samples
        if sample.name.startswith((*names, "askd_flight", "askd_answerer_duration_seconds_count"))
    }


@pytest.mark.parametrize("deterministic", [True, False])
async def test_open_or_closed_the_door_makes_no_difference(
    wire: Wired, monkeypatch: pytest.MonkeyPatch, *, deterministic: bool
) -> None:
    """Thousands of requests of all kinds, pipelined and cut anywhere, get the same through the door and past it."""
    monkeypatch.setattr(cache, "NO_ANSWER_TTL", 3600.0)  # or it might end between the two
    chance = random.Random(f"door {deterministic}")
    with Captured() as log:
        servers = [await wire(Upper(deterministic=deterministic), closed=closed) for closed in (False, True)]
        for case in range(CASES):
            asked = list(requests(chance))
            parts = list(segments(chance, b"".join(data for _, data in asked)))
            seen, told = [], []
            for server in servers:
                seen.append(parsed(await talk(server, parts), [method for method, _ in asked]))
                observer = server.app[OBSERVER]
                await until(lambda observer=observer: observer.in_flight == 0)  # type: ignore[misc] # bound now
                told.append(lines(log))
            assert seen[0] == seen[1], f"case {case}: {asked}"
            assert told[0] == told[1], f"case {case}: {asked}"
        assert counted(servers[0]) == counted(servers[1])


async def test_what_waits_is_answered_in_order(wire: Wired) -> None:
    """Behind a question that waits for the code, those that came later wait too, also where theirs is at hand."""
    fake = Upper(deterministic=False)
    server = await wire(fake)
    async with server.open() as line:
        line.send(get("/ask?q=wait") + get("/ask?q=hello") * 3)
        await fake.waiting.wait()
        await until(lambda: server.lines()[0]._messages)
        fake.release.set()
        bodies = [(await line.reply()).body for _ in range(4)]
    assert bodies == [b'{"answer":"WAIT"}', *[b'{"answer":"Hi"}'] * 3]


@pytest.mark.parametrize("kind", [Upper, Bare])
async def test_a_flood_of_refusals_is_told_in_sum(wire: Wired, log: Log, kind: type[Upper]) -> None:
    """Beyond the limit the answer is a ready 503 with the client's id, on a connection that stays; the log sums up."""
    fake = kind(deterministic=False)
    server = await wire(fake, concurrency="1", queue="0")
    async with server.open() as busy, server.open() as line:
        busy.send(get("/ask?q=wait"))
        await fake.waiting.wait()
        for number in range(20):
            line.send(get("/ask?q=abc", f"X-Request-Id: mine-{number}"))
            reply = await line.reply()
            assert (reply.status, reply.headers["x-request-id"]) == (503, f"mine-{number}")
            assert reply.headers["retry-after"] in {"1", "2", "3"}
            assert b'"request_id":"mine-%d"' % number in reply.body
        fake.release.set()
        assert (await busy.reply()).status == 200
    assert server.counted(route="/ask", method="GET", code="503") == 20
    shed = log.lines("questions shed")
    assert (len(shed), [entry["status"] for entry in log.lines("exchange")]) == (1, [200])


async def test_what_is_shed_before_it_has_a_record_is_told_the_same(wire: Wired) -> None:
    """Ready refusals are, but for the order of `Retry-After` by chance, those of the ordinary way, to every client."""
    chance = random.Random("shed")
    faults = "Expect: more", "X-Request-Timeout: soon", "Accept: image/png", "Accept: text/html", "only-if-cached"
    harmless = [each for each in HEADERS if not each.endswith(faults)]
    harmless += ["X-Request-Id: " + "x" * 128, "X-Request-Id: x", "Accept: text/html, */*;q=0.1"]
    servers = [(fake := Bare(deterministic=False), await wire(fake, closed=closed, concurrency="1", queue="0"))
               for closed in (False, True)]  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        for fake, server in servers:
            (await stack.enter_async_context(server.open())).send(get("/ask?q=wait"))
            await fake.waiting.wait()
        for case in range(CASES // 5):
            headers = chance.sample(harmless, chance.choice([0, 0, 1, 1, 2, 3]))
            asked = [(method, get("/ask?q=one", *headers, method=method)) for method in ("GET", "HEAD")]
            asked = [asked[chance.random() < 0.3], ("GET", get("/ask?q=one", "Connection: close"))]
            methods, parts = [method for method, _ in asked], [data for _, data in asked]
            seen = [parsed(await talk(server, parts), methods) for _, server in servers]
            assert seen[0] == seen[1], f"case {case}: {asked}"
            assert [reply.status for reply in seen[0]] == ["HTTP/1.1 503 Service Unavailable"] * 2, f"case {case}"
        for fake, _ in servers:
            fake.release.set()
        for _, server in servers:
            await until(lambda observer=server.app[OBSERVER]: observer.in_flight == 0)  # type: ignore[misc] # bound now
        assert counted(servers[0][1]) == counted(servers[1][1])


async def test_what_the_cache_has_is_given_again_as_long_as_it_has_it(wire: Wired) -> None:
    """A kept answer's response is remembered with it: asked around the cache, or swept out, the code is asked anew."""
    fake = Upper()
    server = await wire(fake, cache_size="10000")
    async with server.open() as line:

        async def ask(target: str, *headers: str) -> tuple[int, str]:
            line.send(get(target, *headers))
            reply = await line.reply()
            assert reply.body == (b'{"answer":"ONE"}' if reply.status == 200 and "one" in target else reply.body)
            return reply.status, reply.headers["cache-status"]

        hit, miss = "askd; hit", "askd; fwd=uri-miss; stored"
        assert [await ask("/ask?q=one") for _ in range(4)] == [(200, miss), *[(200, hit)] * 3]
        assert await ask("/ask?q=one", "Cache-Control: no-cache") == (200, "askd; fwd=request; stored")
        assert [await ask("/ask?q=one") for _ in range(2)] == [(200, hit)] * 2
        assert [await ask("/ask?q=one", "If-None-Match: *") for _ in range(3)] == [(304, hit)] * 3
        assert [await ask("/ask?q=one", 'If-None-Match: "other"') for _ in range(3)] == [(200, hit)] * 3
        asked = len(fake.asked)
        for number in range(50):  # until there is no room for the first
            await ask(f"/ask?q=another+{number}")
        assert [await ask("/ask?q=one") for _ in range(2)] == [(200, miss), (200, hit)]
        assert len(fake.asked) == asked + 51
    assert server.app[METRICS].registry.get_sample_value("askd_cache_results_total", {"result": "hit"}) == 12


async def test_what_is_remembered_is_bounded_in_bytes(wire: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large responses are remembered, too, but not too large ones, and never more in all than there is room for."""
    monkeypatch.setattr(hot, "LARGEST", 10_000)
    monkeypatch.setattr(hot, "MOST", 35_000)
    server = await wire(Large())
    known = server.app[DOOR]._hot.known
    held = []
    async with server.open() as line:
        for length in (9000, 11_000, 9001, 9002, 9003, 9004):
            for _ in range(3):
                line.send(get(f"/ask?q={length}"))
                assert len((await line.reply()).body) == length + len('{"answer":""}')
            held.append([target for _, target, _, _ in known])
    kept = [[f"/ask?q={length}" for length in each] for each in ([9000], [9000, 9001], [9000, 9001, 9002], [9003])]
    assert held == [kept[0], kept[0], *kept[1:], ["/ask?q=9003", "/ask?q=9004"]]


async def test_a_kept_answer_ends_with_its_time(wire: Wired) -> None:
    """Past its TTL the remembered response is not given; it says how old it is, and how long it still holds."""
    server = await wire(Upper(), cache_ttl="60")
    now = [monotonic()]
    server.app[DOOR]._pipeline.cache._clock = lambda: now[0]
    async with server.open() as line:

        async def ask() -> tuple[str, str]:
            line.send(get("/ask?q=one"))
            reply = await line.reply()
            return reply.headers["cache-status"], reply.headers.get("age", "")

        await ask()
        now[0] += 10.5
        assert [await ask() for _ in range(3)] == [("askd; hit; ttl=49", "10")] * 3
        now[0] += 49.5
        assert [await ask() for _ in range(2)] == [("askd; fwd=stale; stored", ""), ("askd; hit; ttl=60", "0")]


async def test_who_leaves_a_question_of_the_doors_stops_its_code(wire: Wired, log: Log) -> None:
    """A client that goes while its answer is made cancels the code; the place is free, and the log says 499."""
    fake = Upper(deterministic=False)
    server = await wire(fake, concurrency="1", queue="0")
    async with server.open() as line:
        line.send(get("/ask?q=wait"))
        await fake.waiting.wait()
        await line.leave()
    await asyncio.wait_for(fake.stopped.wait(), 5)
    await until(lambda: log.lines("exchange"))
    assert [entry["status"] for entry in log.lines("exchange")] == [499]
    assert (await server.ask(get("/ask?q=abc"))).status == 200


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        (["hello"], [b"Hi"]),
        (["abc"], [b"ABC"]),
        (["hello", "abc"], [b"Hi", b"ABC"]),
        (["abc", "hello", "def"], [b"ABC", b"Hi", b"DEF"]),
    ],
)
async def test_what_comes_with_a_connection_is_answered_in_order(
    wire: Wired, asked: list[str], answers: list[bytes]
) -> None:
    """Before aiohttp has begun with a connection, one request is answered at once; several are, one after the other."""
    server = await wire(Upper(deterministic=False))
    made, pipe = server.runner.server, Pipe()
    assert made is not None
    connection = made()
    connection.connection_made(pipe)
    connection.data_received(b"".join(get(f"/ask?q={text}") for text in asked))
    assert isinstance(connection, Connection)
    if len(asked) == 1:
        assert connection.posted or connection.underway
    await until(lambda: b"".join(pipe.written).count(b"HTTP/1.1 200") == len(answers))
    assert re.findall(rb'"answer":"(\w+)"', b"".join(pipe.written)) == answers
    connection.connection_lost(None)


async def test_a_connection_may_be_kept_for_ever(wire: Wired) -> None:
    """Two hundred pipelined requests, and thousands one after another, are all answered on one connection."""
    server = await wire(Scripted("x"))
    async with server.open() as line:
        line.send(get("/ask?q=a") * 200)
        assert {(await line.reply()).status for _ in range(200)} == {200}
        for _ in range(1000):
            line.send(get("/ask?q=a"))
            assert (await line.reply()).status == 200
