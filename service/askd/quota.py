"""Types of the rate limiters: quota and decision; shared by the local and the Redis backend."""

from typing import Final, Protocol

import msgspec

from askd.rate import Rate

ROUNDING_TOLERANCE: Final = 1e-6
"""Share of one request that is ignored, so that floating-point errors do not reject a client exactly at its rate."""


class RateLimitDecision(msgspec.Struct, frozen=True, gc=False):
    """Decision about one request, with the values for the `RateLimit` and `Retry-After` header fields."""

    allowed: bool
    limit: int
    """Requests of a whole burst."""
    remaining: int
    """Requests that are left of the burst after this one."""
    reset: float
    """Seconds until the whole burst is available again. 0 if it is."""
    retry_after: float
    """Seconds until one more request is allowed. 0 if it is now."""


class RateLimitStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the start, and the number of clients in the table."""

    allowed: int
    rejected: int
    clients: int
    evictions: int
    """Clients that were removed to make room although they had a debt."""


class Quota:
    """A rate with a burst, and the meaning of a debt under them.

    A request adds `emission_interval` seconds to the client's debt, which time pays off. `burst` is the number of
    requests at once; None means the number of one period of the rate.
    """

    def __init__(self, rate: Rate, burst: int | None) -> None:
        self.rate = rate
        self.burst = rate.requests if burst is None else burst
        self.emission_interval = rate.seconds / rate.requests
        self.burst_seconds = self.burst * self.emission_interval
        """Debt of a whole burst, in seconds."""
        self.max_debt = self.burst_seconds + ROUNDING_TOLERANCE * self.emission_interval
        """Maximum debt after an allowed request, in seconds."""

    def make_decision(self, debt: float, *, allowed: bool) -> RateLimitDecision:
        """Return the decision for a client with this debt in seconds, including this request if it is `allowed`."""
        remaining = (self.burst_seconds - debt) / self.emission_interval
        return RateLimitDecision(
            allowed=allowed,
            limit=self.burst,
            remaining=max(int(remaining + ROUNDING_TOLERANCE), 0),
            reset=max(debt, 0.0),
            retry_after=max((1.0 - remaining) * self.emission_interval, 0.0),
        )


class SyncRateLimiter(Protocol):
    """A rate limiter that decides without waiting."""

    quota: Quota

    def try_acquire(self, key: str) -> RateLimitDecision:
        """Count a request of this client if its quota allows it."""
        ...

    def statistics(self) -> RateLimitStatistics:
        """Return the statistics. Safe to call from any thread."""
        ...
