"""Rate limit per client: the generic cell rate algorithm (GCRA) over a bounded table of clients.

GCRA in its form of virtual scheduling (ITU-T I.371, annex A; ATM Forum, Traffic Management 4.1, section 4.4.2) keeps
one number per client, the theoretical arrival time: when the requests so far are paid off at the rate. The time from
now until then is the client's debt. A request adds the time that the rate allots to one request, and is allowed if the
debt stays within that of a burst. That GCRA suits HTTP and yields the values of its header fields was shown by the
library "throttled" (A. Metcalf, B. Leach).

The table is bounded. A client without a debt is equal to one that was never seen, so those are removed first, a few for
each new client. If all have debts, the client with the least debt is evicted and the new client inherits its debt:
Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005), with debts instead of counts. The earliest arrival time never
moves back, so an evicted client never returns with less debt than before, and no number of addresses circumvents the
limit. The price: while more than `max_clients` clients have debts, new clients may get less than their rate. All
clients together still get `max_clients` times the rate.

The limiter does not know how clients are identified. It is not thread-safe, except for `statistics`.
"""

import heapq
import math
import time
from collections.abc import Callable
from typing import Final

from askd.quota import Quota, RateLimitDecision, RateLimitStatistics
from askd.rate import Rate

MAX_CLIENTS: Final = 1 << 16
"""Maximum number of clients with debts: about 13 MB, measured with IPv6 networks."""
BUCKETS_PER_BURST: Final = 64
"""Resolution of the table, as parts of the debt of a burst. An inherited debt is rounded up to the next part."""
MAX_EXPIRED_PER_SWEEP: Final = 4
"""Maximum number of clients without a debt that one request removes. More than one, so that the table shrinks."""


class LocalRateLimiter:
    """Limits each client to a rate, on this replica.

    Args:
        rate: The rate of each client.
        burst: Requests that a client may make at once. None means the number of one period of the rate.
        max_clients: Maximum number of clients in the table.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self,
        rate: Rate,
        burst: int | None = None,
        *,
        max_clients: int = MAX_CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.quota = Quota(rate, burst)
        self.is_async = False
        self._clock = clock
        self._table = _DebtTable(max_clients, self.quota.burst_seconds / BUCKETS_PER_BURST)
        self._allowed = self._rejected = 0

    def try_acquire(self, key: str) -> RateLimitDecision:
        """Count a request of this client if its quota allows it."""
        now = self._clock()
        quota, table = self.quota, self._table
        arrival_time = table.arrival_times.get(key)
        debt = max((table.initial_arrival_time(now) if arrival_time is None else arrival_time) - now, 0.0)
        if debt + quota.emission_interval > quota.max_debt:
            self._rejected += 1
            return quota.make_decision(debt, allowed=False)
        debt += quota.emission_interval
        table.put(key, now + debt, now)
        self._allowed += 1
        return quota.make_decision(debt, allowed=True)

    def statistics(self) -> RateLimitStatistics:
        """Return the statistics. Safe to call from any thread."""
        table = self._table
        return RateLimitStatistics(
            allowed=self._allowed, rejected=self._rejected, clients=len(table.arrival_times), evictions=table.evictions
        )


class _DebtTable:
    """Theoretical arrival times by client, and the clients in buckets of `bucket_seconds` of these times.

    Buckets instead of a total order: a request mostly leaves its client in its bucket or moves it by one, so the cost
    of a request does not depend on the number of clients.
    """

    def __init__(self, max_clients: int, bucket_seconds: float) -> None:
        self.arrival_times: dict[str, float] = {}
        self.evictions = 0
        self._max_clients = max_clients
        self._bucket_seconds = bucket_seconds
        self._buckets: dict[int, dict[str, None]] = {}
        self._bucket_heap: list[int] = []  # numbers of all buckets, including empty ones

    def initial_arrival_time(self, now: float) -> float:
        """Return the arrival time of a client that is not in the table: that of the client to evict if it is full."""
        return now if len(self.arrival_times) < self._max_clients else self._bucket_end(self._earliest_bucket())

    def put(self, key: str, arrival_time: float, now: float) -> None:
        """Set the client's arrival time, which must be later than the current one."""
        bucket = int(arrival_time / self._bucket_seconds)
        previous = self.arrival_times.get(key)
        if previous is None:
            self._evict_if_full(now)
        elif (previous_bucket := int(previous / self._bucket_seconds)) == bucket:
            self.arrival_times[key] = arrival_time
            return
        else:
            del self._buckets[previous_bucket][key]
        self.arrival_times[key] = arrival_time
        if bucket in self._buckets:
            self._buckets[bucket][key] = None
        else:
            self._buckets[bucket] = {key: None}
            heapq.heappush(self._bucket_heap, bucket)
            self._remove_expired(now)  # otherwise a single busy client would leave one empty bucket after the other

    def _evict_if_full(self, now: float) -> None:
        self._remove_expired(now)
        if len(self.arrival_times) >= self._max_clients:
            self.evictions += 1
            self._remove_one(self._earliest_bucket())

    def _remove_expired(self, now: float) -> None:
        """Remove a few clients without a debt."""
        for _ in range(MAX_EXPIRED_PER_SWEEP):
            if self.arrival_times and self._bucket_end(earliest := self._earliest_bucket()) <= now:
                self._remove_one(earliest)

    def _remove_one(self, bucket: int) -> None:
        key, _ = self._buckets[bucket].popitem()
        del self.arrival_times[key]

    def _earliest_bucket(self) -> int:
        """Return the number of the earliest bucket that is not empty. The table must have a client."""
        while not self._buckets[self._bucket_heap[0]]:
            del self._buckets[heapq.heappop(self._bucket_heap)]
        return self._bucket_heap[0]

    def _bucket_end(self, bucket: int) -> float:
        return (bucket + 1) * self._bucket_seconds


def round_up_seconds(seconds: float) -> int:
    """Return whole seconds, rounded up, for header fields. Ignores floating-point errors below a microsecond."""
    return math.ceil(round(seconds, 6))
