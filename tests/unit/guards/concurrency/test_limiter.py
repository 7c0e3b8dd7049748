"""The concurrency limiter: slots, queue, load shedding and detached calls, on a simulated clock."""

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from askd.errors import Overloaded
from askd.guards.concurrency import ConcurrencyLimiter, Permit, jittered_retry_after
from tests.support.simulated_server import SimulatedLoop


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    """Yield a loop on a simulated clock."""
    simulated_loop = SimulatedLoop(iter(()), lambda _: None, random.Random(1))
    yield simulated_loop
    simulated_loop.run_until_complete(simulated_loop.shutdown_asyncgens())
    simulated_loop.close()


def make_limiter(
    loop: SimulatedLoop,
    concurrency: Any = 1,
    *,
    queue_size: int = 64,
    target_delay: float = 0.1,
    max_concurrency: int | None = None,
) -> ConcurrencyLimiter:
    """Make a limiter on the simulated clock."""
    return ConcurrencyLimiter(
        concurrency,
        queue_size=queue_size,
        target_delay=target_delay,
        max_concurrency=max_concurrency,
        clock=loop.time,
        cpu_time=lambda: 0.0,
    )


def admit(limiter: ConcurrencyLimiter, loop: SimulatedLoop) -> Permit:
    """Return a permit; fail if the request is shed."""
    permit = limiter.admit(loop.now)
    assert permit
    return permit


class Request:
    """A task that acquires a permit, and runs until `finish` is set."""

    def __init__(self, permit: Permit, deadline: float | None = None) -> None:
        self.permit = permit
        self.is_running = False
        self.finish = asyncio.Event()
        self.task = asyncio.create_task(self._run(deadline))

    async def _run(self, deadline: float | None) -> None:
        try:
            await self.permit.acquire(deadline)
            self.is_running = True
            await self.finish.wait()
        finally:
            self.is_running = False
            self.permit.release()


async def run_iterations(count: int = 6) -> None:
    """Let the event loop run some iterations."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_first_come_first_served(loop: SimulatedLoop) -> None:
    """With one slot, requests run one after the other, in order of arrival."""

    async def main() -> None:
        limiter = make_limiter(loop)
        requests = [Request(admit(limiter, loop)) for _ in range(3)]
        for number, request in enumerate(requests):
            await run_iterations()
            assert [other.is_running for other in requests] == [index == number for index in range(3)]
            assert (limiter.in_flight, limiter.waiting) == (1, 2 - number)
            request.finish.set()
        await run_iterations()
        assert (limiter.in_flight, limiter.waiting) == (0, 0)

    loop.run_until_complete(main())


def test_permit_counts_before_it_is_acquired(loop: SimulatedLoop) -> None:
    """Permits that were not acquired yet count towards the queue limit, until they are released."""
    limiter = make_limiter(loop, 1, queue_size=2)
    permits = [admit(limiter, loop) for _ in range(3)]
    assert limiter.admit(loop.now) is None
    assert (limiter.waiting, limiter.statistics().shed_queue_full) == (3, 1)
    permits[1].release()
    permits[1].release()
    assert limiter.waiting == 2
    assert limiter.admit(loop.now)


def test_queue_size_zero_disables_the_queue(loop: SimulatedLoop) -> None:
    """With a queue size of 0, a request is shed unless a slot is free."""

    async def main() -> None:
        limiter = make_limiter(loop, 2, queue_size=0)
        requests = [Request(admit(limiter, loop)) for _ in range(2)]
        assert limiter.admit(loop.now) is None
        await run_iterations()
        assert limiter.admit(loop.now) is None
        requests[0].finish.set()
        await run_iterations()
        requests[0] = Request(admit(limiter, loop))
        assert limiter.admit(loop.now) is None
        for request in requests:
            request.task.cancel()
        await run_iterations()

    loop.run_until_complete(main())


def test_late_loop_of_a_new_server_sheds_nothing_that_fits_into_the_queue(loop: SimulatedLoop) -> None:
    """In slow start, requests that queue for 300 ms on a busy node cause no shedding, although the loop is late."""

    async def main() -> None:
        limiter = make_limiter(loop, "auto")
        requests = [Request(admit(limiter, loop)) for _ in range(limiter.limit + 2)]
        for _ in range(30):
            await loop.sleep(0.01)
            limiter.record_loop_lag(0.02)
        requests += [Request(admit(limiter, loop)) for _ in range(60)]
        for request in requests:
            request.finish.set()
        await asyncio.gather(*(request.task for request in requests))

    loop.run_until_complete(main())


@pytest.mark.parametrize(("run_seconds", "immediately"), [(0.0001, True), (0.004, False)])
def test_long_calls_release_their_slot_after_the_iteration(
    loop: SimulatedLoop, run_seconds: float, *, immediately: bool
) -> None:
    """The slot of a short call is free immediately, that of a 4 ms call in the next loop iteration."""

    async def main() -> None:
        limiter = make_limiter(loop)
        permit = admit(limiter, loop)
        await permit.acquire(None)
        loop.use_cpu(run_seconds)
        permit.release()
        assert (limiter.in_flight == 0) == immediately
        await asyncio.sleep(0)
        assert limiter.in_flight == 0

    loop.run_until_complete(main())


def test_short_calls_add_up_within_an_iteration(loop: SimulatedLoop) -> None:
    """After calls of 0.1 ms have run for a millisecond in one iteration, slots are released at its end."""

    async def main() -> None:
        limiter = make_limiter(loop, 100)
        for _ in range(20):
            permit = admit(limiter, loop)
            await permit.acquire(None)
            loop.use_cpu(0.0001)
            permit.release()
        assert 0 < limiter.in_flight <= 11
        await asyncio.sleep(0)
        assert limiter.in_flight == 0

    loop.run_until_complete(main())


def test_at_most_limit_long_calls_run_per_iteration(loop: SimulatedLoop) -> None:
    """Of a hundred ready calls that never await, two run per loop iteration with two slots."""

    async def main() -> None:
        limiter, finished_in = make_limiter(loop, 2, queue_size=100), []

        async def call(permit: Permit) -> None:
            await permit.acquire(None)
            loop.use_cpu(0.004)
            permit.release()
            finished_in.append(iteration)

        iteration = 0
        tasks = [asyncio.create_task(call(admit(limiter, loop))) for _ in range(100)]
        while not all(task.done() for task in tasks):
            iteration += 1
            await asyncio.sleep(0)
        assert max(finished_in.count(number) for number in finished_in) == 2

    loop.run_until_complete(main())


@pytest.mark.parametrize("expires_in_queue", [False, True])
def test_expired_request_takes_no_slot(loop: SimulatedLoop, expires_in_queue: bool) -> None:  # noqa: FBT001 - a parametrized argument
    """A request past its deadline takes no slot, even if a busy loop is late to cancel it; the next request does."""

    async def main() -> None:
        limiter = make_limiter(loop)
        first = Request(admit(limiter, loop))
        await run_iterations()
        second = Request(admit(limiter, loop), deadline=loop.now + (1.0 if expires_in_queue else -1.0))
        third = Request(admit(limiter, loop))
        await run_iterations()
        loop.use_cpu(2.0)
        first.finish.set()
        await run_iterations()
        assert second.task.done()
        assert isinstance(second.task.exception(), TimeoutError)
        assert (third.is_running, limiter.in_flight, limiter.statistics().started) == (True, 1, 2)
        third.finish.set()
        await third.task

    loop.run_until_complete(main())


@pytest.mark.parametrize("when", ["queued", "granted"])
def test_cancelled_while_waiting(loop: SimulatedLoop, when: str) -> None:
    """A request that is cancelled in the queue, or in the iteration that grants its slot, keeps no slot."""

    async def main() -> None:
        limiter = make_limiter(loop)
        first, second, third = [Request(admit(limiter, loop)) for _ in range(3)]
        await run_iterations()
        if when == "queued":
            second.task.cancel()
        first.finish.set()
        while limiter.waiting == 2:  # noqa: ASYNC110 - stops in the very iteration that grants the slot
            await asyncio.sleep(0)
        second.task.cancel()
        await run_iterations()
        assert (third.is_running, limiter.in_flight, limiter.waiting) == (True, 1, 0)
        third.finish.set()
        await third.task
        assert limiter.in_flight == 0

    loop.run_until_complete(main())


def test_release_ends_a_pending_acquire(loop: SimulatedLoop) -> None:
    """If a queued permit is released, its pending `acquire()` raises Overloaded; other requests keep their place."""

    async def main() -> None:
        limiter = make_limiter(loop)
        first, second, third = [Request(admit(limiter, loop)) for _ in range(3)]
        await run_iterations()
        second.permit.release()
        with pytest.raises(Overloaded):
            await second.task
        assert (first.is_running, limiter.in_flight, limiter.waiting) == (True, 1, 1)
        first.finish.set()
        third.finish.set()
        await third.task

    loop.run_until_complete(main())


def test_released_permit_cannot_be_acquired(loop: SimulatedLoop) -> None:
    """`acquire()` after `release()` raises Overloaded."""

    async def main() -> None:
        limiter = make_limiter(loop)
        permit = admit(limiter, loop)
        permit.release()
        with pytest.raises(Overloaded):
            await permit.acquire(None)
        assert (limiter.in_flight, limiter.waiting) == (0, 0)

    loop.run_until_complete(main())


def test_detached_call_keeps_its_slot(loop: SimulatedLoop) -> None:
    """The slot is free when all detached calls have stopped and the permit was released, not before."""

    async def main() -> None:
        limiter = make_limiter(loop)
        permit = admit(limiter, loop)
        await permit.acquire(None)
        first_stopped, second_stopped = permit.detach(), permit.detach()
        loop.use_cpu(3.0)
        assert limiter.exhausted_since == pytest.approx(loop.now - 3.0)
        assert (limiter.detached, limiter.in_flight) == (1, 1)
        first_stopped()
        first_stopped()
        permit.release()
        await run_iterations()
        assert (limiter.detached, limiter.in_flight) == (1, 1)
        second_stopped()
        await run_iterations()
        assert (limiter.detached, limiter.exhausted_since, limiter.in_flight) == (0, None, 0)
        assert permit.detach()() is None

    loop.run_until_complete(main())


def test_detached_call_stops_before_release(loop: SimulatedLoop) -> None:
    """If the detached call stops first, the slot is held until the permit is released."""

    async def main() -> None:
        limiter = make_limiter(loop)
        permit = admit(limiter, loop)
        await permit.acquire(None)
        permit.detach()()
        await run_iterations()
        assert (limiter.detached, limiter.in_flight) == (0, 1)
        permit.release()
        await run_iterations()
        assert limiter.in_flight == 0

    loop.run_until_complete(main())


async def test_detach_callback_from_another_thread() -> None:
    """The callback of `detach()` may be called from any thread, and grants the slot to a waiting permit."""
    limiter = ConcurrencyLimiter(1, queue_size=1, target_delay=1.0, max_concurrency=None)
    permit = limiter.admit(0.0)
    assert permit
    await permit.acquire(None)
    stopped = permit.detach()
    permit.release()
    waiting_permit = limiter.admit(0.0)
    assert waiting_permit
    thread = threading.Thread(target=stopped)
    thread.start()
    async with asyncio.timeout(5):
        await waiting_permit.acquire(None)
    thread.join()
    waiting_permit.release()
    assert limiter.detached == 0


def test_detach_callback_after_the_loop_is_closed() -> None:
    """A thread that outlives the event loop may call the callback without an error."""

    async def detach() -> Any:
        permit = ConcurrencyLimiter(1, queue_size=1, target_delay=1.0, max_concurrency=None).admit(0.0)
        assert permit
        await permit.acquire(None)
        return permit.detach()

    assert asyncio.run(detach())() is None


def test_adaptive_limit_grows_beyond_detached_calls(loop: SimulatedLoop) -> None:
    """If detached calls hold all slots, an adaptive limit grows to its maximum; then the slots are exhausted."""

    async def main() -> None:
        limiter = make_limiter(loop, "auto", max_concurrency=20)
        for limit in (8, 16, 20):
            while limiter.detached < limit:
                permit = admit(limiter, loop)
                await permit.acquire(None)
                permit.detach()
                permit.release()
            assert limiter.exhausted_since == loop.now
            for _ in range(120):
                loop.use_cpu(0.01)
                limiter.record_loop_lag(0.0)
        assert (limiter.limit, limiter.admit(loop.now) is None, limiter.exhausted_since is None) == (20, False, False)

    loop.run_until_complete(main())


def test_leaked_permit_is_reclaimed(loop: SimulatedLoop) -> None:
    """A permit that is garbage-collected unreleased returns its slot or queue position when one is needed."""

    async def main() -> None:
        limiter = make_limiter(loop, 1, queue_size=1)
        await admit(limiter, loop).acquire(None)
        assert (limiter.in_flight, limiter.waiting) == (1, 0)
        first = admit(limiter, loop)
        assert (limiter.in_flight, limiter.waiting) == (0, 1)
        admit(limiter, loop)
        assert limiter.waiting == 2
        second = admit(limiter, loop)
        assert limiter.waiting == 2
        first.release()
        second.release()
        assert (limiter.in_flight, limiter.waiting) == (0, 0)

    loop.run_until_complete(main())


def test_set_max_concurrency(loop: SimulatedLoop) -> None:
    """The size of the thread pool bounds fixed and adaptive limits."""
    fixed, adaptive = make_limiter(loop, 100), make_limiter(loop, "auto")
    fixed.set_max_concurrency(64)
    adaptive.set_max_concurrency(2)
    assert (fixed.limit, adaptive.limit) == (64, 2)
    fixed.set_max_concurrency(None)
    assert (fixed.limit, make_limiter(loop, 5, max_concurrency=3).limit) == (100, 3)


def test_resize_with_requests_in_flight(loop: SimulatedLoop) -> None:
    """A higher limit admits queued requests immediately; a lower one interrupts none, and grants no slots."""

    async def main() -> None:
        limiter = make_limiter(loop, 3, max_concurrency=1)
        requests = [Request(admit(limiter, loop)) for _ in range(4)]
        await run_iterations()
        limiter.set_max_concurrency(3)
        await run_iterations()
        assert [request.is_running for request in requests] == [True, True, True, False]
        limiter.set_max_concurrency(1)
        requests[0].finish.set()
        requests[1].finish.set()
        await run_iterations()
        assert ([request.is_running for request in requests], limiter.in_flight) == ([False, False, True, False], 1)
        requests[2].finish.set()
        requests[3].finish.set()
        await asyncio.gather(*(request.task for request in requests))

    loop.run_until_complete(main())


def test_in_flight_seconds(loop: SimulatedLoop) -> None:
    """Two slots for three seconds are six slot-seconds, during the calls and after them."""

    async def main() -> None:
        limiter = make_limiter(loop, 2)
        requests = [Request(admit(limiter, loop)) for _ in range(2)]
        await run_iterations(1)
        loop.use_cpu(3.0)
        assert limiter.statistics().in_flight_seconds == pytest.approx(6.0, abs=0.01)
        for request in requests:
            request.finish.set()
        await run_iterations()
        loop.use_cpu(5.0)
        assert limiter.statistics().in_flight_seconds == pytest.approx(6.0, abs=0.01)

    loop.run_until_complete(main())


def test_queue_delay_is_measured_from_arrival(loop: SimulatedLoop) -> None:
    """The queue delay includes the time before admission, in the queue, and until the task runs."""

    async def main() -> None:
        limiter = make_limiter(loop)
        first = Request(admit(limiter, loop))
        await run_iterations()
        permit = limiter.admit(loop.now - 1.0)
        assert permit
        second = Request(permit)
        await run_iterations()
        loop.use_cpu(2.0)
        first.finish.set()
        await run_iterations()
        assert second.is_running
        statistics = limiter.statistics()
        assert statistics.started == 2
        assert statistics.queue_delay_seconds == pytest.approx(3.0, abs=0.01)
        second.finish.set()
        await second.task

    loop.run_until_complete(main())


def test_retry_after_has_jitter() -> None:
    """Retry-After is 1, 2 or 3 seconds."""
    assert [jittered_retry_after(lambda draw=draw: draw) for draw in (0.0, 0.34, 0.67, 0.999)] == [1, 2, 3, 3]  # type: ignore[misc]  # a default binds the number
    assert {jittered_retry_after() for _ in range(200)} == {1, 2, 3}
