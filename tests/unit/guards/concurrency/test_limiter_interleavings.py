"""The limiter under any interleaving: a place is never lost nor given twice, and who came first is served first."""

import asyncio
import random
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.errors import Overloaded
from service.guards.limiter import Limiter, Ticket
from tests.guards.simulation import Loop


class Visit:
    """One question: waiting, inside, or over."""

    def __init__(self, number: int, until: float | None) -> None:
        self.number, self.until = number, until
        self.ticket: Ticket | None = None  # only once inside: where it was dropped, nobody else may hold it
        self.go = asyncio.Event()
        self.state = "waiting"
        self.task: asyncio.Task[None] | None = None


class Interleavings(RuleBasedStateMachine):
    """Questions that come, wait, run, end, are cancelled, expire and are abandoned, while limit and time change."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(iter(()), lambda _: None, random.Random(1))
        self.visits: list[Visit] = []
        self.astray: list[tuple[Visit, Callable[[], None]]] = []
        self.asked = self.entered = self.left = self.late = self.refused = 0

    @initialize(places=st.sampled_from([1, 2, 5, "auto"]), queue=st.integers(0, 6))
    def begin(self, places: int, queue: int) -> None:
        """Make a limiter of any size."""
        self.queue = queue
        time = self.loop.time
        self.limiter = Limiter(places, queue=queue, budget=0.1, ceiling=20, clock=time, cpu=lambda: 0.0)
        self.highest = self.limiter.limit

    @rule(patiences=st.lists(st.none() | st.floats(0.0, 0.5), min_size=1, max_size=6), turns=st.integers(0, 3))
    def come(self, patiences: list[float | None], turns: int) -> None:
        """Have some ask and, where they are admitted, enter; each as patient as drawn."""
        for patience in patiences:
            ticket = self._ask()
            if ticket:
                visit = Visit(self.asked, None if patience is None else self.loop.now + patience)
                self.visits.append(visit)
                visit.task = self.loop.create_task(self._visit(visit, ticket))
        self._turn(turns)

    @rule()
    def come_and_go(self) -> None:
        """Have one ask and leave without entering."""
        ticket = self._ask()
        if ticket:
            ticket.leave()
            self.left += 1

    @precondition(lambda self: self._some("inside"))
    @rule(which=st.integers(0, 100), burns=st.sampled_from([0.0, 0.0005, 0.004, 0.2]))
    def finish(self, which: int, burns: float) -> None:
        """Have a call end, after some work."""
        self.loop.burn(burns)
        inside = self._some("inside")
        inside[which % len(inside)].go.set()

    @precondition(lambda self: self._some("inside", "waiting"))
    @rule(which=st.integers(0, 100))
    def cancel(self, which: int) -> None:
        """Have a client leave, wherever it is."""
        some = self._some("inside", "waiting")
        self._cancel(some[which % len(some)])

    @precondition(lambda self: self._some("inside") and self._some("waiting"))
    @rule(turns=st.integers(1, 4), which=st.integers(0, 1))
    def race(self, turns: int, which: int) -> None:
        """Have a call end, and the client leave who is next, at about the same time."""
        self._turn(4)
        for visit in self._some("inside")[:1]:
            visit.go.set()
        self._turn(turns)
        for visit in self._some("waiting")[which : which + 1]:
            self._cancel(visit)

    @precondition(lambda self: self._some("inside"))
    @rule(which=st.integers(0, 100), threads=st.integers(1, 3), leaves=st.booleans())
    def abandon(self, which: int, threads: int, leaves: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Have a client leave whose code goes on in threads; or only a part of its code be left."""
        inside = self._some("inside")
        visit = inside[which % len(inside)]

        async def abandon() -> None:
            if visit.state != "inside" or visit.ticket is None:
                return  # it has ended in this very turn
            self.astray.extend((visit, visit.ticket.abandon()) for _ in range(threads))
            if leaves:
                self._cancel(visit)

        self.loop.run_until_complete(abandon())

    @precondition(lambda self: self.astray)
    @rule(which=st.integers(0, 100))
    def stop(self, which: int) -> None:
        """Have such a thread stop, and say so twice."""
        _, stopped = self.astray.pop(which % len(self.astray))
        stopped()
        stopped()

    @rule(seconds=st.sampled_from([0.0, 0.03, 0.2]), times=st.integers(1, 30))
    def lag(self, seconds: float, times: int) -> None:
        """Have the loop be late, or on time, for a while."""
        for _ in range(times):
            self.loop.burn(0.02)
            self.limiter.lag(seconds)
        self.highest = max(self.highest, self.limiter.limit)

    @rule(ceiling=st.integers(1, 20))
    def bound(self, ceiling: int) -> None:
        """Set another ceiling."""
        self.limiter.bound(ceiling)
        assert 1 <= self.limiter.limit <= ceiling
        self.highest = max(self.highest, self.limiter.limit)

    @rule(times=st.integers(1, 3))
    def turn(self, times: int) -> None:
        """Let the loop turn."""
        self._turn(times)

    @rule(seconds=st.sampled_from([0.01, 0.3]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.run_until_complete(self.loop.elapse(seconds))

    @rule()
    def shed(self) -> None:
        """Turn away all who wait."""
        self.limiter.shed()

    @invariant()
    def bounds(self) -> None:
        """No more wait than may, nobody in line by a free place, and no place is taken that never was."""
        if hasattr(self, "limiter"):
            found = self.limiter.statistics()
            assert 0 <= found.in_flight <= self.highest
            assert 0 <= found.waiting <= self.queue + self.highest
            assert not self.limiter._places.line or found.in_flight >= found.limit
            assert 0 <= found.abandoned <= found.in_flight
            assert (found.abandoned >= found.limit) == (self.limiter.stuck_since is not None)
            assert found.admitted == self.asked - self.refused
            assert found.shed_queue_full + found.shed_overloaded == self.refused

    @rule()
    def settle(self) -> None:
        """Once the loop has turned, what is taken is what is inside or goes on, and nobody waits by a free place."""
        self._turn(8)
        self._drop()  # which may also be when the limit changes
        self._turn(8)
        held = {visit.number for visit, _ in self.astray} | {visit.number for visit in self._some("inside")}
        assert self.limiter.in_flight == len(held)
        assert self.limiter.abandoned == len({visit.number for visit, _ in self.astray})
        assert self.limiter.waiting == len(self._some("waiting"))
        assert not self.limiter.waiting or self.limiter.in_flight >= self.limiter.limit

    def teardown(self) -> None:
        """In the end every place is free, everybody is accounted for, and the next one gets in."""
        try:
            if hasattr(self, "limiter"):
                self._end()
        finally:
            self.loop.close()

    def _end(self) -> None:
        for _, stopped in self.astray:
            stopped()
        self.astray.clear()
        for _ in range(len(self.visits) + 1):
            for visit in self._some("inside"):
                visit.go.set()
            self._turn(4)
        self._drop()
        found = self.limiter.statistics()
        assert (found.in_flight, found.waiting, found.abandoned) == (0, 0, 0)
        assert found.delays == self.entered
        assert self.late <= found.shed_late <= self.late + self.left  # some are shed and leave in the same turn
        assert found.admitted == self.entered + self.late + self.left
        assert self.limiter.admit(self.loop.now)

    def _ask(self) -> Ticket | None:
        """Ask to be admitted, which must be granted where a place is free."""
        room = self.limiter.waiting + self.limiter.in_flight < self.limiter.limit
        self.loop.burn(1e-6)  # so that the time tells who was first
        ticket = self.limiter.admit(self.loop.now)
        assert ticket or not room
        self.asked += 1
        self.refused += ticket is None
        return ticket

    async def _visit(self, visit: Visit, ticket: Ticket) -> None:
        try:
            await ticket.enter(visit.until)
            visit.ticket = ticket
            self._enter(visit)
            await visit.go.wait()
        except (TimeoutError, Overloaded):
            self.late += 1
        except asyncio.CancelledError:
            self.left += visit.state == "waiting"
        finally:
            visit.state = "over"
            ticket.leave()

    def _enter(self, visit: Visit) -> None:
        assert visit.ticket
        assert all(other.arrived > visit.ticket.arrived for other in self.limiter._places.line)
        assert self.limiter.in_flight <= self.highest
        visit.state = "inside"
        self.entered += 1

    def _turn(self, times: int) -> None:
        for _ in range(times):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def _drop(self) -> None:
        """Account for those whose task was cancelled before its first step, and have the limiter do so."""
        for visit in self._some("waiting"):
            if visit.task and visit.task.done():
                visit.state, visit.task = "over", None
                self.left += 1
        self.limiter.lag(0.0)

    def _cancel(self, visit: Visit) -> None:
        if visit.task:
            visit.task.cancel()

    def _some(self, *states: str) -> list[Visit]:
        return [visit for visit in self.visits if visit.state in states]


TestInterleavings = Interleavings.TestCase
"""Hypothesis makes a unittest of it."""
TestInterleavings.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
