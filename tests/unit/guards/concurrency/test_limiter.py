"""The limiter: who gets a place, who waits, who is turned away; on a clock that the test moves."""

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service.errors import Overloaded
from service.guards.limiter import Limiter, Ticket, retry_after
from tests.guards.simulation import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Give a loop whose time is the test's own."""
    made = Loop(iter(()), lambda _: None, random.Random(1))
    yield made
    made.run_until_complete(made.shutdown_asyncgens())
    made.close()


def limiter(
    loop: Loop, places: Any = 1, *, queue: int = 64, budget: float = 0.1, ceiling: int | None = None
) -> Limiter:
    """Make a limiter on that clock."""
    return Limiter(places, queue=queue, budget=budget, ceiling=ceiling, clock=loop.time, cpu=lambda: 0.0)


def admitted(limiter: Limiter, loop: Loop) -> Ticket:
    """Return a ticket, which there must be."""
    ticket = limiter.admit(loop.now)
    assert ticket
    return ticket


class Guest:
    """Enters in a task of its own, and stays until told to leave."""

    def __init__(self, ticket: Ticket, until: float | None = None) -> None:
        self.ticket = ticket
        self.inside = False
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._visit(until))

    async def _visit(self, until: float | None) -> None:
        try:
            await self.ticket.enter(until)
            self.inside = True
            await self.go.wait()
        finally:
            self.inside = False
            self.ticket.leave()


async def turns(number: int = 6) -> None:
    """Let the loop turn."""
    for _ in range(number):
        await asyncio.sleep(0)


def test_first_come_first_served(loop: Loop) -> None:
    """With one place, each enters when the one before has left, in the order in which they came."""

    async def main() -> None:
        it = limiter(loop)
        guests = [Guest(admitted(it, loop)) for _ in range(3)]
        for number, guest in enumerate(guests):
            await turns()
            assert [each.inside for each in guests] == [each == number for each in range(3)]
            assert (it.in_flight, it.waiting) == (1, 2 - number)
            guest.go.set()
        await turns()
        assert (it.in_flight, it.waiting) == (0, 0)

    loop.run_until_complete(main())


def test_a_ticket_counts_before_it_has_entered(loop: Loop) -> None:
    """Tickets that were given out and not used yet count for the queue's bound, and free it when they leave."""
    it = limiter(loop, 1, queue=2)
    tickets = [admitted(it, loop) for _ in range(3)]
    assert it.admit(loop.now) is None
    assert (it.waiting, it.statistics().shed_queue_full) == (3, 1)
    tickets[1].leave()
    tickets[1].leave()
    assert it.waiting == 2
    assert it.admit(loop.now)


def test_without_a_queue_none_waits(loop: Loop) -> None:
    """A queue of 0 admits who finds a free place, and nobody else."""

    async def main() -> None:
        it = limiter(loop, 2, queue=0)
        guests = [Guest(admitted(it, loop)) for _ in range(2)]
        assert it.admit(loop.now) is None
        await turns()
        assert it.admit(loop.now) is None
        guests[0].go.set()
        await turns()
        guests[0] = Guest(admitted(it, loop))
        assert it.admit(loop.now) is None
        for guest in guests:
            guest.task.cancel()
        await turns()

    loop.run_until_complete(main())


@pytest.mark.parametrize(("lasts", "at_once"), [(0.0001, True), (0.004, False)])
def test_long_calls_give_back_their_place_at_the_end_of_the_turn(loop: Loop, lasts: float, at_once: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Within one step a second trivial call finds the place free; after one of 4 ms it is free in the next turn."""

    async def main() -> None:
        it = limiter(loop)
        ticket = admitted(it, loop)
        await ticket.enter(None)
        loop.burn(lasts)
        ticket.leave()
        assert (it.in_flight == 0) == at_once
        await asyncio.sleep(0)
        assert it.in_flight == 0

    loop.run_until_complete(main())


def test_trivial_calls_add_up(loop: Loop) -> None:
    """Calls of a tenth of a millisecond give back their place at once, but for each that fills a millisecond."""

    async def main() -> None:
        it = limiter(loop, 100)
        for _ in range(20):
            ticket = admitted(it, loop)
            await ticket.enter(None)
            loop.burn(0.0001)
            ticket.leave()
        assert 0 < it.in_flight <= 11
        await asyncio.sleep(0)
        assert it.in_flight == 0

    loop.run_until_complete(main())


def test_no_more_long_calls_than_places_run_in_one_turn(loop: Loop) -> None:
    """Of a hundred calls that never await and are ready at once, the loop turns after each two."""

    async def main() -> None:
        it, ends = limiter(loop, 2, queue=100), []

        async def call(ticket: Ticket) -> None:
            await ticket.enter(None)
            loop.burn(0.004)
            ticket.leave()
            ends.append(turn)

        turn = 0
        tasks = [asyncio.create_task(call(admitted(it, loop))) for _ in range(100)]
        while not all(task.done() for task in tasks):
            turn += 1
            await asyncio.sleep(0)
        assert max(ends.count(each) for each in ends) == 2

    loop.run_until_complete(main())


def test_past_the_deadline_in_the_queue(loop: Loop) -> None:
    """Who waits past the deadline gets TimeoutError just then, and leaves no trace in the queue."""

    async def main() -> None:
        it = limiter(loop)
        first, second = Guest(admitted(it, loop)), Guest(admitted(it, loop), until=loop.now + 2.0)
        with pytest.raises(TimeoutError):
            await second.task
        assert loop.now == pytest.approx(2.0, abs=0.01)
        assert (it.in_flight, it.waiting, it.statistics().shed_late) == (1, 0, 1)
        first.go.set()
        await first.task

    loop.run_until_complete(main())


@pytest.mark.parametrize("busy", [False, True])
def test_an_expired_question_costs_no_work(loop: Loop, busy: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Past its deadline when it comes, or when its turn comes in a busy loop, it takes no place; the next one does."""

    async def main() -> None:
        it = limiter(loop)
        first = Guest(admitted(it, loop))
        await turns()
        second = Guest(admitted(it, loop), until=loop.now + (1.0 if busy else -1.0))
        third = Guest(admitted(it, loop))
        await turns()
        loop.burn(2.0)
        first.go.set()
        await turns()
        assert second.task.done()
        assert isinstance(second.task.exception(), TimeoutError)
        assert (third.inside, it.in_flight, it.statistics().delays) == (True, 1, 2)
        third.go.set()
        await third.task

    loop.run_until_complete(main())


@pytest.mark.parametrize("when", ["in line", "as the place comes"])
def test_a_client_that_leaves_while_it_waits(loop: Loop, when: str) -> None:
    """Cancelled in line, or in the very turn in which its place comes, it takes none away."""

    async def main() -> None:
        it = limiter(loop)
        first, second, third = [Guest(admitted(it, loop)) for _ in range(3)]
        await turns()
        if when == "in line":
            second.task.cancel()
        first.go.set()
        while it.waiting == 2:  # noqa: ASYNC110 - the turn in which the place comes is what this is about
            await asyncio.sleep(0)
        second.task.cancel()
        await turns()
        assert (third.inside, it.in_flight, it.waiting) == (True, 1, 0)
        third.go.set()
        await third.task
        assert it.in_flight == 0

    loop.run_until_complete(main())


def test_who_waits_is_shed_late(loop: Loop) -> None:
    """At the end of a drain all who wait are told Overloaded; who is in the code stays."""

    async def main() -> None:
        it = limiter(loop)
        first, *others = [Guest(admitted(it, loop)) for _ in range(3)]
        await turns()
        assert it.shed() == 2
        found = await asyncio.gather(*(each.task for each in others), return_exceptions=True)
        assert [type(each) for each in found] == [Overloaded, Overloaded]
        assert (first.inside, it.in_flight, it.waiting, it.statistics().shed_late) == (True, 1, 0, 2)
        first.go.set()
        await first.task

    loop.run_until_complete(main())


def test_a_ticket_enters_once(loop: Loop) -> None:
    """One that has left gets no place any more."""

    async def main() -> None:
        it = limiter(loop)
        ticket = admitted(it, loop)
        ticket.leave()
        with pytest.raises(Overloaded):
            await ticket.enter(None)
        assert (it.in_flight, it.waiting) == (0, 0)

    loop.run_until_complete(main())


def test_an_abandoned_call_keeps_its_place(loop: Loop) -> None:
    """The place is free when each thread of its code has stopped and its caller has left, not before."""

    async def main() -> None:
        it = limiter(loop)
        ticket = admitted(it, loop)
        await ticket.enter(None)
        one, other = ticket.abandon(), ticket.abandon()
        loop.burn(3.0)
        assert it.stuck_since == pytest.approx(loop.now - 3.0)
        assert (it.abandoned, it.in_flight) == (1, 1)
        one()
        one()
        ticket.leave()
        await turns()
        assert (it.abandoned, it.in_flight) == (1, 1)
        other()
        await turns()
        assert (it.abandoned, it.stuck_since, it.in_flight) == (0, None, 0)
        assert ticket.abandon()() is None

    loop.run_until_complete(main())


def test_code_that_stops_before_its_caller_has_left(loop: Loop) -> None:
    """The place is kept until the caller leaves, and is then free."""

    async def main() -> None:
        it = limiter(loop)
        ticket = admitted(it, loop)
        await ticket.enter(None)
        ticket.abandon()()
        await turns()
        assert (it.abandoned, it.in_flight) == (0, 1)
        ticket.leave()
        await turns()
        assert it.in_flight == 0

    loop.run_until_complete(main())


async def test_a_thread_says_that_it_has_stopped() -> None:
    """What `abandon` returns may be called on any thread, and hands the place to who waits."""
    it = Limiter(1, queue=1, budget=1.0, ceiling=None)
    ticket = it.admit(0.0)
    assert ticket
    await ticket.enter(None)
    stopped = ticket.abandon()
    ticket.leave()
    waiting = it.admit(0.0)
    assert waiting
    thread = threading.Thread(target=stopped)
    thread.start()
    async with asyncio.timeout(5):
        await waiting.enter(None)
    thread.join()
    waiting.leave()
    assert it.abandoned == 0


def test_a_thread_that_outlives_the_loop() -> None:
    """It may say that it has stopped, and nothing happens."""

    async def abandoned() -> Any:
        ticket = Limiter(1, queue=1, budget=1.0, ceiling=None).admit(0.0)
        assert ticket
        await ticket.enter(None)
        return ticket.abandon()

    assert asyncio.run(abandoned())() is None


def test_auto_grows_beyond_what_is_abandoned(loop: Loop) -> None:
    """Calls that hang hold every place until the limit has grown, as far as it may; then they are stuck."""

    async def main() -> None:
        it = limiter(loop, "auto", ceiling=20)
        for wanted in (8, 16, 20):
            while it.abandoned < wanted:
                ticket = admitted(it, loop)
                await ticket.enter(None)
                ticket.abandon()
                ticket.leave()
            assert it.stuck_since == loop.now
            for _ in range(120):
                loop.burn(0.01)
                it.lag(0.0)
        assert (it.limit, it.admit(loop.now) is None, it.stuck_since is None) == (20, False, False)

    loop.run_until_complete(main())


def test_a_ticket_that_is_dropped(loop: Loop) -> None:
    """What it held comes back when somebody needs it, whether that was a place or one in the queue."""

    async def main() -> None:
        it = limiter(loop, 1, queue=1)
        await admitted(it, loop).enter(None)
        assert (it.in_flight, it.waiting) == (1, 0)
        ticket = admitted(it, loop)
        assert (it.in_flight, it.waiting) == (0, 1)
        admitted(it, loop)
        assert it.waiting == 2
        other = admitted(it, loop)
        assert it.waiting == 2
        ticket.leave()
        other.leave()
        assert (it.in_flight, it.waiting) == (0, 0)

    loop.run_until_complete(main())


def test_the_ceiling_may_be_told_later(loop: Loop) -> None:
    """Threads bound a number and auto alike, as soon as it is known that the code needs them."""
    number, auto = limiter(loop, 100), limiter(loop, "auto")
    number.bound(64)
    auto.bound(2)
    assert (number.limit, auto.limit) == (64, 2)
    number.bound(None)
    assert (number.limit, limiter(loop, 5, ceiling=3).limit) == (100, 3)


def test_a_higher_limit_lets_in_who_waits(loop: Loop) -> None:
    """Two who wait get in as soon as there are three places; a lower limit sends nobody out, and lets nobody in."""

    async def main() -> None:
        it = limiter(loop, 3, ceiling=1)
        guests = [Guest(admitted(it, loop)) for _ in range(4)]
        await turns()
        it.bound(3)
        await turns()
        assert [each.inside for each in guests] == [True, True, True, False]
        it.bound(1)
        guests[0].go.set()
        guests[1].go.set()
        await turns()
        assert ([each.inside for each in guests], it.in_flight) == ([False, False, True, False], 1)
        guests[2].go.set()
        guests[3].go.set()
        await asyncio.gather(*(each.task for each in guests))

    loop.run_until_complete(main())


def test_the_integral_of_places_over_time(loop: Loop) -> None:
    """Two places for three seconds are six place-seconds, while they last as well as after."""

    async def main() -> None:
        it = limiter(loop, 2)
        guests = [Guest(admitted(it, loop)) for _ in range(2)]
        await turns(1)
        loop.burn(3.0)
        assert it.statistics().inflight_seconds == pytest.approx(6.0, abs=0.01)
        for guest in guests:
            guest.go.set()
        await turns()
        loop.burn(5.0)
        assert it.statistics().inflight_seconds == pytest.approx(6.0, abs=0.01)

    loop.run_until_complete(main())


def test_the_delay_runs_from_the_arrival_to_the_codes_start(loop: Loop) -> None:
    """What a question waited before it was admitted, in line, and for its turn of the loop, all counts."""

    async def main() -> None:
        it = limiter(loop)
        first = Guest(admitted(it, loop))
        await turns()
        ticket = it.admit(loop.now - 1.0)
        assert ticket
        second = Guest(ticket)
        await turns()
        loop.burn(2.0)
        first.go.set()
        await turns()
        assert second.inside
        found = it.statistics()
        assert found.delays == 2
        assert found.delay_seconds == pytest.approx(3.0, abs=0.01)
        second.go.set()
        await second.task

    loop.run_until_complete(main())


def test_retry_after_is_spread() -> None:
    """It is 1, 2 or 3 seconds."""
    assert [retry_after(lambda draw=draw: draw) for draw in (0.0, 0.34, 0.67, 0.999)] == [1, 2, 3, 3]  # type: ignore[misc]  # a default binds the number
    assert {retry_after() for _ in range(200)} == {1, 2, 3}
