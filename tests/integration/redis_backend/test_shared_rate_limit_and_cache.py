"""Rate and cache over a real Redis: one for several replicas, the same as a replica's own, and bounded."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from service.guards.rate import Rate
from service.models import Answer
from service.shared.cache import SharedCache
from service.shared.line import Line
from service.shared.rate import PROBE, SCRIPT, SharedRate
from service.shared.redis import Redis
from service.units import Rate as Limit
from tests.fakes import Clock, until
from tests.redis_server import BOUND, RedisServer, needs_redis, running
from tests.telemetry.captured import Captured

pytestmark = needs_redis
KEY = ("v1", "2*3", "")


class Replicas:
    """Lines of several replicas to one Redis, which they are told of in no hurry: a busy machine is no slow Redis."""

    def __init__(self, server: RedisServer, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack

    async def line(self) -> Line:
        """One more replica's line, which is up."""
        line = Line(Redis(self.server.url, [SCRIPT]), PROBE, budget=5.0, pause=0.01)
        await self._stack.enter_async_context(line.opened())
        await up(line)
        return line

    async def rate(self, limit: Limit, burst: int | None = None) -> SharedRate:
        """One more replica's rate, whose own clock stands still."""
        return SharedRate(Rate(limit, burst, clock=Clock()), await self.line())

    async def ask(self, *command: str) -> Any:
        """Ask Redis itself."""
        asking = Redis(self.server.url, [SCRIPT])
        try:
            return (await asking.run([command]))[0]
        finally:
            await asking.close()


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    """Give replicas, and take the log."""
    with Captured():
        async with running(tmp_path) as server, AsyncExitStack() as stack:
            yield Replicas(server, stack)


async def up(line: Line, *, expected: bool = True) -> None:
    """Wait until a line is up, or is not."""
    await until(lambda: line.up is expected)


async def test_replicas_hold_one_rate(replicas: Replicas) -> None:
    """What one replica lets through is gone for the others; who is refused is told the same by each."""
    one, two = [await replicas.rate(Limit(5, 3600.0)) for _ in "12"]
    verdicts = [await rate.take("a") for rate in (one, two, one, two, one)]
    assert [(verdict.allowed, verdict.limit, verdict.remaining) for verdict in verdicts] == [
        (True, 5, left) for left in (4, 3, 2, 1, 0)
    ]
    for rate in (one, two):
        refused = await rate.take("a")
        assert (refused.allowed, refused.remaining) == (False, 0)
        assert 700 < refused.retry_after <= 720
        assert 3590 < refused.reset <= 3600
    assert (await two.take("b")).allowed
    assert [(seen.allowed, seen.refused) for seen in (one.statistics(), two.statistics())] == [(3, 1), (3, 1)]


async def test_simultaneous_questions_are_counted_one_by_one(replicas: Replicas) -> None:
    """A thousand at once, over two replicas: exactly the burst is let through."""
    rates = [await replicas.rate(Limit(100, 3600.0), 30) for _ in "12"]
    verdicts = await asyncio.gather(*(rates[number % 2].take("a") for number in range(1000)))
    assert sum(verdict.allowed for verdict in verdicts) == 30


async def test_the_rate_is_paid_off_in_the_time_of_redis(replicas: Replicas) -> None:
    """A client that waits as long as it was told is let in, though the replica's own clock stands still."""
    rate = await replicas.rate(Limit(50, 1.0), 1)
    assert (await rate.take("a")).allowed
    asked = 0
    async with asyncio.timeout(BOUND):
        while not (await rate.take("a")).allowed:
            asked += 1
    assert asked == rate.statistics().refused > 0


async def test_what_redis_keeps(replicas: Replicas) -> None:
    """A key says nothing of the client, and expires when its debt is paid off."""
    rate = await replicas.rate(Limit(10, 3600.0))
    await rate.take("203.0.113.9")
    keys = [key.decode() for key in await replicas.ask("KEYS", "askd:rate:*")]
    assert len(keys) == 1
    assert re.fullmatch(r"askd:rate:[0-9a-f]{32}", keys[0])
    assert 350_000 < await replicas.ask("PTTL", keys[0]) <= 360_000


async def test_another_rate_is_counted_apart(replicas: Replicas) -> None:
    """During a roll-out that changes the rate, old and new replicas do not take one's debt for the other's."""
    old, new = await replicas.rate(Limit(1, 3600.0)), await replicas.rate(Limit(9, 1.0))
    assert (await old.take("a")).allowed
    assert (await new.take("a")).allowed


async def test_a_clock_put_back_costs_a_burst_at_most(replicas: Replicas) -> None:
    """A time far in the future, as a failover to a clock that is late leaves it, counts as a whole burst."""
    rate = await replicas.rate(Limit(2, 3600.0))
    await rate.take("a")
    key = (await replicas.ask("KEYS", "askd:rate:*"))[0].decode()
    await replicas.ask("SET", key, "9000000000000000")
    refused = await rate.take("a")
    assert (refused.allowed, refused.retry_after <= 1801) == (False, True)


async def test_scripts_that_redis_lost_are_given_again(replicas: Replicas) -> None:
    """After SCRIPT FLUSH, or a failover, no question goes without."""
    rate = await replicas.rate(Limit(5, 3600.0))
    await rate.take("a")
    await replicas.ask("SCRIPT FLUSH")
    assert (await rate.take("a")).remaining == 3
    assert rate.statistics().allowed == 2


async def test_without_redis_each_replica_holds_its_own(replicas: Replicas) -> None:
    """Killed: the replica's own rate, at once. Started again: the shared one, by itself."""
    rate = await replicas.rate(Limit(2, 3600.0))
    await rate.take("a")
    await replicas.server.kill()
    own = [(await rate.take("a")).allowed for _ in range(3)]
    assert own == [True, True, False]
    assert (rate.statistics().clients, rate._line.up) == (1, False)
    await replicas.server.start()
    await up(rate._line)
    assert [(await rate.take("a")).allowed for _ in range(3)] == [True, True, False]


async def test_a_full_redis_is_as_good_as_gone(replicas: Replicas) -> None:
    """Where Redis refuses to write, the replica is on its own, until it may be written again."""
    rate = await replicas.rate(Limit(2, 3600.0))
    await replicas.ask("CONFIG SET", "maxmemory", "1")
    assert (await rate.take("a")).allowed
    await up(rate._line, expected=False)
    await replicas.ask("CONFIG SET", "maxmemory", "0")
    await up(rate._line)


async def kept(cache: SharedCache, key: tuple[str, ...]) -> Answer:
    """Wait until an answer has arrived."""
    async with asyncio.timeout(BOUND):
        while (found := await cache.get(key)) is None:
            pass
    return found


async def test_replicas_share_answers(replicas: Replicas) -> None:
    """What one put, another gets, fields included; another version of the answerer does not."""
    one, two = [SharedCache(await replicas.line()) for _ in "12"]
    answer = Answer("6 ✓", {"tree": {"deep": [1, 2.5, None, True]}, "big": 2**70})
    one.put(KEY, answer, 60.0)
    assert await kept(two, KEY) == answer
    for other in [("v2", "2*3", ""), ("v1", "2 3", ""), ("v1", "2*3", "x"), ("v1", "2", "*3")]:
        assert await two.get(other) is None
    key = (await replicas.ask("KEYS", "askd:answer:*"))[0].decode()
    assert 50_000 < await replicas.ask("PTTL", key) <= 60_000


async def test_an_answer_expires(replicas: Replicas) -> None:
    """After its time an answer is gone."""
    cache = SharedCache(await replicas.line())
    cache.put(KEY, Answer("6"), 0.05)
    async with asyncio.timeout(BOUND):
        await kept(cache, KEY)
        while await cache.get(KEY) is not None:
            pass


async def test_what_is_not_shared(replicas: Replicas) -> None:
    """Too large, not JSON, no time to live, or an answerer without a version: nothing is sent, nothing fails."""
    line = await replicas.line()
    cache = SharedCache(line, largest=100)
    cache.put(KEY, Answer("x" * 100), 60.0)
    cache.put(KEY, Answer("x", {"what": object()}), 60.0)
    cache.put(KEY, Answer("\ud800"), 60.0)
    cache.put(KEY, Answer("x"), 0.0)
    cache.put(("", "2*3", ""), Answer("x"), 60.0)
    assert not line._told
    assert await cache.get(("", "2*3", "")) is None
    assert await replicas.ask("DBSIZE") <= 1  # the key of the trial lives a millisecond


async def test_what_is_no_answer_is_none(replicas: Replicas) -> None:
    """Whatever somebody else wrote there is passed over."""
    cache = SharedCache(await replicas.line())
    cache.put(KEY, Answer("6"), 60.0)
    await kept(cache, KEY)
    key = (await replicas.ask("KEYS", "askd:answer:*"))[0].decode()
    await replicas.ask("SET", key, "[1")
    assert await cache.get(KEY) is None


async def test_without_redis_nothing_is_found(replicas: Replicas) -> None:
    """Away, the cache has nothing and keeps nothing, and nobody fails."""
    line = await replicas.line()
    cache = SharedCache(line)
    await replicas.server.kill()
    assert await cache.get(KEY) is None
    cache.put(KEY, Answer("6"), 60.0)
    assert not line.up
