"""Fast path: the same responses, metrics and log lines as without it, for any request."""

import asyncio
import contextlib
import random
import re
from collections.abc import Iterator
from time import monotonic
from typing import Any, NamedTuple

import pytest

from askd.api import response_cache
from askd.app import ASK, INSTRUMENTATION, METRICS
from askd.guards import cache
from askd.httpserver.protocol import HttpConnection
from askd.models import Answer, Answerer, Question
from tests.support.app_fixtures import Log, RawServer, StartServer
from tests.support.fake_transport import FakeTransport
from tests.support.fakes import ScriptedAnswerer, UppercaseAnswerer, wait_until
from tests.support.log_capture import LogCapture
from tests.support.raw_http import get_request, post_request

CASES = 1000
"""Connections, each with two to five requests."""
STATUS_KEY = "http.response.status_code"
VARYING_HEADERS = {"date", "x-request-id", "server-timing", "age", "retry-after", "ratelimit"}
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


class AnswererWithoutImmediate(UppercaseAnswerer):
    """Never has an immediate answer, so that the limiter is the first step of the pipeline."""

    try_immediate = Answerer.try_immediate


class AnswererWithLength(UppercaseAnswerer):
    """Answers with as many characters as the question requests."""

    async def answer(self, question: Question) -> Answer:
        """Return the answer."""
        return Answer("x" * int(question.text))


class Response(NamedTuple):
    """A response without the parts that vary."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def random_requests(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield methods and requests for one connection; the last request closes it."""
    for _ in range(rng.randint(1, 4)):
        headers = rng.sample(HEADERS, rng.choice([0, 0, 1, 1, 2, 3]))
        if rng.random() < 0.08:
            yield "POST", post_request(b'{"q":"%s"}' % rng.choice([b"one", b"hello", b"nothing"]))
            continue
        method = rng.choice(METHODS)
        yield method, get_request(rng.choice(TARGETS), *headers, method=method)
    version = rng.choice(["1.0", "1.1"])  # only in the last request: the reset of a connection may lose later responses
    yield "GET", get_request(rng.choice(TARGETS), "Connection: close", version=version)


def random_segments(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """Split data at random positions, or into single bytes."""
    if rng.random() < 0.05:
        yield from (data[at : at + 1] for at in range(len(data)))
        return
    positions = sorted(rng.randrange(len(data)) for _ in range(rng.choice([0, 0, 1, 2, 5])))
    for start, end in zip([0, *positions], [*positions, len(data)], strict=True):
        if start < end:
            yield data[start:end]


async def exchange(server: RawServer, segments: list[bytes]) -> bytes:
    """Send segments, and read until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for segment in segments:
            writer.write(segment)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def parse_responses(data: bytes, methods: list[str]) -> list[Response]:
    """Parse the responses to requests with these methods."""
    responses = []
    remaining_methods = iter(methods)
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        if status.startswith("HTTP/1.1 100"):
            responses.append(Response(status, [], b""))
            continue
        headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        length = int(dict(headers).get("content-length", 0))
        has_no_body = next(remaining_methods, "GET") == "HEAD" or " 304 " in status or " 204 " in status
        if dict(headers).get("transfer-encoding") == "chunked" and not has_no_body:
            body, _, data = data.partition(b"0\r\n\r\n")
        else:
            body, data = (b"", data) if has_no_body else (data[:length], data[length:])
        masked = sorted(
            (name, "" if name in VARYING_HEADERS else re.sub(r"ttl=\d+", "", value)) for name, value in headers
        )
        responses.append(Response(status, masked, re.sub(rb'"request_id":"[^"]*"|[0-9a-f]{32}', b"", body)))
    return responses


def take_log_lines(log: Log) -> list[dict[str, Any]]:
    """Return the log lines since the last call, without the keys that vary."""
    varying = {"request_id", "timestamp", "exception"}
    lines = log.lines()
    log.stream.seek(0)
    log.stream.truncate()
    return [
        {key: value for key, value in line.items() if key not in varying and not key.endswith("_ms")} for line in lines
    ]


def metric_values(server: RawServer) -> dict[str, float]:
    """Return the counters of requests, the cache, load shedding, single flight and the answerer."""
    prefixes = (
        "http_server_request_duration_seconds_count",
        "askd_cache_lookups_total",
        "askd_shed_total",
        "askd_single_flight_total",
        "askd_answerer_duration_seconds_count",
    )
    values = {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in server.app[METRICS].registry.collect()
        for sample in family.samples
        if sample.name.startswith(prefixes)
    }
    assert {name.partition("[")[0] for name in values} == set(prefixes)
    return values


async def wait_until_no_request_in_flight(server: RawServer) -> None:
    """Wait until all requests are in the metrics and the log."""
    await wait_until(lambda: server.app[INSTRUMENTATION].in_flight == 0)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.slow
async def test_fast_path_and_aiohttp_are_equivalent(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, *, deterministic: bool
) -> None:
    """Thousands of random pipelined requests get the same responses, log lines and metrics with and without it."""
    monkeypatch.setattr(cache, "NO_ANSWER_TTL", 3600.0)  # so that no entry expires between the two servers
    rng = random.Random(f"fast path {deterministic}")
    with LogCapture() as log:
        servers = [
            await start_server(UppercaseAnswerer(deterministic=deterministic), without_fast_path=without_fast_path)
            for without_fast_path in (False, True)
        ]
        for case in range(CASES):
            requests = list(random_requests(rng))
            segments = list(random_segments(rng, b"".join(data for _, data in requests)))
            responses, log_lines = [], []
            for server in servers:
                received = await exchange(server, segments)
                responses.append(parse_responses(received, [method for method, _ in requests]))
                await wait_until_no_request_in_flight(server)
                log_lines.append(take_log_lines(log))
            assert responses[0] == responses[1], f"case {case}: {requests}"
            assert log_lines[0] == log_lines[1], f"case {case}: {requests}"
        assert metric_values(servers[0]) == metric_values(servers[1])


async def test_requests_behind_a_pending_one_are_answered_in_order(start_server: StartServer) -> None:
    """Requests behind a pending request wait for it, even if their answers are immediate."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake)
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait") + get_request("/ask?q=hello") * 3)
        await fake.wait_started.wait()
        await wait_until(lambda: server.server_connections()[0]._queue)
        fake.release.set()
        bodies = [(await client.read_response()).body for _ in range(4)]
    assert bodies == [b'{"answer":"WAIT"}', *[b'{"answer":"Hi"}'] * 3]


@pytest.mark.parametrize("answerer_class", [UppercaseAnswerer, AnswererWithoutImmediate])
async def test_shed_requests_are_logged_in_summary(
    start_server: StartServer, log: Log, answerer_class: type[UppercaseAnswerer]
) -> None:
    """A shed request gets a 503 with its request id on a connection that stays open; the log has one summary."""
    fake = answerer_class(deterministic=False)
    server = await start_server(fake, concurrency="1", queue_size="0")
    async with server.connect() as busy, server.connect() as client:
        busy.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        for number in range(20):
            client.send(get_request("/ask?q=abc", f"X-Request-Id: mine-{number}"))
            response = await client.read_response()
            assert (response.status, response.headers["x-request-id"]) == (503, f"mine-{number}")
            assert response.headers["retry-after"] in {"1", "2", "3"}
            assert b'"request_id":"mine-%d"' % number in response.body
        fake.release.set()
        assert (await busy.read_response()).status == 200
    assert server.request_count(route="/ask", method="GET", status=503) == 20
    assert len(log.lines("requests_shed")) == 1
    assert [line[STATUS_KEY] for line in log.lines("request")] == [200]


async def test_shed_responses_are_equivalent(start_server: StartServer) -> None:
    """503 responses from a template equal those of aiohttp for all kinds of requests."""
    rng = random.Random("shed")
    # Requests with these headers may get another error before they are shed.
    excluded = "Expect: more", "X-Request-Timeout: soon", "Accept: image/png", "Accept: text/html", "only-if-cached"
    headers = [header for header in HEADERS if not header.endswith(excluded)]
    headers += ["X-Request-Id: " + "x" * 128, "X-Request-Id: x", "Accept: text/html, */*;q=0.1"]
    servers = []
    for without_fast_path in (False, True):
        fake = AnswererWithoutImmediate(deterministic=False)
        server = await start_server(fake, without_fast_path=without_fast_path, concurrency="1", queue_size="0")
        servers.append((fake, server))
    async with contextlib.AsyncExitStack() as stack:
        for fake, server in servers:
            (await stack.enter_async_context(server.connect())).send(get_request("/ask?q=wait"))
            await fake.wait_started.wait()
        for case in range(CASES // 5):
            method = "HEAD" if rng.random() < 0.3 else "GET"
            request_headers = rng.sample(headers, rng.choice([0, 0, 1, 1, 2, 3]))
            segments = [
                get_request("/ask?q=one", *request_headers, method=method),
                get_request("/ask?q=one", "Connection: close"),
            ]
            responses = [parse_responses(await exchange(server, segments), [method, "GET"]) for _, server in servers]
            assert responses[0] == responses[1], f"case {case}: {segments}"
            statuses = [response.status for response in responses[0]]
            assert statuses == ["HTTP/1.1 503 Service Unavailable"] * 2, f"case {case}: {segments}"
        for fake, _ in servers:
            fake.release.set()
        for _, server in servers:
            await wait_until_no_request_in_flight(server)
        assert metric_values(servers[0][1]) == metric_values(servers[1][1])


async def test_response_cache_follows_the_answer_cache(start_server: StartServer) -> None:
    """A cached response is used as long as the answer cache has its answer; directives bypass both."""
    fake = UppercaseAnswerer()
    server = await start_server(fake, cache_size="10000")
    async with server.connect() as client:

        async def ask(target: str, *headers: str) -> tuple[int, str]:
            client.send(get_request(target, *headers))
            response = await client.read_response()
            if response.status == 200 and "one" in target:
                assert response.body == b'{"answer":"ONE"}'
            return response.status, response.headers["cache-status"]

        hit, miss = "askd; hit", "askd; fwd=uri-miss; stored"
        assert [await ask("/ask?q=one") for _ in range(4)] == [(200, miss), *[(200, hit)] * 3]
        assert await ask("/ask?q=one", "Cache-Control: no-cache") == (200, "askd; fwd=request; stored")
        assert [await ask("/ask?q=one") for _ in range(2)] == [(200, hit)] * 2
        assert [await ask("/ask?q=one", "If-None-Match: *") for _ in range(3)] == [(304, hit)] * 3
        assert [await ask("/ask?q=one", 'If-None-Match: "other"') for _ in range(3)] == [(200, hit)] * 3
        calls = len(fake.questions)
        for number in range(50):  # evict the first answer
            await ask(f"/ask?q=another+{number}")
        assert [await ask("/ask?q=one") for _ in range(2)] == [(200, miss), (200, hit)]
        assert len(fake.questions) == calls + 51
    assert server.app[METRICS].registry.get_sample_value("askd_cache_lookups_total", {"result": "hit"}) == 12


async def test_response_cache_is_bounded_in_bytes(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses above the size limit are not cached, and the cache is cleared when its total size is exceeded."""
    monkeypatch.setattr(response_cache, "MAX_RESPONSE_BYTES", 10_000)
    monkeypatch.setattr(response_cache, "MAX_TOTAL_BYTES", 35_000)
    server = await start_server(AnswererWithLength())
    entries = server.app[ASK][""]._response_cache.entries
    cached_lengths = []
    async with server.connect() as client:
        for length in (9000, 11_000, 9001, 9002, 9003, 9004):
            for _ in range(3):
                client.send(get_request(f"/ask?q={length}"))
                assert len((await client.read_response()).body) == length + len('{"answer":""}')
            cached_lengths.append([int(target.removeprefix("/ask?q=")) for _, target, *_ in entries])
    assert cached_lengths == [[9000], [9000], [9000, 9001], [9000, 9001, 9002], [9003], [9003, 9004]]


async def test_cached_response_expires_with_its_answer(start_server: StartServer) -> None:
    """A cached response is not used after the TTL of its answer, and has the current age and remaining TTL."""
    server = await start_server(UppercaseAnswerer(), cache_ttl="60")
    now = monotonic()
    server.app[ASK][""].pipeline.cache._clock = lambda: now
    async with server.connect() as client:

        async def ask() -> tuple[str, str]:
            client.send(get_request("/ask?q=one"))
            response = await client.read_response()
            return response.headers["cache-status"], response.headers.get("age", "")

        await ask()
        now += 10.5
        assert [await ask() for _ in range(3)] == [("askd; hit; ttl=49", "10")] * 3
        now += 49.5
        assert [await ask() for _ in range(2)] == [("askd; fwd=stale; stored", ""), ("askd; hit; ttl=60", "0")]


async def test_client_disconnect_cancels_the_pending_request(start_server: StartServer, log: Log) -> None:
    """A client disconnect cancels the answerer and releases the permit; the access log has status 499."""
    fake = UppercaseAnswerer(deterministic=False)
    server = await start_server(fake, concurrency="1", queue_size="0")
    async with server.connect() as client:
        client.send(get_request("/ask?q=wait"))
        await fake.wait_started.wait()
        await client.close()
    await asyncio.wait_for(fake.cancelled.wait(), 5)
    await wait_until(lambda: log.lines("request"))
    assert [line[STATUS_KEY] for line in log.lines("request")] == [499]
    assert (await server.send_request(get_request("/ask?q=abc"))).status == 200


@pytest.mark.parametrize(
    ("questions", "answers"),
    [
        (["hello"], [b"Hi"]),
        (["abc"], [b"ABC"]),
        (["hello", "abc"], [b"Hi", b"ABC"]),
        (["abc", "hello", "def"], [b"ABC", b"Hi", b"DEF"]),
    ],
)
async def test_requests_that_arrive_with_the_connection(
    start_server: StartServer, questions: list[str], answers: list[bytes]
) -> None:
    """Requests that are received in the iteration that accepts the connection are answered in order."""
    server = await start_server(UppercaseAnswerer(deterministic=False))
    connection, transport = HttpConnection(server.http_server), FakeTransport()
    connection.connection_made(transport)
    connection.data_received(b"".join(get_request(f"/ask?q={question}") for question in questions))
    await wait_until(lambda: b"".join(transport.written).count(b"HTTP/1.1 200") == len(answers))
    assert re.findall(rb'"answer":"(\w+)"', b"".join(transport.written)) == answers
    connection.connection_lost(None)


async def test_connection_serves_many_requests(start_server: StartServer) -> None:
    """One connection serves 200 pipelined requests and 1,000 sequential ones."""
    server = await start_server(ScriptedAnswerer("x"))
    async with server.connect() as client:
        client.send(get_request("/ask?q=a") * 200)
        assert {(await client.read_response()).status for _ in range(200)} == {200}
        for _ in range(1000):
            client.send(get_request("/ask?q=a"))
            assert (await client.read_response()).status == 200
