"""Two askds that share a Redis, which is killed, paused and restarted under load."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.askd_process import TIMEOUT, AskdProcess, StartAskd
from tests.support.concurrent_clients import CLIENTS, ConcurrentClients
from tests.support.redis_server import RedisServer, needs_redis, running_redis

pytestmark = [needs_redis, pytest.mark.slow]
ROUNDS: Final = 5
"""Attempts at a round without an outage that a busy machine causes."""


@pytest.fixture(autouse=True)
def code(tmp_path: Path) -> None:
    """Write code that echoes the question."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n")


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A running Redis."""
    async with running_redis(tmp_path) as server:
        yield server


async def start_askd(start: StartAskd, redis: RedisServer, rate: str) -> AskdProcess:
    """Start askd, and wait until it has connected to Redis."""
    variables = {"ASKD_REDIS_URL": redis.url, "ASKD_RATE_LIMIT": rate, "ASKD_TRUSTED_PROXIES": "127.0.0.0/8"}
    askd = await start("serve", "main.py:answer", **variables)
    await askd.wait_for_event("ready")
    await askd.wait_for_event("redis_available")
    return askd


def redis_events(askd: AskdProcess) -> list[str]:
    """Return the events about Redis in the log."""
    return re.findall(r'"event":\s*"(redis_available|redis_unavailable)"', askd.output)


def only_changes(events: list[str]) -> bool:
    """Whether each event is a change of state."""
    states = ["redis_available", "redis_unavailable"]
    return events == states * (len(events) // 2) + states[:1] * (len(events) % 2)


async def metric(askd: AskdProcess, name: str) -> float:
    """Return the value of a sample."""
    match = re.search(rf"^{re.escape(name)} (\S+)$", (await askd.get("/metrics")).text, re.MULTILINE)
    assert match, name
    return float(match[1])


async def test_two_processes_share_a_rate_limit(start: StartAskd, redis: RedisServer) -> None:
    """A client that alternates between both processes is held to one rate limit, and both report what remains."""
    both = [await start_askd(start, redis, "20/h") for _ in "12"]
    for number in range(ROUNDS):
        before = [redis_events(askd) for askd in both]
        client = {"X-Forwarded-For": f"203.0.113.{number}"}
        responses = [await both[index % 2].get("/ask?q=hello", headers=client) for index in range(30)]
        if [redis_events(askd) for askd in both] == before:
            break
    assert [response.status for response in responses] == [200] * 20 + [429] * 10
    remaining = [int(re.findall(r";r=(\d+)", response.headers["RateLimit"])[0]) for response in responses]
    assert remaining == [*range(19, -1, -1), *[0] * 10]
    assert [await askd.stop() for askd in both] == [0, 0]


@pytest.mark.slow
async def test_redis_killed_under_load(start: StartAskd, redis: RedisServer) -> None:
    """When Redis is killed and restarted, every question is answered, and metric and log show each change."""
    askd = await start_askd(start, redis, "100000/s")
    clients = ConcurrentClients(askd)
    assert await clients.run("before", 200) == {200}

    killing = asyncio.create_task(clients.run("killed", 400))
    await clients.wait_for_responses(40)
    await redis.kill()
    assert await killing == {200}
    await askd.wait_for_event("redis_unavailable")
    assert await clients.run("down", 400) == {200}
    assert await metric(askd, "askd_redis_up") == 0.0
    assert await metric(askd, 'askd_redis_requests_total{result="skipped"}') > 0

    connects = redis_events(askd).count("redis_available")
    starting = asyncio.create_task(clients.run("back", 400))
    await redis.start()
    assert await starting == {200}
    await askd.wait_for_event("redis_available", nth=connects + 1)
    assert await clients.run("after", 200) == {200}
    print(f"\n{clients.latency_table()}\n{redis_events(askd)}")  # noqa: T201 - figures for a reader of the output
    assert only_changes(redis_events(askd))
    assert len(askd.events("redis_unavailable")) < 10
    assert await askd.stop() == 0


@pytest.mark.slow
async def test_redis_paused_under_load(start: StartAskd, redis: RedisServer) -> None:
    """Requests wait once for a Redis that does not respond, then not at all; when it continues, it is used again."""
    askd = await start_askd(start, redis, "100000/s")
    clients = ConcurrentClients(askd)
    redis.pause()
    assert await clients.run("paused", 300) == {200}
    await askd.wait_for_event("redis_unavailable")
    slow = await metric(askd, 'askd_redis_requests_total{result="slow"}')
    connects = redis_events(askd).count("redis_available")
    redis.resume()
    await askd.wait_for_event("redis_available", nth=connects + 1)
    assert await clients.run("resumed", 200) == {200}
    times = [event["rate_limit_ms"] for event in askd.events("request", {"http.route": "/ask"})]
    print(f"\n{clients.latency_table()}\n{slow:g} commands too slow, longest wait {max(times)} ms")  # noqa: T201 - as above
    assert only_changes(redis_events(askd))
    waited = sum(milliseconds > 40 for milliseconds in times)
    assert 1 <= waited <= 2 * CLIENTS * len(askd.events("redis_unavailable"))  # twice: one late timer is tolerated
    assert await askd.stop() == 0


async def test_without_redis_at_the_start(start: StartAskd, tmp_path: Path) -> None:
    """Without Redis, askd is ready and uses a rate limit per process until Redis is available."""
    redis = RedisServer(tmp_path)
    askd = await start(ASKD_REDIS_URL=redis.url, ASKD_RATE_LIMIT="3/h")
    await askd.wait_for_event("ready")
    await askd.wait_for_event("redis_unavailable")
    assert [(await askd.get("/ask?q=hello")).status for _ in range(4)] == [200, 200, 200, 429]
    await redis.start()
    try:
        await askd.wait_for_event("redis_available")
        async with asyncio.timeout(TIMEOUT):
            assert (
                await askd.get("/ask?q=hello")
            ).status == 200  # the shared limit has not counted the requests so far
        assert await askd.stop() == 0
    finally:
        await redis.kill()
    assert only_changes(redis_events(askd)[1:])
    assert "127.0.0.1" not in askd.events("settings")[0]["redis_url"]


async def test_invalid_redis_url_ends_the_start(start: StartAskd) -> None:
    """An invalid URL ends the start with 2, and the error shows the expected form."""
    askd = await start(ASKD_REDIS_URL="localhost:6379")
    assert await askd.wait_for_exit() == 2
    assert "invalid --redis-url: expected redis://host:6379/0" in askd.output
