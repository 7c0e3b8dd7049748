"""Single flight under arrivals, cancellations, deadlines and failures in any order, on a loop turned by hand."""

import asyncio
import enum

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.errors import NoAnswer
from service.guards.flight import Flight, Flights
from tests.fakes import Clock
from tests.guards.by_hand import HandLoop

KEYS = st.integers(0, 1)


class Manner(enum.Enum):
    """What code does when it is cancelled."""

    STOPS = "stops"
    LINGERS = "lingers"
    RETURNS = "returns"
    RAISES = "raises"


class Call:
    """One call of the code, which ends when and as the test says."""

    def __init__(self, machine: "Interleavings", key: int, manner: Manner) -> None:
        self.machine = machine
        self.key = key
        self.manner = manner
        self.task: asyncio.Task[object] | None = None
        self.end = machine.loop.create_future()
        self.error = NoAnswer([str(key)])
        self.over = False

    @property
    def wanted(self) -> bool:
        """Whether it is under way, and nobody has told it to stop."""
        return self.task is not None and not self.over and not self.task.cancelling()

    async def run(self, _flight: Flight) -> "Call":
        """Begin, which no other of this key that is still wanted may have done; end as told."""
        assert not [call for call in self.machine.calls if call.key == self.key and call.wanted]
        self.task = asyncio.current_task()
        self.machine.calls.append(self)
        try:
            await asyncio.shield(self.end)
        except asyncio.CancelledError:
            if self.manner is Manner.STOPS:
                raise
            if self.manner is Manner.LINGERS:
                await self.end
            if self.manner is Manner.RAISES:
                raise ValueError("raised while it was stopped") from None
        finally:
            self.over = True
        return self


class Waiter:
    """One who asks. `until` is their deadline; `told` what they were told at once of who leads."""

    def __init__(self, machine: "Interleavings", key: int, until: float | None, manner: Manner) -> None:
        self.key = key
        self.until = until
        self.left = False
        self.told: list[str] = []
        call = Call(machine, key, manner)
        number = str(len(machine.waiters))
        fly = machine.flights.fly(key, call.run, until=until, name=number, joined=self.told.append)
        self.task = machine.loop.create_task(fly)


class Interleavings(RuleBasedStateMachine):
    """Everybody gets one outcome that is theirs, with as few calls as can be, and nothing is left over."""

    @initialize()
    def begin(self) -> None:
        """Start with an idle loop."""
        self.clock = Clock()
        self.loop = HandLoop(self.clock)
        self.flights = Flights[Call](clock=self.clock)
        self.calls: list[Call] = []
        self.waiters: list[Waiter] = []
        self.errors: list[BaseException] = []  # held, so that no id is given twice

    @rule(key=KEYS, seconds=st.none() | st.integers(0, 4), manner=st.sampled_from(Manner))
    def arrive(self, key: int, seconds: int | None, manner: Manner) -> None:
        """Ask, with so much time."""
        until = None if seconds is None else self.clock.now + seconds
        self.waiters.append(Waiter(self, key, until, manner))

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Cancel one who waits."""
        waiter = data.draw(st.sampled_from(self.waiters))
        if not waiter.task.done():
            waiter.left = waiter.task.cancel() or waiter.left

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), fails=st.booleans())
    def finish(self, data: st.DataObject, *, fails: bool) -> None:
        """Let a call come to its end."""
        call = data.draw(st.sampled_from(self.calls))
        if call.end.done():
            return
        if fails:
            call.end.set_exception(call.error)
        else:
            call.end.set_result(None)

    @rule(seconds=st.integers(1, 3))
    def advance(self, seconds: int) -> None:
        """Let time pass, of which the loop hears at its next turn."""
        self.clock.advance(seconds)

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        """Let things happen, but not to their end."""
        for _ in range(turns):
            self.loop.turn()

    @rule()
    def settle(self) -> None:
        """Let everything happen that can: then who waits has time left and a call, and every call has who waits."""
        self.loop.settle()
        waiting = [waiter for waiter in self.waiters if not waiter.task.done()]
        assert all(not w.left and (w.until is None or w.until > self.clock.now) for w in waiting)
        wanted = sorted(call.key for call in self.calls if call.wanted)
        assert wanted == sorted({waiter.key for waiter in waiting})
        found = self.flights.statistics()
        unwanted = sum(not call.over and not call.wanted for call in self.calls)
        assert (found.under_way, found.stopping) == (len(wanted), unwanted)

    @invariant()
    def outcomes_are_their_own(self) -> None:
        """Whoever is done has what a call of their question returned or raised, or left, or was out of time."""
        for waiter in [each for each in self.waiters if each.task.done()]:
            if waiter.task.cancelled():
                assert waiter.left
            elif isinstance(error := waiter.task.exception(), TimeoutError):
                assert waiter.until is not None
                assert waiter.until <= self.clock.now
            elif error:
                assert isinstance(error, NoAnswer)
                assert error.members["suggestions"] == [str(waiter.key)]
                assert all(error is not other for other in [call.error for call in self.calls])
            else:
                call, led = waiter.task.result()
                assert call.key == waiter.key
                assert led == (not waiter.told)

    @invariant()
    def counts_add_up(self) -> None:
        """Who asked has led, joined, or not been let in; no call began that nobody led."""
        found = self.flights.statistics()
        assert found.joined == sum(len(waiter.told) for waiter in self.waiters)
        assert len(self.calls) <= found.led <= len(self.waiters) - found.joined

    def teardown(self) -> None:
        """Let all leave and all calls end: nothing is left, nor an error that nobody took."""
        if not hasattr(self, "loop"):
            return
        for waiter in self.waiters:
            waiter.task.cancel()
        self.loop.settle()
        for call in self.calls:
            if not call.end.done():
                call.end.set_result(None)
        self.loop.settle()
        assert all(waiter.task.done() for waiter in self.waiters)
        assert (self.flights._under_way, self.flights._stopping) == ({}, set())
        for call in self.calls:
            if not call.end.cancelled():
                call.end.exception()  # one that nobody awaited when it was set is the test's own
        self.loop.end()


Interleavings.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestInterleavings = Interleavings.TestCase
"""Hypothesis makes a unittest of it."""
