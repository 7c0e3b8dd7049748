"""The adaptive concurrency limit: when it grows, when it shrinks, and when it stays."""

import pytest

from askd.guards.concurrency.adaptive import (
    DECISION_INTERVAL,
    DECREASE_INTERVAL,
    INITIAL_LIMIT,
    MAX_SETTLE_TIME,
    MIN_SAMPLES,
    AdaptiveLimit,
)


class FakeLoop:
    """A loop with the lag of the test, sampled every 10 ms."""

    def __init__(self, limit: int | None = None, max_limit: int = 1000) -> None:
        self.adaptive_limit = AdaptiveLimit(max_limit)
        self.now = 10.0
        if limit is not None:
            self.adaptive_limit.limit = limit
            self.adaptive_limit._in_slow_start = False

    def run(
        self,
        seconds: float,
        lag: float = 0.0,
        *,
        accept_seconds: float = 0.0,
        cpu_share: float = 0.0,
        saturated: bool = True,
        completed_since_resize: bool = True,
        in_flight: int = 0,
        peak_in_flight: int | None = None,
    ) -> int:
        """Run for some seconds; return the limit."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += max(0.01, lag)
            if self.adaptive_limit.add_sample(lag, accept_seconds, self.now, self.now * cpu_share):
                self.adaptive_limit.adjust(
                    in_flight=in_flight,
                    peak_in_flight=self.adaptive_limit.limit if peak_in_flight is None else peak_in_flight,
                    saturated=saturated,
                    completed_since_resize=completed_since_resize,
                    now=self.now,
                )
        return self.adaptive_limit.limit


def test_slow_start_doubles_the_limit() -> None:
    """While requests find no slot and the loop is on time, the limit doubles every 100 ms, up to the maximum."""
    loop = FakeLoop(max_limit=100)
    assert [loop.run(DECISION_INTERVAL + 0.02) for _ in range(5)] == [
        2 * INITIAL_LIMIT,
        4 * INITIAL_LIMIT,
        8 * INITIAL_LIMIT,
        100,
        100,
    ]
    assert AdaptiveLimit(3).limit == 3


@pytest.mark.parametrize(("lag", "cpu_share"), [(0.0, 0.6), (0.006, 0.1)])
def test_increase_waits_for_the_last_one_to_take_effect(lag: float, cpu_share: float) -> None:
    """With a busy CPU or some lag, the limit grows after a call has completed since the last increase, or a second."""
    loop = FakeLoop()
    limit = loop.run(DECISION_INTERVAL + 0.02)
    assert limit == 2 * INITIAL_LIMIT

    def run(seconds: float) -> int:
        """Run with every third sample late."""
        for _ in range(round(seconds / 0.03)):
            loop.run(0.01, lag, cpu_share=cpu_share, completed_since_resize=False)
            loop.run(0.02, cpu_share=cpu_share, completed_since_resize=False)
        return loop.adaptive_limit.limit

    assert run(MAX_SETTLE_TIME - 2 * DECISION_INTERVAL) == limit
    assert run(4 * DECISION_INTERVAL) == 2 * limit


def test_slow_start_does_not_wait_for_calls_that_only_wait() -> None:
    """With an idle CPU and the loop on time, slow start doubles the limit every 100 ms, before any call completes."""
    loop = FakeLoop()
    for _ in range(7):
        loop.run(DECISION_INTERVAL + 0.02, cpu_share=0.1, completed_since_resize=False)
    assert loop.adaptive_limit.limit == 1000
    loop = FakeLoop(100)
    loop.run(MAX_SETTLE_TIME)
    limit = loop.adaptive_limit.limit
    assert loop.run(MAX_SETTLE_TIME - 2 * DECISION_INTERVAL, completed_since_resize=False) == limit


def test_waiting_for_a_cpu_is_no_lag() -> None:
    """If the thread waits for a CPU as long as the loop is late, the limit grows; if the lag is its own, it shrinks."""
    for waited, expected in ((0.03, 1000), (0.0, 1)):
        limit = AdaptiveLimit(1000)
        for number in range(1, 400):
            now = 0.03 * number
            if limit.add_sample(0.03, 0.0, now, cpu_seconds=0.1 * now, cpu_wait=waited * number):
                limit.adjust(
                    in_flight=0, peak_in_flight=limit.limit, saturated=True, completed_since_resize=True, now=now
                )
        assert limit.limit == expected


def test_expected_growth() -> None:
    """In slow start, the slots up to the maximum are expected; `is_late` tells whether the loop is late now."""
    loop = FakeLoop(max_limit=2 * INITIAL_LIMIT)
    states = [(loop.adaptive_limit.expected_growth, loop.adaptive_limit.is_late)]
    for saturated, lag in ((False, 0.0), (False, 0.02), (False, 0.0), (True, 0.0)):
        loop.run(2 * DECISION_INTERVAL + 0.02, lag, saturated=saturated)
        states.append((loop.adaptive_limit.expected_growth, loop.adaptive_limit.is_late))
    assert states == [(8, False), (8, False), (8, True), (8, False), (0, False)]
    loop = FakeLoop()
    loop.run(DECREASE_INTERVAL + 0.1, lag=0.02)
    loop.run(1.0, saturated=False)
    assert loop.adaptive_limit.expected_growth == 0


def test_unsaturated_limit_does_not_grow() -> None:
    """If the limit was not reached, it stays, however long the loop is on time."""
    assert FakeLoop().run(60.0, saturated=False) == INITIAL_LIMIT


def test_one_sample_is_not_enough() -> None:
    """A single sample leads to no decision, however long its lag."""
    assert not AdaptiveLimit(10).add_sample(5.0, 0.0, 10.0)


def test_one_pause_does_not_lower_the_limit() -> None:
    """The limit stays if the loop was blocked once, even for long, and was on time before and after."""
    loop = FakeLoop(100)
    loop.run(0.05, saturated=False)
    loop.run(0.3, 0.3, saturated=False)
    assert loop.run(2.0, saturated=False) == 100
    loop.run(0.45, 0.02, saturated=False)
    assert loop.run(2.0, saturated=False) == 100


def test_consecutive_decreases_become_larger() -> None:
    """Each half second of lag lowers the limit: by 10 %, 20 %, 40 %, then 50 %, down to 1."""
    loop = FakeLoop(100)
    limits: list[int] = []
    while len(limits) < 8:
        limit = loop.run(0.05, 0.006)
        if not limits or limit != limits[-1]:
            limits.append(limit)
    assert limits == [100, 90, 72, 43, 21, 11, 5, 3]
    assert loop.run(20.0, 0.006) == 1


def test_first_decrease_reverts_the_last_doubling() -> None:
    """In slow start, a decrease halves the limit."""
    loop = FakeLoop()
    assert loop.run(DECISION_INTERVAL + 0.02) == 2 * INITIAL_LIMIT
    assert loop.run(DECREASE_INTERVAL + 0.1, 0.01) == INITIAL_LIMIT


def test_some_lag_is_normal_for_a_busy_cpu() -> None:
    """If three of four samples are late, the limit neither grows nor shrinks."""
    loop = FakeLoop(50)
    for _ in range(300):
        loop.run(0.03, 0.01)
        loop.run(0.01)
    assert loop.adaptive_limit.limit == 50


@pytest.mark.parametrize(
    ("late", "on_time", "cpu_share", "expected"),
    [(3, 1, 0.9, 50), (3, 1, 1.0, 1), (1, 2, 1.0, 50), (0, 4, 1.0, 1000)],
)
def test_thresholds_are_lower_with_a_saturated_cpu(late: int, on_time: int, cpu_share: float, expected: int) -> None:
    """With a saturated CPU, the limit shrinks at 3/4 late samples, stays at 1/3, and grows if none is late."""
    loop = FakeLoop(50)
    for _ in range(300):
        loop.run(0.01 * late, 0.01, cpu_share=cpu_share)
        loop.run(0.01 * on_time, cpu_share=cpu_share)
    assert loop.adaptive_limit.limit == expected


@pytest.mark.parametrize(
    "expected",
    [[18, 19, 20, 21, 23, 27], [90, 95, 97, 100, 103, 109]],
    ids=["by 1, 2, 4", "by 3 % at least"],
)
def test_recovery_is_a_binary_search_then_additive(expected: list[int]) -> None:
    """The limit goes half the way to the last congested limit each time, then on by 1, 2, 4, or by 3 % at least."""
    loop = FakeLoop(round(expected[0] / 0.9))
    loop.run(DECREASE_INTERVAL + 0.01, 0.01)
    limits = [loop.adaptive_limit.limit]
    while limits[-1] < expected[-1]:
        limit = loop.run(DECISION_INTERVAL / 2)
        if limit != limits[-1]:
            limits.append(limit)
    assert limits == expected


def test_decrease_waits_for_the_last_one_to_take_effect() -> None:
    """The limit does not shrink again while more calls than the limit are in flight."""
    loop = FakeLoop(100)
    loop.run(DECREASE_INTERVAL + 0.01, 0.01)
    assert loop.run(5.0, 0.01, in_flight=91) == 90
    assert loop.run(MAX_SETTLE_TIME / 2, 0.01, in_flight=90) < 90


def test_unused_slots_are_removed_first() -> None:
    """If the loop is late with few calls in flight, the limit shrinks to their number and not below."""
    loop = FakeLoop(500)
    while loop.adaptive_limit.limit > 20:
        loop.run(0.05, 0.01, saturated=False, peak_in_flight=20)
    assert loop.adaptive_limit.limit == 20


def test_lag_from_shedding_does_not_lower_the_limit() -> None:
    """Lag from arrivals does not count, and the answerer may cause as much again."""
    loop = FakeLoop(100)
    assert loop.run(5.0, 0.040, accept_seconds=0.030, saturated=False) == 100
    assert loop.run(5.0, 0.059, accept_seconds=0.030, saturated=False) == 100
    assert loop.run(DECREASE_INTERVAL + 0.4, 0.061, accept_seconds=0.030, saturated=False) == 90


@pytest.mark.parametrize("lag", [0.3, 2.0])
def test_two_samples_suffice_for_long_iterations(lag: float) -> None:
    """If iterations take so long that there are few samples, two lead to a decrease."""
    loop = FakeLoop(8)
    assert loop.run(max(2 * lag, DECREASE_INTERVAL), lag) == 7


def test_samples_must_cover_an_interval() -> None:
    """Many samples at the same time lead to no decision before the interval has passed."""
    adaptive_limit = AdaptiveLimit(10)
    assert [adaptive_limit.add_sample(0.0, 0.0, 0.0) for _ in range(3 * MIN_SAMPLES)] == [False] * 3 * MIN_SAMPLES
    assert adaptive_limit.add_sample(0.0, 0.0, DECISION_INTERVAL)
