"""The rate that all replicas share: the same algorithm as a replica's own, in a script that Redis runs as one step.

Redis tells the time, so that the replicas' clocks do not matter. A key lives as long as its client has a debt. What
Redis gets to know of clients is a digest each.
"""

from hashlib import blake2b
from typing import Final

from service.guards.rate import Quota, Rate, RateStatistics, Verdict
from service.shared.line import Away, Line
from service.shared.redis import Command, sha

SCRIPT: Final = """
local gap, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = tonumber(redis.call('GET', KEYS[1]) or now)
local debt = math.min(math.max(due - now, 0), most)
if debt + gap > most then
  return {0, string.format('%.3f', debt)}
end
debt = debt + gap
redis.call('SET', KEYS[1], string.format('%.3f', now + debt), 'PX', math.ceil(debt / 1000))
return {1, string.format('%.3f', debt)}
"""
"""Times are in microseconds: those of today fit into Lua's numbers with three binary digits to spare.

A clock that is put back costs a client a whole burst at most. Before Redis 5 a script that asks the time may not write.
"""
_NAME: Final = sha(SCRIPT)
_MICRO: Final = 1e6

PROBE: Final[Command] = ("EVALSHA", _NAME, 1, "askd:probe", 1, 1)
"""Does what every question does, to a key of its own."""


class SharedRate:
    """Holds each client to one rate across all replicas, and to the `local` one while Redis is away."""

    def __init__(self, local: Rate, line: Line) -> None:
        self.quota: Quota = local.quota
        self.waits = True
        self._local = local
        self._line = line
        self._arguments = self.quota.gap * _MICRO, self.quota.most * _MICRO
        rate = self.quota.rate
        self._scope = f"{rate.number}/{rate.seconds:g}/{self.quota.burst}:"  # a debt means nothing at another rate
        self._allowed = self._refused = 0

    async def take(self, key: str) -> Verdict:
        """Count a question of this client, if it may ask it; waits no longer than the line does."""
        try:
            allowed, debt = await self._line.ask(("EVALSHA", _NAME, 1, self._named(key), *self._arguments))
        except Away:
            return self._local.take(key)
        if allowed:
            self._allowed += 1
        else:
            self._refused += 1
        return self.quota.verdict(float(debt) / _MICRO, allowed=bool(allowed))

    def statistics(self) -> RateStatistics:
        """Return what is counted now, in Redis and here; `clients` and `evictions` are those of this replica."""
        own = self._local.statistics()
        return RateStatistics(
            allowed=self._allowed + own.allowed,
            refused=self._refused + own.refused,
            clients=own.clients,
            evictions=own.evictions,
        )

    def _named(self, key: str) -> str:
        return "askd:rate:" + blake2b((self._scope + key).encode(errors="surrogatepass"), digest_size=16).hexdigest()
