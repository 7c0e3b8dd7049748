"""The concurrency limiter under random interleavings: no slot is lost or granted twice, and order is kept."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from askd.errors import Overloaded
from askd.guards.concurrency import ConcurrencyLimiter, Permit
from tests.support.simulated_server import SimulatedLoop

MAX_CONCURRENCY = 20


class Request:
    """A request that is waiting, running or over."""

    def __init__(self, number: int, deadline: float | None) -> None:
        self.number, self.deadline = number, deadline
        self.permit: Permit | None = None  # set while running only: a reference would keep a leaked permit alive
        self.finish = asyncio.Event()
        self.state = "waiting"
        self.task: asyncio.Task[None] | None = None


class Interleavings(RuleBasedStateMachine):
    """Requests arrive, wait, run, end, are cancelled, expire and detach calls, while limit and time change."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SimulatedLoop(iter(()), lambda _: None, random.Random(1))
        self.requests: list[Request] = []
        self.detached_calls: list[tuple[Request, Callable[[], None]]] = []
        self.arrived = self.started = self.left = self.late = self.shed = self.shed_from_queue = 0

    @initialize(concurrency=st.sampled_from([1, 2, 5, "auto"]), queue_size=st.integers(0, 6))
    def make_limiter(self, concurrency: int, queue_size: int) -> None:
        """Make a limiter of any size."""
        self.queue_size = queue_size
        self.limiter = ConcurrencyLimiter(
            concurrency,
            queue_size=queue_size,
            target_delay=0.1,
            max_concurrency=MAX_CONCURRENCY,
            clock=self.loop.time,
            cpu_time=lambda: 0.0,
        )
        self.highest_limit = self.limiter.limit

    @rule(
        timeouts=st.lists(st.none() | st.floats(0.0, 0.5), min_size=1, max_size=6),
        iterations=st.integers(0, 3),
    )
    def arrive(self, timeouts: list[float | None], iterations: int) -> None:
        """Let requests arrive and, if admitted, acquire their permit with these timeouts."""
        for timeout in timeouts:
            permit = self._admit()
            if permit:
                request = Request(self.arrived, None if timeout is None else self.loop.now + timeout)
                self.requests.append(request)
                request.task = self.loop.create_task(self._run(request, permit))
        self._run_iterations(iterations)

    @rule()
    def arrive_and_leave(self) -> None:
        """Let a request arrive and release its permit without acquiring it."""
        permit = self._admit()
        if permit:
            permit.release()
            self.left += 1

    @precondition(lambda self: self._in_state("running"))
    @rule(index=st.integers(0, 100), cpu_seconds=st.sampled_from([0.0, 0.0005, 0.004, 0.2]))
    def finish(self, index: int, cpu_seconds: float) -> None:
        """Finish a running request, after some CPU time."""
        self.loop.use_cpu(cpu_seconds)
        running = self._in_state("running")
        running[index % len(running)].finish.set()

    @precondition(lambda self: self._in_state("running", "waiting"))
    @rule(index=st.integers(0, 100))
    def cancel(self, index: int) -> None:
        """Cancel any request that is not over."""
        cancellable = self._in_state("running", "waiting")
        self._cancel(cancellable[index % len(cancellable)])

    @precondition(lambda self: self._in_state("running") and self._in_state("waiting"))
    @rule(iterations=st.integers(1, 4), index=st.integers(0, 1))
    def cancel_while_granted(self, iterations: int, index: int) -> None:
        """Finish a request, and cancel the next in the queue at about the same time."""
        self._run_iterations(4)
        for request in self._in_state("running")[:1]:
            request.finish.set()
        self._run_iterations(iterations)
        for request in self._in_state("waiting")[index : index + 1]:
            self._cancel(request)

    @precondition(lambda self: self._in_state("running"))
    @rule(index=st.integers(0, 100), threads=st.integers(1, 3), cancel=st.booleans())
    def detach(self, index: int, threads: int, cancel: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Detach calls of a running request, which may be cancelled then or continue."""
        running = self._in_state("running")
        request = running[index % len(running)]

        async def detach() -> None:
            if request.state != "running" or request.permit is None:
                return  # it has ended in this very iteration
            self.detached_calls.extend((request, request.permit.detach()) for _ in range(threads))
            if cancel:
                self._cancel(request)

        self.loop.run_until_complete(detach())

    @precondition(lambda self: self.detached_calls)
    @rule(index=st.integers(0, 100))
    def stop_detached_call(self, index: int) -> None:
        """Let a detached call stop, and report it twice."""
        _, stopped = self.detached_calls.pop(index % len(self.detached_calls))
        stopped()
        stopped()

    @rule(seconds=st.sampled_from([0.0, 0.03, 0.2]), count=st.integers(1, 30))
    def record_loop_lag(self, seconds: float, count: int) -> None:
        """Let the loop be late, or on time, for a while."""
        for _ in range(count):
            self.loop.use_cpu(0.02)
            self._record_loop_lag(seconds)

    @rule(max_concurrency=st.integers(1, MAX_CONCURRENCY))
    def set_max_concurrency(self, max_concurrency: int) -> None:
        """Change the upper bound."""
        self.limiter.set_max_concurrency(max_concurrency)
        assert 1 <= self.limiter.limit <= max_concurrency
        self.highest_limit = max(self.highest_limit, self.limiter.limit)

    @rule(count=st.integers(1, 3))
    def run_iterations(self, count: int) -> None:
        """Run some loop iterations."""
        self._run_iterations(count)

    @rule(seconds=st.sampled_from([0.01, 0.3]))
    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.run_until_complete(self.loop.sleep(seconds))

    @precondition(lambda self: self.limiter._slots.waiters)
    @rule(index=st.integers(0, 100))
    def release_while_waiting(self, index: int) -> None:
        """Release a permit whose `acquire()` is pending."""
        waiters = list(self.limiter._slots.waiters)
        waiters[index % len(waiters)].release()

    @invariant()
    def bounds_hold(self) -> None:
        """Queue and slots stay within their bounds, and nobody waits for a free slot."""
        if hasattr(self, "limiter"):
            statistics = self.limiter.statistics()
            assert 0 <= statistics.in_flight <= self.highest_limit
            # In slow start as many requests may wait as slots are about to be added.
            longest_queue = max(self.queue_size + self.highest_limit, MAX_CONCURRENCY)
            assert 0 <= statistics.waiting <= longest_queue
            assert not self.limiter._slots.waiters or statistics.in_flight >= statistics.limit
            assert 0 <= statistics.detached <= statistics.in_flight
            assert (statistics.detached >= statistics.limit) == (self.limiter.exhausted_since is not None)
            assert statistics.admitted == self.arrived - self.shed
            assert statistics.shed_queue_full + statistics.shed_overloaded == self.shed + self.shed_from_queue

    @rule()
    def settle(self) -> None:
        """Once the loop is idle, the slots in use are those of running requests and detached calls."""
        self._run_iterations(8)
        self._reclaim_leaked()  # which may also change the limit
        self._run_iterations(8)
        with_detached_calls = {request.number for request, _ in self.detached_calls}
        running = {request.number for request in self._in_state("running")}
        assert self.limiter.in_flight == len(with_detached_calls | running)
        assert self.limiter.detached == len(with_detached_calls)
        assert self.limiter.waiting == len(self._in_state("waiting"))
        assert not self.limiter.waiting or self.limiter.in_flight >= self.limiter.limit

    def teardown(self) -> None:
        """In the end all slots are free, all requests are counted, and the next request is admitted."""
        try:
            if hasattr(self, "limiter"):
                self._finish_all()
        finally:
            self.loop.close()

    def _finish_all(self) -> None:
        for _, stopped in self.detached_calls:
            stopped()
        self.detached_calls.clear()
        for _ in range(len(self.requests) + 1):
            for request in self._in_state("running"):
                request.finish.set()
            self._run_iterations(4)
        self._reclaim_leaked()
        statistics = self.limiter.statistics()
        assert (statistics.in_flight, statistics.waiting, statistics.detached) == (0, 0, 0)
        assert statistics.started == self.started
        # A request that expires and is cancelled in the same iteration counts as both.
        assert self.late <= statistics.shed_late <= self.late + self.left
        assert statistics.admitted == self.started + self.late + self.left
        assert self.limiter.admit(self.loop.now)

    def _admit(self) -> Permit | None:
        """Ask for a permit, which must be granted if a slot is free."""
        has_free_slot = self.limiter.waiting + self.limiter.in_flight < self.limiter.limit
        self.loop.use_cpu(1e-6)  # so that arrival times are distinct
        permit = self.limiter.admit(self.loop.now)
        assert permit or not has_free_slot
        self.arrived += 1
        self.shed += permit is None
        return permit

    async def _run(self, request: Request, permit: Permit) -> None:
        try:
            await permit.acquire(request.deadline)
            request.permit = permit
            self._record_start(request)
            await request.finish.wait()
        except TimeoutError:
            self.late += 1
        except Overloaded:
            self.left += 1
        except asyncio.CancelledError:
            self.left += request.state == "waiting"
        finally:
            request.state = "over"
            permit.release()

    def _record_start(self, request: Request) -> None:
        assert request.permit
        assert all(waiter.received_at > request.permit.received_at for waiter in self.limiter._slots.waiters)
        assert self.limiter.in_flight <= self.highest_limit
        request.state = "running"
        self.started += 1

    def _run_iterations(self, count: int) -> None:
        for _ in range(count):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def _reclaim_leaked(self) -> None:
        """Count the requests whose task was cancelled before its first step, and let the limiter reclaim them."""
        for request in self._in_state("waiting"):
            if request.task and request.task.done():
                request.state, request.task = "over", None
                self.left += 1
        self._record_loop_lag(0.0)

    def _record_loop_lag(self, seconds: float) -> None:
        """Record a sample, which may shed the newest requests if no slots will be added for them after all."""
        waiters, shed = list(self.limiter._slots.waiters), self.limiter.statistics().shed_queue_full
        self.limiter.record_loop_lag(seconds)
        shed_from_queue = self.limiter.statistics().shed_queue_full - shed
        oldest = waiters[: len(waiters) - shed_from_queue]
        assert all(waiter not in self.limiter._slots.waiters for waiter in waiters[len(oldest) :])
        self.shed_from_queue += shed_from_queue
        self.highest_limit = max(self.highest_limit, self.limiter.limit)

    def _cancel(self, request: Request) -> None:
        if request.task:
            request.task.cancel()

    def _in_state(self, *states: str) -> list[Request]:
        return [request for request in self.requests if request.state in states]


TestInterleavings = pytest.mark.slow(Interleavings.TestCase)
TestInterleavings.settings = settings(max_examples=300, stateful_step_count=40)
