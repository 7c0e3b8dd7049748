"""CoDel: bursts may queue, a standing queue is bounded, and the bound is lifted when it is over."""

import pytest

from askd.guards.concurrency.codel import INTERVAL, MAX_HEAD_DELAY_FACTOR, QUIET_TIME, CoDel, ShedReason


class FakeQueue:
    """CoDel with queue delays and a clock that the test sets."""

    def __init__(self, *, queue_size: int = 64, target_delay: float = 0.1) -> None:
        self.codel = CoDel(queue_size, target_delay)
        self.now = 100.0
        self.completed = 0
        self.check(0)

    def check(self, queue_length: int, *, head_delay: float | None = None) -> ShedReason | None:
        """Ask for the admission of a request."""
        head_arrival = None if head_delay is None else self.now - head_delay
        return self.codel.check_admission(queue_length, head_arrival, self.completed, self.now)

    def run_interval(self, *delays: float, completed: int = 0, queue_length: int = 1) -> None:
        """Let an interval pass, in which calls started with these delays."""
        self.codel.min_delay = min(self.codel.min_delay, *delays)
        self.completed += completed
        self.now += INTERVAL
        self.check(queue_length)


def test_burst_may_fill_the_queue() -> None:
    """Without a standing queue, the queue size is the only limit."""
    queue = FakeQueue(queue_size=10)
    assert [queue.check(9), queue.check(10)] == [None, ShedReason.QUEUE_FULL]


def test_one_short_delay_means_no_standing_queue() -> None:
    """Long delays are a burst as long as one delay of the interval is below the target."""
    queue = FakeQueue()
    queue.run_interval(0.5, 0.4, 0.1)
    assert (queue.codel.is_dropping, queue.check(63)) == (False, None)


@pytest.mark.parametrize(("rate", "queue_limit"), [(250, 25), (1000, 64), (3, 1), (0, 1)])
def test_standing_queue_is_bounded_by_the_completion_rate(rate: int, queue_limit: int) -> None:
    """A standing queue may hold the calls that complete within the target delay: at least 1, at most the queue size."""
    queue = FakeQueue()
    for _ in range(20):
        queue.run_interval(0.2, 0.11, completed=round(rate * INTERVAL))
    assert queue.codel.queue_limit == queue_limit
    assert [queue.check(queue_limit - 1), queue.check(queue_limit)] == [
        None,
        ShedReason.QUEUE_FULL if queue_limit == 64 else ShedReason.OVERLOADED,
    ]


def test_head_delay_counts_if_no_call_started() -> None:
    """If no call started in an interval, the waiting time of the queue's head is its minimum delay."""
    queue = FakeQueue()
    queue.now += INTERVAL
    assert queue.check(5, head_delay=0.09) is None
    queue.now += INTERVAL
    assert queue.check(5, head_delay=0.19) is ShedReason.OVERLOADED


def test_long_head_delay_sheds_within_the_interval() -> None:
    """If the head has waited for twice the target delay, requests are shed before the interval ends."""
    queue = FakeQueue()
    assert queue.check(1, head_delay=MAX_HEAD_DELAY_FACTOR * 0.1 - 0.01) is None
    assert queue.check(1, head_delay=MAX_HEAD_DELAY_FACTOR * 0.1 + 0.01) is ShedReason.OVERLOADED


def test_queue_size_zero_is_always_full() -> None:
    """With a queue size of 0 every request is shed, in any state."""
    queue = FakeQueue(queue_size=0)
    queue.run_interval(0.5, queue_length=0)
    assert queue.check(0) is ShedReason.QUEUE_FULL


def test_dropping_ends_when_the_queue_was_empty_and_nothing_was_shed() -> None:
    """An empty queue alone does not end dropping: no request may have been shed for QUIET_TIME, either."""
    queue = FakeQueue()
    queue.run_interval(0.2, completed=25)
    queue.run_interval(0.2, completed=25, queue_length=30)
    assert queue.codel.is_dropping
    queue.codel.was_empty = True
    queue.run_interval(0.0, queue_length=30)
    assert queue.codel.is_dropping
    queue.now += QUIET_TIME - INTERVAL
    assert not queue.codel.no_recent_shed(queue.now)
    queue.run_interval(0.0)
    assert queue.codel.no_recent_shed(queue.now)
    assert queue.codel.is_dropping
    queue.codel.was_empty = True
    queue.run_interval(0.0)
    assert (queue.codel.is_dropping, queue.codel.queue_limit) == (False, 64)


def test_idle_time_does_not_lower_the_completion_rate() -> None:
    """The completion rate is measured only while requests are waiting: an idle hour does not lower it."""
    queue = FakeQueue()
    for _ in range(5):
        queue.run_interval(0.2, completed=25)
    queue.now += 3600.0
    queue.run_interval(0.2)
    queue.run_interval(0.2, completed=25)
    assert queue.codel.queue_limit == pytest.approx(25, abs=3)
