"""Admission: who asks, and how often; settled before anything of a question is read.

First the token, for an unknown client must not use up a known one's rate; then the rate.
"""

from collections.abc import Awaitable, Mapping
from time import perf_counter
from typing import Protocol

from service.errors import TooManyRequests
from service.guards.rate import Quota, RateStatistics, Verdict, whole_seconds
from service.guards.tokens import Tokens
from service.telemetry.exchange import Exchange
from service.web.access import Access
from service.web.client import rate_key


class Taker(Protocol):
    """The rate of each client: this replica's own, or the one that all replicas share, which must be awaited."""

    quota: Quota
    waits: bool
    """Whether a verdict must be awaited."""

    def take(self, key: str) -> Verdict | Awaitable[Verdict]:
        """Count a question of this client, if it may ask it."""
        ...

    def statistics(self) -> RateStatistics:
        """Return what is counted now."""
        ...


class Admission:
    """Lets questions in. `tokens` None: everybody may ask, and shows none; `rate` None: as often as they like."""

    def __init__(self, *, tokens: Tokens | None = None, rate: Taker | None = None) -> None:
        self._access = None if tokens is None else Access(tokens)
        self._rate = rate
        self._policy = _policy(rate.quota) if rate else ""

    @property
    def open(self) -> bool:
        """Whether everybody is let in, and nothing of it is noted."""
        return self._access is None and self._rate is None

    @property
    def waits(self) -> bool:
        """Whether what `admit` returns may have to be awaited."""
        return self._rate is not None and self._rate.waits

    def admit(self, headers: Mapping[str, str], exchange: Exchange) -> Awaitable[None] | None:
        """Note on the exchange who asks. Raises Unauthorized or TooManyRequests.

        Returns what must be awaited before the question is in, which may raise the same; None: it is in.
        """
        if self._access is not None:
            self._access.enter(headers, exchange)
        return None if self._rate is None else self._count(self._rate, exchange)

    def _count(self, rate: Taker, exchange: Exchange) -> Awaitable[None] | None:
        """Count the question to the rate of its caller; of its address where callers have no names."""
        started = perf_counter()
        key = f"@{exchange.caller}" if exchange.caller else rate_key(exchange.client)  # no address begins with @
        verdict = rate.take(key)
        if isinstance(verdict, Verdict):
            self._note(verdict, exchange, started)
            return None
        return self._later(verdict, exchange, started)

    async def _later(self, verdict: Awaitable[Verdict], exchange: Exchange, started: float) -> None:
        self._note(await verdict, exchange, started)

    def _note(self, verdict: Verdict, exchange: Exchange, started: float) -> None:
        """Note what the client is told of its rate, whatever becomes of the question. Raises TooManyRequests.

        A refused client is told the same time in both fields, as the draft asks for.
        """
        exchange.stages.rate = perf_counter() - started
        wait = whole_seconds(verdict.reset if verdict.allowed else verdict.retry_after)
        exchange.rate_limit = self._policy, f'"default";r={verdict.remaining};t={wait}'
        if not verdict.allowed:
            raise TooManyRequests(wait)


def _policy(quota: Quota) -> str:
    """Return the `RateLimit-Policy`; a burst, which the draft has no parameter for, under a name of our own."""
    burst = "" if quota.burst == quota.rate.number else f";askd-burst={quota.burst}"
    return f'"default";q={quota.rate.number};w={int(quota.rate.seconds)}{burst}'
