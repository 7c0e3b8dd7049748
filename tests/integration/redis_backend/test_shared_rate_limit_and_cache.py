"""Shared rate limit and cache with a real Redis and several replicas."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from askd.guards.rate_limit import LocalRateLimiter
from askd.models import Answer
from askd.rate import Rate
from askd.redis_backend.cache import RedisCache
from askd.redis_backend.client import BatchingRedisClient
from askd.redis_backend.connection import RedisConnection
from askd.redis_backend.rate_limit import GCRA_SCRIPT, PROBE_COMMAND, RedisRateLimiter
from tests.support.fakes import Clock, wait_until
from tests.support.log_capture import LogCapture
from tests.support.redis_server import START_TIMEOUT, RedisServer, needs_redis, running_redis

pytestmark = needs_redis
KEY = ("v1", "2*3", "")


class Replicas:
    """Creates clients of several replicas for one Redis, with a long timeout because test machines may be busy."""

    def __init__(self, server: RedisServer, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack

    async def redis_client(self) -> BatchingRedisClient:
        """Return the client of a new replica, once it is available."""
        client = BatchingRedisClient(
            RedisConnection(self.server.url, [GCRA_SCRIPT]), PROBE_COMMAND, timeout=5.0, initial_backoff=0.01
        )
        await self._stack.enter_async_context(client.lifespan())
        await wait_until_up(client)
        return client

    async def rate_limiter(self, rate: Rate, burst: int | None = None) -> RedisRateLimiter:
        """Return the rate limiter of a new replica, whose local clock does not move."""
        return RedisRateLimiter(LocalRateLimiter(rate, burst, clock=Clock()), await self.redis_client())

    async def run_command(self, *command: str) -> Any:
        """Run a command over a separate connection."""
        connection = RedisConnection(self.server.url, [GCRA_SCRIPT])
        try:
            return (await connection.run([command]))[0]
        finally:
            await connection.close()


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    """Yield replicas of a new Redis server."""
    with LogCapture():
        async with running_redis(tmp_path) as server, AsyncExitStack() as stack:
            yield Replicas(server, stack)


async def wait_until_up(client: BatchingRedisClient, *, expected: bool = True) -> None:
    """Wait until a client is available, or unavailable."""
    await wait_until(lambda: client.is_up is expected)


async def test_replicas_share_the_rate_limit(replicas: Replicas) -> None:
    """Requests to one replica count for the others, and all report the same values."""
    first, second = [await replicas.rate_limiter(Rate(5, 3600.0)) for _ in range(2)]
    decisions = [await limiter.try_acquire("a") for limiter in (first, second, first, second, first)]
    assert [(decision.allowed, decision.limit, decision.remaining) for decision in decisions] == [
        (True, 5, remaining) for remaining in (4, 3, 2, 1, 0)
    ]
    for limiter in (first, second):
        rejected = await limiter.try_acquire("a")
        assert (rejected.allowed, rejected.remaining) == (False, 0)
        assert 700 < rejected.retry_after <= 720
        assert 3590 < rejected.reset <= 3600
    assert (await second.try_acquire("b")).allowed
    statistics = [first.statistics(), second.statistics()]
    assert [(counts.allowed, counts.rejected) for counts in statistics] == [(3, 1), (3, 1)]


async def test_concurrent_requests_are_counted_atomically(replicas: Replicas) -> None:
    """Of a thousand concurrent requests to two replicas, exactly the burst is allowed."""
    limiters = [await replicas.rate_limiter(Rate(100, 3600.0), 30) for _ in range(2)]
    decisions = await asyncio.gather(*(limiters[number % 2].try_acquire("a") for number in range(1000)))
    assert sum(decision.allowed for decision in decisions) == 30


async def test_rate_limit_uses_the_clock_of_redis(replicas: Replicas) -> None:
    """A client is allowed again after a while although the local clock of the replica does not move."""
    limiter = await replicas.rate_limiter(Rate(50, 1.0), 1)
    assert (await limiter.try_acquire("a")).allowed
    rejected = 0
    async with asyncio.timeout(START_TIMEOUT):
        while not (await limiter.try_acquire("a")).allowed:
            rejected += 1
    assert rejected == limiter.statistics().rejected > 0


async def test_rate_limit_key(replicas: Replicas) -> None:
    """The key does not show the client, and expires when its debt is paid off."""
    limiter = await replicas.rate_limiter(Rate(10, 3600.0))
    await limiter.try_acquire("203.0.113.9")
    keys = [key.decode() for key in await replicas.run_command("KEYS", "askd:rate:*")]
    assert len(keys) == 1
    assert re.fullmatch(r"askd:rate:[0-9a-f]{32}", keys[0])
    assert 350_000 < await replicas.run_command("PTTL", keys[0]) <= 360_000


async def test_other_rates_have_other_keys(replicas: Replicas) -> None:
    """During a rolling update that changes the rate, old and new replicas count separately."""
    old, new = await replicas.rate_limiter(Rate(1, 3600.0)), await replicas.rate_limiter(Rate(9, 1.0))
    assert (await old.try_acquire("a")).allowed
    assert (await new.try_acquire("a")).allowed


async def test_clock_that_is_set_back_costs_at_most_a_burst(replicas: Replicas) -> None:
    """An arrival time far in the future, as after a failover to a server with a slow clock, counts as one burst."""
    limiter = await replicas.rate_limiter(Rate(2, 3600.0))
    await limiter.try_acquire("a")
    key = (await replicas.run_command("KEYS", "askd:rate:*"))[0].decode()
    await replicas.run_command("SET", key, "9000000000000000")
    rejected = await limiter.try_acquire("a")
    assert (rejected.allowed, rejected.retry_after <= 1801) == (False, True)


async def test_missing_scripts_are_loaded_again(replicas: Replicas) -> None:
    """After SCRIPT FLUSH or a failover, no request falls back to the local limiter."""
    limiter = await replicas.rate_limiter(Rate(5, 3600.0))
    await limiter.try_acquire("a")
    await replicas.run_command("SCRIPT FLUSH")
    assert (await limiter.try_acquire("a")).remaining == 3
    assert limiter.statistics().allowed == 2


async def test_local_rate_limit_as_fallback(replicas: Replicas) -> None:
    """While Redis is down the local rate limit applies; when Redis is back, the shared one does."""
    limiter = await replicas.rate_limiter(Rate(2, 3600.0))
    await limiter.try_acquire("a")
    await replicas.server.kill()
    assert [(await limiter.try_acquire("a")).allowed for _ in range(3)] == [True, True, False]
    assert (limiter.statistics().clients, limiter._redis.is_up) == (1, False)
    await replicas.server.start()
    await wait_until_up(limiter._redis)
    assert [(await limiter.try_acquire("a")).allowed for _ in range(3)] == [True, True, False]


async def test_redis_without_memory_is_unavailable(replicas: Replicas) -> None:
    """While Redis rejects writes, it counts as unavailable."""
    limiter = await replicas.rate_limiter(Rate(2, 3600.0))
    await replicas.run_command("CONFIG SET", "maxmemory", "1")
    assert (await limiter.try_acquire("a")).allowed
    await wait_until_up(limiter._redis, expected=False)
    await replicas.run_command("CONFIG SET", "maxmemory", "0")
    await wait_until_up(limiter._redis)


async def wait_until_stored(cache: RedisCache, key: tuple[str, ...]) -> Answer:
    """Wait until an answer that was put in the background is stored."""
    async with asyncio.timeout(START_TIMEOUT):
        while (answer := await cache.get(key)) is None:
            pass
    return answer


async def test_replicas_share_answers(replicas: Replicas) -> None:
    """A stored answer, with its fields, is returned to other replicas with the same version."""
    first, second = [RedisCache(await replicas.redis_client()) for _ in range(2)]
    answer = Answer("6 ✓", {"tree": {"deep": [1, 2.5, None, True]}, "big": 2**70})
    first.put(KEY, answer, 60.0)
    assert await wait_until_stored(second, KEY) == answer
    for other_key in [("v2", "2*3", ""), ("v1", "2 3", ""), ("v1", "2*3", "x"), ("v1", "2", "*3")]:
        assert await second.get(other_key) is None
    redis_key = (await replicas.run_command("KEYS", "askd:answer:*"))[0].decode()
    assert 50_000 < await replicas.run_command("PTTL", redis_key) <= 60_000


async def test_answer_expires(replicas: Replicas) -> None:
    """After its TTL an answer is not returned."""
    cache = RedisCache(await replicas.redis_client())
    cache.put(KEY, Answer("6"), 0.05)
    async with asyncio.timeout(START_TIMEOUT):
        await wait_until_stored(cache, KEY)
        while await cache.get(KEY) is not None:
            pass


async def test_answers_that_are_not_shared(replicas: Replicas) -> None:
    """Nothing is sent if the answer is too large or not JSON, or without a TTL or version."""
    client = await replicas.redis_client()
    cache = RedisCache(client, max_answer_bytes=100)
    cache.put(KEY, Answer("x" * 100), 60.0)
    cache.put(KEY, Answer("x", {"not JSON": object()}), 60.0)
    cache.put(KEY, Answer("\ud800"), 60.0)
    cache.put(KEY, Answer("x"), 0.0)
    cache.put(("", "2*3", ""), Answer("x"), 60.0)
    assert not client._background
    assert await cache.get(("", "2*3", "")) is None
    assert await replicas.run_command("DBSIZE") <= 1  # the key of the probe exists for a millisecond


async def test_invalid_value_is_a_miss(replicas: Replicas) -> None:
    """A value that is not an answer is ignored."""
    cache = RedisCache(await replicas.redis_client())
    cache.put(KEY, Answer("6"), 60.0)
    await wait_until_stored(cache, KEY)
    redis_key = (await replicas.run_command("KEYS", "askd:answer:*"))[0].decode()
    await replicas.run_command("SET", redis_key, "[1")
    assert await cache.get(KEY) is None


async def test_cache_without_redis(replicas: Replicas) -> None:
    """While Redis is down, lookups are misses, and nothing is stored or raised."""
    client = await replicas.redis_client()
    cache = RedisCache(client)
    await replicas.server.kill()
    assert await cache.get(KEY) is None
    cache.put(KEY, Answer("6"), 60.0)
    assert not client.is_up
