"""The local rate limiter: allowed requests in any window, reported values, and the bound on the client table."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askd.guards.rate_limit import BUCKETS_PER_BURST, MAX_CLIENTS, LocalRateLimiter, round_up_seconds
from askd.rate import Rate
from tests.support.fakes import Clock

RATES = st.builds(Rate, st.integers(1, 2000), st.sampled_from([1.0, 60.0, 3600.0]))
BURSTS = st.none() | st.integers(1, 50)
INTERVALS = st.lists(st.floats(0, 3), min_size=1, max_size=120)
"""Times between requests, as multiples of the emission interval: 1 is exactly the rate."""


def make_limiter(
    requests: int = 10, seconds: float = 1.0, burst: int | None = None, max_clients: int = MAX_CLIENTS
) -> tuple[LocalRateLimiter, Clock]:
    """Return a rate limiter and its clock."""
    clock = Clock()
    return LocalRateLimiter(Rate(requests, seconds), burst, max_clients=max_clients, clock=clock), clock


@settings(max_examples=200)
@given(RATES, BURSTS, INTERVALS)
def test_no_window_exceeds_burst_and_rate(rate: Rate, burst: int | None, intervals: list[float]) -> None:
    """Between any two requests, no more are allowed than the burst and the rate for that time."""
    clock = Clock()
    limiter = LocalRateLimiter(rate, burst, clock=clock)
    allowed_at = []
    for interval in intervals:
        clock.advance(interval * limiter.quota.emission_interval)
        if limiter.try_acquire("a").allowed:
            allowed_at.append(clock.now)
    for first, start in enumerate(allowed_at):
        for last, end in enumerate(allowed_at[first:], first):
            limit = limiter.quota.burst + (end - start) / limiter.quota.emission_interval
            assert last - first + 1 <= limit + 1e-3


@settings(max_examples=200)
@given(RATES, BURSTS, st.lists(st.floats(1, 5), min_size=1, max_size=120), st.integers(0, 3))
def test_client_within_its_rate_is_never_rejected(
    rate: Rate, burst: int | None, intervals: list[float], other_clients: int
) -> None:
    """A client that keeps to the rate is allowed, whatever others do."""
    clock = Clock()
    limiter = LocalRateLimiter(rate, burst, clock=clock)
    for interval in intervals:
        clock.advance(interval * limiter.quota.emission_interval)
        for number in range(other_clients):
            limiter.try_acquire(f"other{number}")
        assert limiter.try_acquire("a").allowed


@settings(max_examples=200)
@given(RATES, st.integers(1, 50), st.integers(1, 5))
def test_reported_values_hold(rate: Rate, burst: int, requests: int) -> None:
    """`remaining` requests are allowed and no more; after `retry_after` one is, after `reset` a whole burst."""
    clock = Clock()
    limiter = LocalRateLimiter(rate, burst, clock=clock)
    for _ in range(min(requests, burst)):
        decision = limiter.try_acquire("a")
    assert (decision.limit, decision.remaining, decision.allowed) == (burst, burst - min(requests, burst), True)
    results = [limiter.try_acquire("a").allowed for _ in range(decision.remaining + 1)]
    assert results == [True] * decision.remaining + [False]
    rejected = limiter.try_acquire("a")
    assert (rejected.remaining, rejected.allowed) == (0, False)
    clock.advance(rejected.retry_after)
    allowed = limiter.try_acquire("a")
    assert allowed.allowed
    assert not limiter.try_acquire("a").allowed
    clock.advance(allowed.reset)
    assert [limiter.try_acquire("a").allowed for _ in range(burst + 1)] == [True] * burst + [False]


def test_clients_are_limited_separately() -> None:
    """Requests of one client do not count for another; statistics count all."""
    limiter, _ = make_limiter(burst=2)
    assert [limiter.try_acquire(key).allowed for key in "aaabb"] == [True, True, False, True, True]
    statistics = limiter.statistics()
    assert (statistics.allowed, statistics.rejected, statistics.clients, statistics.evictions) == (4, 1, 2, 0)


def test_default_burst() -> None:
    """Without a burst, as many requests are allowed at once as the rate has in one period."""
    assert make_limiter(100)[0].try_acquire("a").limit == 100
    assert make_limiter(100, burst=5)[0].try_acquire("a").limit == 5


def test_clients_without_debt_are_removed() -> None:
    """Clients without a debt make room without an eviction, and the table shrinks as new clients come."""
    limiter, clock = make_limiter(1, burst=1, max_clients=100)
    for number in range(100):
        limiter.try_acquire(f"old{number}")
    clock.advance(1.0 + 1 / BUCKETS_PER_BURST)
    for number in range(30):
        assert limiter.try_acquire(f"new{number}").allowed
    statistics = limiter.statistics()
    assert (statistics.clients, statistics.evictions) == (30, 0)


def test_one_busy_client_does_not_grow_the_table() -> None:
    """The table has one bucket for one client, however many requests it makes."""
    limiter, clock = make_limiter(1, burst=1)
    for _ in range(5 * BUCKETS_PER_BURST):
        clock.advance(1.5)
        limiter.try_acquire("a")
    table = limiter._table
    assert (len(table.arrival_times), len(table._buckets), len(table._bucket_heap)) == (1, 1, 1)


def test_idle_clients_are_removed_by_requests_of_another() -> None:
    """One active client suffices to remove the idle ones."""
    limiter, clock = make_limiter(1, burst=1)
    for number in range(200):
        limiter.try_acquire(f"idle{number}")
    for _ in range(200):
        clock.advance(1.5)
        limiter.try_acquire("a")
    assert limiter.statistics().clients == 1


@settings(max_examples=100)
@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 11), st.floats(0, 0.5)), min_size=1, max_size=300))
def test_eviction_does_not_raise_the_limit(burst: int, requests: list[tuple[int, float]]) -> None:
    """With more clients than the table holds, each is allowed no more than with an unbounded table."""
    clock = Clock()
    rate = Rate(1, 1.0)
    small, large = LocalRateLimiter(rate, burst, max_clients=4, clock=clock), LocalRateLimiter(rate, burst, clock=clock)
    allowed_by_small, allowed_by_large = [0] * 12, [0] * 12
    for client, seconds in requests:
        clock.advance(seconds)
        allowed_by_large[client] += large.try_acquire(str(client)).allowed
        allowed_by_small[client] += small.try_acquire(str(client)).allowed
        assert allowed_by_small[client] <= allowed_by_large[client]
    assert small.statistics().clients <= 4


def test_total_rate_is_bounded_by_the_table() -> None:
    """A flood of new addresses gets the rate of `max_clients` clients in total."""
    limiter, clock = make_limiter(1, burst=3, max_clients=10)
    for number in range(20_000):
        clock.advance(0.001)
        limiter.try_acquire(str(number))
    statistics = limiter.statistics()
    assert statistics.allowed <= 10 * 3 + 10 * 20
    assert statistics.evictions > 10


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    """A hundred thousand clients with debts use no more entries than allowed, and less than 300 bytes for each."""
    limiter, _ = make_limiter(10, 3600.0)
    tracemalloc.start()
    try:
        for number in range(100_000):
            limiter.try_acquire(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64")
        traced_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    statistics = limiter.statistics()
    print(f"\n{traced_bytes / 1e6:.1f} MB for {statistics.clients:,} of 100,000 clients")  # noqa: T201 - for measurements
    assert (statistics.clients, statistics.evictions) == (MAX_CLIENTS, 100_000 - MAX_CLIENTS)
    assert traced_bytes < 300 * MAX_CLIENTS


def test_number_of_buckets_is_bounded() -> None:
    """The table has few buckets while thousands of clients come and go, so requests stay cheap."""
    limiter, clock = make_limiter(10, 1.0, max_clients=500)
    for number in range(20_000):
        clock.advance(0.0003)
        limiter.try_acquire(str(number % 1500))
    assert len(limiter._table._bucket_heap) <= 2 * BUCKETS_PER_BURST
    assert sum(map(len, limiter._table._buckets.values())) == len(limiter._table.arrival_times)


@pytest.mark.parametrize(("seconds", "rounded"), [(0.0, 0), (1e-9, 0), (0.001, 1), (1.0, 1), (1.0000001, 1), (1.2, 2)])
def test_round_up_seconds(seconds: float, rounded: int) -> None:
    """Seconds are rounded up, except for floating-point errors."""
    assert round_up_seconds(seconds) == rounded
