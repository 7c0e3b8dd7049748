"""The queue's controlled delay: bursts pass, a queue that stands is bounded, and is let go when it is over."""

import pytest

from service.guards.limiter.standing import FAR_OVER, INTERVAL, Shed, Standing


class Queue:
    """A queue in which each question that begins has waited for so long, and a time that goes by."""

    def __init__(self, *, queue: int = 64, budget: float = 0.1) -> None:
        self.standing = Standing(queue, budget)
        self.now = 100.0
        self.done = 0
        self.ask(0)

    def ask(self, waiting: int, *, oldest: float | None = None) -> Shed | None:
        """Judge one more, where so many wait and the first of them for so long."""
        return self.standing.judge(waiting, None if oldest is None else self.now - oldest, self.done, self.now)

    def interval(self, *delays: float, done: int = 0, waiting: int = 1) -> None:
        """Let an interval pass in which calls began after these delays, and so many ended."""
        self.standing.least = min(self.standing.least, *delays)
        self.done += done
        self.now += INTERVAL
        self.ask(waiting)


def test_a_burst_may_fill_the_queue() -> None:
    """Up to the setting may wait, not one more, while the queue does not stand."""
    queue = Queue(queue=10)
    assert [queue.ask(9), queue.ask(10)] == [None, Shed.QUEUE_FULL]


def test_one_short_delay_says_that_the_queue_does_not_stand() -> None:
    """Long delays are a burst as long as a short one is among them."""
    queue = Queue()
    queue.interval(0.5, 0.4, 0.1)
    assert (queue.standing.stands, queue.ask(63)) == (False, None)


@pytest.mark.parametrize(("rate", "bound"), [(250, 25), (1000, 64), (3, 1), (0, 1)])
def test_a_standing_queue_is_bounded_by_what_is_done_within_the_budget(rate: int, bound: int) -> None:
    """Where every delay is over the budget, as many may wait as end within it, at least one, never more than before."""
    queue = Queue()
    for _ in range(20):
        queue.interval(0.2, 0.11, done=round(rate * INTERVAL))
    assert queue.standing.bound == bound
    assert [queue.ask(bound - 1), queue.ask(bound)] == [None, Shed.QUEUE_FULL if bound == 64 else Shed.OVERLOADED]


def test_nothing_that_begins_is_judged_by_who_waits_longest() -> None:
    """A queue that does not move at all stands once its first has waited for longer than the budget."""
    queue = Queue()
    queue.now += INTERVAL
    assert queue.ask(5, oldest=0.09) is None
    queue.now += INTERVAL
    assert queue.ask(5, oldest=0.19) is Shed.OVERLOADED


def test_a_first_in_line_far_over_the_budget() -> None:
    """There is no waiting behind who has waited for two budgets, also in the middle of an interval."""
    queue = Queue()
    assert queue.ask(1, oldest=FAR_OVER * 0.1 - 0.01) is None
    assert queue.ask(1, oldest=FAR_OVER * 0.1 + 0.01) is Shed.OVERLOADED


def test_without_a_queue_nothing_stands() -> None:
    """A queue of 0 turns everybody away whom it is asked about, in every state."""
    queue = Queue(queue=0)
    queue.interval(0.5, waiting=0)
    assert queue.ask(0) is Shed.QUEUE_FULL


def test_it_is_over_when_it_ran_empty_and_nobody_was_turned_away() -> None:
    """An empty queue alone does not end it, as a bound of one empties often: nobody may have been shed, either."""
    queue = Queue()
    queue.interval(0.2, done=25)
    queue.interval(0.2, done=25, waiting=30)
    assert queue.standing.stands
    queue.standing.emptied = True
    queue.interval(0.0, waiting=30)
    assert queue.standing.stands
    queue.now += INTERVAL / 2
    assert not queue.standing.over(queue.now)
    queue.interval(0.0)
    assert queue.standing.over(queue.now)
    assert queue.standing.stands
    queue.standing.emptied = True
    queue.interval(0.0)
    assert (queue.standing.stands, queue.standing.bound) == (False, 64)


def test_pauses_do_not_count_for_the_rate() -> None:
    """What is done in a second is measured while some wait: an hour without any does not lower it."""
    queue = Queue()
    for _ in range(5):
        queue.interval(0.2, done=25)
    queue.now += 3600.0
    queue.interval(0.2)
    queue.interval(0.2, done=25)
    assert queue.standing.bound == pytest.approx(25, abs=3)
