"""The limit that finds itself: when it grows, when it shrinks, and when it had better do neither."""

import pytest

from service.guards.limiter.auto import FIRST, INTERVAL, ROUND, SAMPLES, STANDING, Auto


class Loop:
    """A loop that is late as the test says, and is sampled every hundredth of a second."""

    def __init__(self, limit: int | None = None, ceiling: int = 1000) -> None:
        self.auto = Auto(ceiling)
        self.now = 10.0
        if limit is not None:
            self.auto.limit = limit
            self.auto._starting = False

    def run(
        self,
        seconds: float,
        lag: float = 0.0,
        *,
        door: float = 0.0,
        every: float = 0.01,
        spent: float = 0.0,
        full: bool = True,
        shown: bool = True,
        in_flight: int = 0,
        peak: int | None = None,
    ) -> int:
        """Run for so long; return the limit."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += max(every, lag)
            if self.auto.sample(lag, door, self.now, self.now * spent):
                most = self.auto.limit if peak is None else peak
                self.auto.decide(in_flight=in_flight, peak=most, full=full, shown=shown, now=self.now)
        return self.auto.limit


def test_it_starts_small_and_doubles() -> None:
    """While places are wanted and the loop is on time, there are twice as many every 100 ms, up to the ceiling."""
    loop = Loop(ceiling=100)
    assert [loop.run(INTERVAL + 0.02) for _ in range(5)] == [2 * FIRST, 4 * FIRST, 8 * FIRST, 100, 100]
    assert Auto(3).limit == 3


def test_it_waits_for_the_last_increase_to_show() -> None:
    """Before a call has ended that began after it, nothing grows: for a second at most."""
    loop = Loop()
    first = loop.run(INTERVAL + 0.02)
    assert first == 2 * FIRST
    assert loop.run(ROUND - 2 * INTERVAL, shown=False) == first
    assert loop.run(3 * INTERVAL, shown=False) == 2 * first


def test_it_is_growing_until_it_was_too_high() -> None:
    """From its start until the loop was late for long, or until there are no more places to have."""
    loop = Loop(ceiling=2 * FIRST)
    seen = [loop.auto.growing]
    for full in (False, True):
        loop.run(INTERVAL + 0.02, full=full)
        seen.append(loop.auto.growing)
    assert (seen, loop.auto.limit) == ([True, True, False], 2 * FIRST)
    loop = Loop()
    loop.run(STANDING + 0.1, lag=0.02)
    loop.run(1.0, full=False)
    assert not loop.auto.growing


def test_places_that_nobody_wanted_do_not_grow() -> None:
    """Where the limit was not reached, it stays, however long the loop is on time."""
    assert Loop().run(60.0, full=False) == FIRST


def test_without_samples_nothing_changes() -> None:
    """A single sample says nothing, however long it took."""
    assert not Auto(10).sample(5.0, 0.0, 10.0)


def test_one_pause_does_not_shrink_it() -> None:
    """A loop that stood still once, even for long, and was on time before and after, keeps its places."""
    loop = Loop(100)
    loop.run(0.05, full=False)
    loop.run(0.3, 0.3, full=False)
    assert loop.run(2.0, full=False) == 100
    loop.run(0.45, 0.02, full=False)
    assert loop.run(2.0, full=False) == 100


def test_it_shrinks_by_more_each_time_that_it_must_again() -> None:
    """Half a second of lateness takes a tenth; the next a fifth, two fifths, a half; never the last place."""
    loop = Loop(100)
    found: list[int] = []
    while len(found) < 8:
        limit = loop.run(0.05, 0.006)
        if not found or limit != found[-1]:
            found.append(limit)
    assert found == [100, 90, 72, 43, 21, 11, 5, 3]
    assert loop.run(20.0, 0.006) == 1


def test_the_start_overshoots_at_most_once() -> None:
    """The first lateness takes back the last doubling."""
    loop = Loop()
    assert loop.run(INTERVAL + 0.02) == 2 * FIRST
    assert loop.run(STANDING + 0.1, 0.01) == FIRST


def test_some_lateness_is_what_a_busy_cpu_looks_like() -> None:
    """With three of four samples late it neither grows nor shrinks."""
    loop = Loop(50)
    for _ in range(300):
        loop.run(0.03, 0.01)
        loop.run(0.01)
    assert loop.auto.limit == 50


@pytest.mark.parametrize(
    ("late", "timely", "spent", "expected"), [(3, 1, 0.9, 50), (3, 1, 1.0, 1), (1, 2, 1.0, 50), (0, 4, 1.0, 1000)]
)
def test_where_the_cpu_is_spent_less_lateness_is_too_much(late: int, timely: int, spent: float, expected: int) -> None:
    """With three of four samples late it shrinks, with one of three it stays, and only while on time it grows."""
    loop = Loop(50)
    for _ in range(300):
        loop.run(0.01 * late, 0.01, spent=spent)
        loop.run(0.01 * timely, spent=spent)
    assert loop.auto.limit == expected


def test_it_comes_back_by_halves_and_then_feels_its_way() -> None:
    """After one verdict it goes half the way to where it was late each time, then on by 1, 2, 4 as long as it may."""
    loop = Loop(100)
    loop.run(STANDING + 0.01, 0.01)
    assert loop.auto.limit == 90
    found: list[int] = []
    while loop.auto.limit < 107:
        limit = loop.run(INTERVAL / 2)
        if limit != (found or [90])[-1]:
            found.append(limit)
    assert found == [95, 97, 98, 99, 100, 101, 103, 107]


def test_it_does_not_shrink_twice_for_the_same() -> None:
    """While more are in flight than the limit, it has not had its effect yet; nor before a call has ended since."""
    loop = Loop(100)
    loop.run(STANDING + 0.01, 0.01)
    assert loop.run(5.0, 0.01, in_flight=91) == 90
    assert loop.run(ROUND / 2, 0.01, in_flight=90) < 90


def test_unused_places_go_first() -> None:
    """A loop that is late with a few in flight takes the limit down to these, not below."""
    loop = Loop(500)
    while loop.auto.limit > 20:
        loop.run(0.05, 0.01, full=False, peak=20)
    assert loop.auto.limit == 20


def test_a_flood_that_is_turned_away_is_not_the_codes_fault() -> None:
    """Lateness from arrivals does not count, and the code may be as late as they make it."""
    loop = Loop(100)
    assert loop.run(5.0, 0.040, door=0.030, full=False) == 100
    assert loop.run(5.0, 0.059, door=0.030, full=False) == 100
    assert loop.run(STANDING + 0.4, 0.061, door=0.030, full=False) == 90


@pytest.mark.parametrize("lag", [0.3, 2.0])
def test_long_turns_are_judged_by_two(lag: float) -> None:
    """Where a turn takes so long that there are few samples, two are enough."""
    loop = Loop(8)
    assert loop.run(max(2 * lag, STANDING), lag) == 7


def test_enough_samples() -> None:
    """A verdict looks at several samples also where they come in a burst."""
    auto = Auto(10)
    assert [auto.sample(0.0, 0.0, 0.0) for _ in range(3 * SAMPLES)] == [False] * 3 * SAMPLES
    assert auto.sample(0.0, 0.0, INTERVAL)
