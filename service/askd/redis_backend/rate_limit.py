"""Rate limit that all replicas share in Redis: the algorithm of guards/rate_limit.py as an atomic Lua script.

The script uses the clock of Redis, so the clocks of the replicas do not matter. A key exists while its client has a
debt. Redis sees only a digest of each client.
"""

from hashlib import blake2b
from typing import Final

from askd.quota import Quota, RateLimitDecision, RateLimitStatistics, SyncRateLimiter
from askd.redis_backend.client import BatchingRedisClient, RedisUnavailable
from askd.redis_backend.connection import Command, script_sha

GCRA_SCRIPT: Final = """
local interval, max_debt = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrival_time = tonumber(redis.call('GET', KEYS[1]) or now)
local debt = math.min(math.max(arrival_time - now, 0), max_debt)
if debt + interval > max_debt then
  return {0, string.format('%.3f', debt)}
end
debt = debt + interval
redis.call('SET', KEYS[1], string.format('%.3f', now + debt), 'PX', math.ceil(debt / 1000))
return {1, string.format('%.3f', debt)}
"""
"""Times are in microseconds: today's fit into Lua's numbers with three binary digits to spare.

A clock that is set back costs a client at most one burst. Requires Redis 5: earlier versions do not let a script write
after it has read the time.
"""
_SCRIPT_SHA: Final = script_sha(GCRA_SCRIPT)
_MICROSECONDS_PER_SECOND: Final = 1e6

PROBE_COMMAND: Final[Command] = ("EVALSHA", _SCRIPT_SHA, 1, "askd:probe", 1, 1)
"""Runs the script as each request does, on its own key."""


class RedisRateLimiter:
    """Limits each client to one rate across all replicas. While Redis is unavailable, the `local` limiter decides."""

    def __init__(self, local: SyncRateLimiter, redis: BatchingRedisClient) -> None:
        self.quota: Quota = local.quota
        self.is_async = True
        self._local = local
        self._redis = redis
        self._script_arguments = (
            self.quota.emission_interval * _MICROSECONDS_PER_SECOND,
            self.quota.max_debt * _MICROSECONDS_PER_SECOND,
        )
        rate = self.quota.rate
        # The quota is part of the key, because a debt is meaningless under another quota.
        self._quota_prefix = f"{rate.requests}/{rate.seconds:g}/{self.quota.burst}:"
        self._allowed = self._rejected = 0

    async def try_acquire(self, key: str) -> RateLimitDecision:
        """Count a request of this client if its quota allows it. Waits at most for the timeout of the Redis client."""
        try:
            allowed, debt = await self._redis.execute(
                ("EVALSHA", _SCRIPT_SHA, 1, self._redis_key(key), *self._script_arguments)
            )
        except RedisUnavailable:
            return self._local.try_acquire(key)
        if allowed:
            self._allowed += 1
        else:
            self._rejected += 1
        return self.quota.make_decision(float(debt) / _MICROSECONDS_PER_SECOND, allowed=bool(allowed))

    def statistics(self) -> RateLimitStatistics:
        """Return the statistics of this replica, including its local limiter. Safe to call from any thread."""
        local = self._local.statistics()
        return RateLimitStatistics(
            allowed=self._allowed + local.allowed,
            rejected=self._rejected + local.rejected,
            clients=local.clients,
            evictions=local.evictions,
        )

    def _redis_key(self, key: str) -> str:
        digest = blake2b((self._quota_prefix + key).encode(errors="surrogatepass"), digest_size=16).hexdigest()
        return f"askd:rate:{digest}"
