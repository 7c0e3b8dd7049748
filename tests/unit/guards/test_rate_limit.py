"""The rate: what is allowed in any window, what is said of it, and what the bound on clients costs whom."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import units
from service.guards.rate import CLIENTS, SLICES, Rate, whole_seconds
from tests.fakes import Clock

RATES = st.builds(units.Rate, st.integers(1, 2000), st.sampled_from([1.0, 60.0, 3600.0]))
BURSTS = st.none() | st.integers(1, 50)
STEPS = st.lists(st.floats(0, 3), min_size=1, max_size=120)
"""Times between questions, in gaps: at 1, a client asks exactly at its rate."""


def made(
    number: int = 10, seconds: float = 1.0, burst: int | None = None, clients: int = CLIENTS
) -> tuple[Rate, Clock]:
    """A rate, and the clock that it reads."""
    clock = Clock()
    return Rate(units.Rate(number, seconds), burst, clients=clients, clock=clock), clock


@settings(max_examples=200, deadline=None)
@given(RATES, BURSTS, STEPS)
def test_no_window_has_more_than_the_burst_and_the_rate(
    rate: units.Rate, burst: int | None, steps: list[float]
) -> None:
    """From any question to any later one, no more are allowed than the burst and what the rate has for the time."""
    clock = Clock()
    guard = Rate(rate, burst, clock=clock)
    allowed = []
    for step in steps:
        clock.advance(step * guard.quota.gap)
        if guard.take("a").allowed:
            allowed.append(clock.now)
    for first, begin in enumerate(allowed):
        for last, end in enumerate(allowed[first:], first):
            within = guard.quota.burst + (end - begin) / guard.quota.gap
            assert last - first + 1 <= within + 1e-3


@settings(max_examples=200, deadline=None)
@given(RATES, BURSTS, st.lists(st.floats(1, 5), min_size=1, max_size=120), st.integers(0, 3))
def test_who_keeps_to_the_rate_is_never_refused(
    rate: units.Rate, burst: int | None, steps: list[float], others: int
) -> None:
    """A client that asks no sooner than the rate allows is let through, whatever others do."""
    clock = Clock()
    guard = Rate(rate, burst, clock=clock)
    for step in steps:
        clock.advance(step * guard.quota.gap)
        for other in range(others):
            guard.take(f"other{other}")
        assert guard.take("a").allowed


@settings(max_examples=200, deadline=None)
@given(RATES, st.integers(1, 50), st.integers(1, 5))
def test_what_is_said_holds(rate: units.Rate, burst: int, asked: int) -> None:
    """`remaining` may be asked at once and no more; after `retry_after` one may, after `reset` a whole burst."""
    clock = Clock()
    guard = Rate(rate, burst, clock=clock)
    for _ in range(min(asked, burst)):
        said = guard.take("a")
    assert (said.limit, said.remaining, said.allowed) == (burst, burst - min(asked, burst), True)
    assert [guard.take("a").allowed for _ in range(said.remaining + 1)] == [True] * said.remaining + [False]
    refused = guard.take("a")
    assert (refused.remaining, refused.allowed) == (0, False)
    clock.advance(refused.retry_after)
    reset = guard.take("a")
    assert reset.allowed
    assert not guard.take("a").allowed
    clock.advance(reset.reset)
    assert [guard.take("a").allowed for _ in range(burst + 1)] == [True] * burst + [False]


def test_clients_have_a_rate_each() -> None:
    """One client's questions leave another its own; both are counted."""
    guard, _ = made(burst=2)
    assert [guard.take(key).allowed for key in "aaabb"] == [True, True, False, True, True]
    seen = guard.statistics()
    assert (seen.allowed, seen.refused, seen.clients, seen.evictions) == (4, 1, 2, 0)


def test_a_burst_of_its_own() -> None:
    """Without a burst as many may be asked at once as the rate has in its time."""
    assert (made(100)[0].take("a").limit, made(100, burst=5)[0].take("a").limit) == (100, 5)


def test_who_owes_nothing_is_forgotten() -> None:
    """Clients that have paid off make room without an eviction, and the table shrinks as new ones come."""
    guard, clock = made(1, burst=1, clients=100)
    for number in range(100):
        guard.take(f"old{number}")
    clock.advance(1.0 + 1 / SLICES)
    for number in range(30):
        assert guard.take(f"new{number}").allowed
    seen = guard.statistics()
    assert (seen.clients, seen.evictions) == (30, 0)


def test_one_busy_client_leaves_nothing_behind() -> None:
    """However long one client asks, what is kept for it does not grow."""
    guard, clock = made(1, burst=1)
    for _ in range(5 * SLICES):
        clock.advance(1.5)
        guard.take("a")
    table = guard._table
    assert (len(table.due), len(table._slices), len(table._order)) == (1, 1, 1)


def test_idle_clients_are_dropped_while_one_asks() -> None:
    """Those who went away are forgotten as long as anybody asks."""
    guard, clock = made(1, burst=1)
    for number in range(200):
        guard.take(f"gone{number}")
    for _ in range(200):
        clock.advance(1.5)
        guard.take("a")
    assert guard.statistics().clients == 1


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 11), st.floats(0, 0.5)), min_size=1, max_size=300))
def test_nobody_gains_by_being_forgotten(burst: int, asked: list[tuple[int, float]]) -> None:
    """With more clients than there is room for, each still gets no more than one that is always remembered."""
    clock = Clock()
    rate = units.Rate(1, 1.0)
    small, large = Rate(rate, burst, clients=4, clock=clock), Rate(rate, burst, clock=clock)
    got, due = [0] * 12, [0] * 12
    for client, step in asked:
        clock.advance(step)
        due[client] += large.take(str(client)).allowed
        got[client] += small.take(str(client)).allowed
        assert got[client] <= due[client]
    assert small.statistics().clients <= 4


def test_all_together_get_no_more_than_the_table_has_room_for() -> None:
    """A flood of ever new addresses gets the rate of so many clients as there is room for, and not that of each."""
    guard, clock = made(1, burst=3, clients=10)
    for number in range(20_000):
        clock.advance(0.001)
        guard.take(str(number))
    seen = guard.statistics()
    assert seen.allowed <= 10 * 3 + 10 * 20
    assert seen.evictions > 10


def test_memory_is_bounded_for_a_hundred_thousand_addresses() -> None:
    """A hundred thousand clients in debt take no more entries than there is room for, and less than 300 bytes each."""
    guard, _ = made(10, 3600.0)
    tracemalloc.start()
    try:
        for number in range(100_000):
            guard.take(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64")
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    seen = guard.statistics()
    print(f"\n{taken / 1e6:.1f} MB for {seen.clients:,} of 100,000 clients")  # noqa: T201 - a figure for who measures
    assert (seen.clients, seen.evictions) == (CLIENTS, 100_000 - CLIENTS)
    assert taken < 300 * CLIENTS


def test_a_full_table_costs_no_more_at_each_step() -> None:
    """The slices stay few while clients come and go by the thousand."""
    guard, clock = made(10, 1.0, clients=500)
    for number in range(20_000):
        clock.advance(0.0003)
        guard.take(str(number % 1500))
    assert len(guard._table._order) <= 2 * SLICES
    assert sum(map(len, guard._table._slices.values())) == len(guard._table.due)


@pytest.mark.parametrize(("seconds", "whole"), [(0.0, 0), (1e-9, 0), (0.001, 1), (1.0, 1), (1.0000001, 1), (1.2, 2)])
def test_whole_seconds_are_rounded_up(seconds: float, whole: int) -> None:
    """A field in whole seconds never says less than it takes, a rounding error of a float apart."""
    assert whole_seconds(seconds) == whole
