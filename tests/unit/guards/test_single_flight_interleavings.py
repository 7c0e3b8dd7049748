"""Single flight under arrivals, cancellations and failures in random order, on a manual event loop."""

import asyncio
import enum

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from askd.errors import NoAnswer
from askd.guards.single_flight import SingleFlight
from tests.support.fakes import Clock
from tests.support.manual_loop import ManualLoop

KEYS = st.integers(0, 1)


class CancelBehaviour(enum.Enum):
    """Reaction of a call to its cancellation."""

    STOPS = "stops"
    CONTINUES = "continues"
    RETURNS = "returns"
    RAISES = "raises"


class Call:
    """A call whose outcome the test sets."""

    def __init__(self, machine: "Interleavings", key: int, behaviour: CancelBehaviour) -> None:
        self.machine = machine
        self.key = key
        self.behaviour = behaviour
        self.task: asyncio.Task[object] | None = None
        self.outcome = machine.loop.create_future()
        self.error = NoAnswer([str(key)])
        self.over = False

    @property
    def is_in_flight(self) -> bool:
        """Whether the call runs and was not cancelled."""
        return self.task is not None and not self.over and not self.task.cancelling()

    async def run(self) -> "Call":
        """Run; no other call for this key may be in flight."""
        assert not [call for call in self.machine.calls if call.key == self.key and call.is_in_flight]
        self.task = asyncio.current_task()
        self.machine.calls.append(self)
        try:
            await asyncio.shield(self.outcome)
        except asyncio.CancelledError:
            if self.behaviour is CancelBehaviour.STOPS:
                raise
            if self.behaviour is CancelBehaviour.CONTINUES:
                await self.outcome
            if self.behaviour is CancelBehaviour.RAISES:
                raise ValueError("raised when it was cancelled") from None
        finally:
            self.over = True
        return self


class Request:
    """A request, and the leader's id if it joined a call."""

    def __init__(self, machine: "Interleavings", key: int, behaviour: CancelBehaviour) -> None:
        self.key = key
        self.was_cancelled = False
        self.leader_ids: list[str] = []
        call = Call(machine, key, behaviour)
        result = machine.single_flight.do(
            key, call.run, request_id=str(len(machine.requests)), on_join=self.leader_ids.append
        )
        self.task = machine.loop.create_task(result)


class Interleavings(RuleBasedStateMachine):
    """Each request gets one outcome of a call for its key, with the minimum number of calls."""

    @initialize()
    def start(self) -> None:
        """Start with an idle loop."""
        self.loop = ManualLoop(Clock())
        self.single_flight = SingleFlight[Call]()
        self.calls: list[Call] = []
        self.requests: list[Request] = []

    @rule(key=KEYS, behaviour=st.sampled_from(CancelBehaviour))
    def arrive(self, key: int, behaviour: CancelBehaviour) -> None:
        """Let a request arrive."""
        self.requests.append(Request(self, key, behaviour))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel a request."""
        request = data.draw(st.sampled_from(self.requests))
        if not request.task.done():
            request.was_cancelled = request.task.cancel() or request.was_cancelled

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), fails=st.booleans())
    def finish(self, data: st.DataObject, *, fails: bool) -> None:
        """Let a call return or raise."""
        call = data.draw(st.sampled_from(self.calls))
        if call.outcome.done():
            return
        if fails:
            call.outcome.set_exception(call.error)
        else:
            call.outcome.set_result(None)

    @rule(iterations=st.integers(1, 3))
    def run_iterations(self, iterations: int) -> None:
        """Run some loop iterations."""
        for _ in range(iterations):
            self.loop.run_once()

    @rule()
    def settle(self) -> None:
        """Once the loop is idle, each waiting request has a call, and each call has a waiter."""
        self.loop.run_until_idle()
        waiting = [request for request in self.requests if not request.task.done()]
        for request in waiting:
            assert not request.was_cancelled
        keys_in_flight = sorted(call.key for call in self.calls if call.is_in_flight)
        assert keys_in_flight == sorted({request.key for request in waiting})
        statistics = self.single_flight.statistics()
        cancelling = sum(not call.over and not call.is_in_flight for call in self.calls)
        assert (statistics.in_flight, statistics.cancelling) == (len(keys_in_flight), cancelling)

    @invariant()
    def outcomes_match(self) -> None:
        """A finished request has the result or error of a call for its key, or was cancelled."""
        for request in [request for request in self.requests if request.task.done()]:
            if request.task.cancelled():
                assert request.was_cancelled
            elif error := request.task.exception():
                assert isinstance(error, NoAnswer)
                assert error.extensions["suggestions"] == [str(request.key)]
                assert all(error is not call.error for call in self.calls)
            else:
                call, is_leader = request.task.result()
                assert call.key == request.key
                assert is_leader == (not request.leader_ids)

    @invariant()
    def counts_add_up(self) -> None:
        """A request is a leader, a follower or was rejected; each call has a leader."""
        statistics = self.single_flight.statistics()
        assert statistics.followers == sum(len(request.leader_ids) for request in self.requests)
        assert len(self.calls) <= statistics.leaders <= len(self.requests) - statistics.followers

    def teardown(self) -> None:
        """After all requests and calls have ended, no state and no unhandled error is left."""
        if not hasattr(self, "loop"):
            return
        for request in self.requests:
            request.task.cancel()
        self.loop.run_until_idle()
        for call in self.calls:
            if not call.outcome.done():
                call.outcome.set_result(None)
        self.loop.run_until_idle()
        assert all(request.task.done() for request in self.requests)
        assert (self.single_flight._in_flight, self.single_flight._cancelling) == ({}, set())
        for call in self.calls:
            if not call.outcome.cancelled():
                call.outcome.exception()  # retrieved, because a cancelled call did not await it
        self.loop.close_checked()


Interleavings.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestInterleavings = Interleavings.TestCase
