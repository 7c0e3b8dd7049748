"""Two askds with one Redis, which is killed, frozen and started again while questions are asked."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.redis_server import RedisServer, needs_redis, running

from .conftest import BOUND, Process, Start
from .killed import WORKERS, Load

pytestmark = needs_redis
ROUNDS: Final = 5
"""Tries at a round in which a busy machine does not make Redis look slow."""


@pytest.fixture(autouse=True)
def code(tmp_path: Path) -> None:
    """Write code that answers everything."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text\n")


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Give a running Redis."""
    async with running(tmp_path) as server:
        yield server


async def started(start: Start, redis: RedisServer, rate: str) -> Process:
    """Start an askd, with code that answers everything, that has found its Redis."""
    variables = {"ASKD_REDIS_URL": redis.url, "ASKD_RATE": rate, "ASKD_TRUSTED_PROXIES": "127.0.0.0/8"}
    askd = await start("serve", "main.py:answer", **variables)
    await askd.event("ready")
    await askd.event("redis up")
    return askd


def turns(askd: Process) -> list[str]:
    """What the log says of Redis, in its order."""
    return re.findall(r'"event":\s*"(redis up|redis away)"', askd.output)


def alternate(events: list[str]) -> bool:
    """Whether each line tells of a change."""
    return events == ["redis up", "redis away"] * (len(events) // 2) + ["redis up"] * (len(events) % 2)


async def metric(askd: Process, name: str) -> float:
    """Read one sample."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", (await askd.get("/metrics")).text, re.MULTILINE)
    assert found, name
    return float(found[1])


async def test_two_processes_hold_one_rate(start: Start, redis: RedisServer) -> None:
    """A client that asks both in turn gets one rate's worth, whoever it asks; both say what is left of it."""
    both = [await started(start, redis, "20/h") for _ in "12"]
    for number in range(ROUNDS):
        before = [turns(askd) for askd in both]
        client = {"X-Forwarded-For": f"203.0.113.{number}"}
        replies = [await both[turn % 2].get("/ask?q=hello", headers=client) for turn in range(30)]
        if [turns(askd) for askd in both] == before:
            break
    assert [reply.status for reply in replies] == [200] * 20 + [429] * 10
    left = [int(re.findall(r";r=(\d+)", reply.headers["RateLimit"])[0]) for reply in replies]
    assert left == [*range(19, -1, -1), *[0] * 10]
    assert [await askd.stop() for askd in both] == [0, 0]


async def test_killed_during_load(start: Start, redis: RedisServer) -> None:
    """Killed and started again: every question is answered, metric and log tell of each change, and it heals."""
    askd = await started(start, redis, "100000/s")
    load = Load(askd)
    assert await load.run("before", 200) == {200}

    killing = asyncio.create_task(load.run("killed", 400))
    await load.after(40)
    await redis.kill()
    assert await killing == {200}
    await askd.event("redis away")
    assert await load.run("down", 400) == {200}
    assert await metric(askd, "askd_redis_up") == 0.0
    assert await metric(askd, 'askd_redis_requests_total{result="skipped"}') > 0

    ups = turns(askd).count("redis up")
    starting = asyncio.create_task(load.run("back", 400))
    await redis.start()
    assert await starting == {200}
    await askd.event("redis up", nth=ups + 1)
    assert await load.run("after", 200) == {200}
    print(f"\n{load.figures()}\n{turns(askd)}")  # noqa: T201 - figures for who measures
    assert alternate(turns(askd))
    assert len(askd.events("redis away")) < 10
    assert await askd.stop() == 0


async def test_frozen_during_load(start: Start, redis: RedisServer) -> None:
    """A Redis that says nothing any more is waited for once, then not at all; thawed, it is used again."""
    askd = await started(start, redis, "100000/s")
    load = Load(askd)
    redis.freeze()
    assert await load.run("frozen", 300) == {200}
    await askd.event("redis away")
    slow = await metric(askd, 'askd_redis_requests_total{result="slow"}')
    ups = turns(askd).count("redis up")
    redis.thaw()
    await askd.event("redis up", nth=ups + 1)
    assert await load.run("thawed", 200) == {200}
    times = [event["rate_ms"] for event in askd.events("exchange", route="/ask")]
    print(f"\n{load.figures()}\n{slow:g} commands too slow, longest wait {max(times)} ms")  # noqa: T201 - as above
    assert alternate(turns(askd))
    waited = sum(milliseconds > 40 for milliseconds in times)
    assert 1 <= waited <= 2 * WORKERS * len(askd.events("redis away"))  # twice: a late timer is excused once
    assert await askd.stop() == 0


async def test_without_redis_at_the_start(start: Start, tmp_path: Path) -> None:
    """Nothing waits for Redis: askd is ready and holds its own rate until Redis is there."""
    redis = RedisServer(tmp_path)
    askd = await start(ASKD_REDIS_URL=redis.url, ASKD_RATE="3/h")
    await askd.event("ready")
    await askd.event("redis away")
    assert [(await askd.get("/ask?q=hello")).status for _ in range(4)] == [200, 200, 200, 429]
    await redis.start()
    try:
        await askd.event("redis up")
        async with asyncio.timeout(BOUND):
            assert (await askd.get("/ask?q=hello")).status == 200  # the shared rate knows nothing of the own one
        assert await askd.stop() == 0
    finally:
        await redis.kill()
    assert alternate(turns(askd)[1:])
    assert "127.0.0.1" not in askd.events("settings")[0]["redis_url"]


async def test_a_faulty_url(start: Start) -> None:
    """A URL that is none ends the start with 2 and the mend."""
    askd = await start(ASKD_REDIS_URL="localhost:6379")
    assert await askd.ended() == 2
    assert "--redis-url is no URL of a Redis: give one such as redis://host:6379/0" in askd.output
