"""The concurrency limiter in a simulated process: goodput, latency and limit for each kind of code."""

import pytest

from tests.support.simulated_server import SimulatedServer
from tests.support.simulated_workloads import WORKLOADS, io_one_second, run_overload, run_steady_load

CPU_WITHOUT_AWAIT, CPU_WITH_AWAITS, CPU_IN_THREADS, IO_THEN_CPU, IO, CPU_SLOWS_DOWN = WORKLOADS
CPU_BOUND = [CPU_WITHOUT_AWAIT, CPU_WITH_AWAITS, CPU_IN_THREADS, IO_THEN_CPU]
LOADS = [0.5, 1.0, 2.5, 10.0]
TARGET_DELAY = 0.1
WARM, END = 10.0, 20.0
"""Start and end of the measurement, in seconds."""


@pytest.mark.parametrize("workload", CPU_BOUND)
@pytest.mark.slow
def test_goodput_under_overload(workload: str) -> None:
    """At ten times the capacity, goodput is at least 90 % of its maximum under any load."""
    goodputs = [run_steady_load(workload, load).goodput(WARM, END) for load in LOADS]
    assert goodputs[-1] >= 0.9 * max(goodputs)


@pytest.mark.parametrize("workload", [CPU_WITHOUT_AWAIT, CPU_WITH_AWAITS, CPU_IN_THREADS])
def test_overload_of_a_new_server(workload: str) -> None:
    """At ten times the capacity, CPU-bound code has its goodput and a bounded latency from the first second on."""
    run = run_steady_load(workload, 10.0)
    assert run.goodput(0.0, 1.0) >= 0.9 * run.goodput(WARM, END)
    assert run.p99(0.0, 2.0) < 0.65
    assert run.p99(1.0, 2.0) < 0.2


@pytest.mark.parametrize("workload", CPU_BOUND)
@pytest.mark.parametrize("load", LOADS)
def test_latency_of_admitted_requests_is_bounded(workload: str, load: float) -> None:
    """The 99th percentile is at most twice the sum of that of an idle server and the target delay."""
    idle = run_steady_load(workload, 0.05).p99(WARM, END)
    assert run_steady_load(workload, load).p99(WARM, END) <= 2.0 * (idle + TARGET_DELAY)


@pytest.mark.parametrize("workload", [CPU_WITHOUT_AWAIT, CPU_WITH_AWAITS, CPU_IN_THREADS])
@pytest.mark.parametrize("load", [2.5, 10.0])
def test_cpu_bound_code_gets_a_low_limit(workload: str, load: float) -> None:
    """The mean limit is 1 to 8, whether the code awaits, never awaits, or runs in threads."""
    limits = run_steady_load(workload, load).limits(WARM, END)
    assert 1.0 <= sum(limits) / len(limits) <= 8.0


@pytest.mark.parametrize("load", [1.0, 10.0])
def test_io_bound_code_gets_a_high_limit(load: float) -> None:
    """The limit reaches 500 within eight seconds, and goodput at least 95 % of the capacity of 500 slots."""
    run = run_steady_load(IO, load)
    assert next(point.time for point in run.trace if point.limit >= 500) < 8.0
    assert run.goodput(WARM, END) >= 0.95 * 500


@pytest.mark.parametrize("rate", [50.0, 100.0])
def test_new_server_sheds_no_request_of_code_that_waits(rate: float) -> None:
    """A new server sheds none of 50 or 100 requests per second that wait for 4 s, and starts all of them soon."""
    run = SimulatedServer(lambda server: server.wait_io(4.0), lambda _now: rate, 8.0).run()
    assert run.shed_count == 0
    assert run.p99(0.0, 8.0) < 4.25


@pytest.mark.parametrize("delay", [0.02, 0.2])
def test_new_server_on_a_busy_node_sheds_no_request_of_code_that_waits(delay: float) -> None:
    """The same if other processes use the CPU, so that the server waits for it up to 20 or 200 ms after each event."""
    run = SimulatedServer(lambda server: server.wait_io(4.0), lambda _now: 50.0, 8.0, max_wakeup_delay=delay).run()
    assert run.shed_count == 0
    assert run.p99(0.0, 8.0) < 4.0 + 5 * delay + 0.1


@pytest.mark.parametrize("workload", [CPU_WITHOUT_AWAIT, CPU_WITH_AWAITS])
def test_overload_on_a_busy_node(workload: str) -> None:
    """CPU-bound code gets a low limit and keeps its goodput and latency there as well."""
    run = SimulatedServer(WORKLOADS[workload].function, lambda _now: 2500.0, 12.0, max_wakeup_delay=0.1).run()
    assert run.goodput(6.0, 12.0) >= 200
    assert run.p99(6.0, 12.0) < 0.2
    assert max(run.limits(6.0, 12.0)) <= 8


@pytest.mark.parametrize("workload", [CPU_WITHOUT_AWAIT, CPU_WITH_AWAITS])
@pytest.mark.parametrize("load", [3.0, 10.0])
def test_overload_under_a_cpu_limit(workload: str, load: float) -> None:
    """With a fifth of a CPU, goodput is 90 % of what that allows, and the queue stays short between the pauses."""
    rate = 0.2 * load * WORKLOADS[workload].capacity
    run = SimulatedServer(WORKLOADS[workload].function, lambda _now: rate, 16.0, cpu_limit=0.2).run()
    assert run.goodput(6.0, 16.0) >= 0.9 * 0.2 * WORKLOADS[workload].capacity
    assert run.p99(6.0, 16.0) < 0.4


@pytest.mark.parametrize("count", [200, 900])
def test_burst_at_a_new_server(count: int) -> None:
    """None of 200 or 900 simultaneous requests that wait is shed, and all run within a second."""
    run = SimulatedServer(lambda server: server.wait_io(1.0), lambda now: 1e6 if now < count / 1e6 else 1e-3, 4.0).run()
    assert run.shed_count == 0
    assert len(run.answers) == pytest.approx(count, rel=0.1)
    assert max(latency for _, latency in run.answers) < 2.0


def test_thousand_calls_in_flight_within_two_seconds() -> None:
    """A new server has 900 calls in flight two seconds after 480 requests per second have begun."""
    run = SimulatedServer(lambda server: server.wait_io(4.0), lambda _now: 480.0, 2.1).run()
    assert run.shed_count == 0
    assert run.trace[-1].in_flight >= 900


def test_burst_of_cpu_bound_requests_is_shed_again() -> None:
    """If code turns out to use the CPU, requests beyond the queue are shed again, and none takes more than a second."""
    run = SimulatedServer(WORKLOADS[CPU_WITH_AWAITS].function, lambda now: 1e6 if now < 500 / 1e6 else 1e-3, 4.0).run()
    assert 300 < run.shed_count < 450
    assert max(latency for _, latency in run.answers) < 1.0


def test_disabled_queue_stays_disabled() -> None:
    """With a queue size of 0, a new server queues nothing either."""
    run = SimulatedServer(lambda server: server.wait_io(1.0), lambda _now: 100.0, 1.0, queue=0).run()
    assert max(point.queued for point in run.trace) == 0
    assert run.shed_count > 0


def test_waiting_threads_use_the_whole_pool() -> None:
    """Code that waits in threads gets as many slots as threads, and at least 95 % of their capacity."""
    run = SimulatedServer(lambda server: server.run_in_thread(0.1, 0.0), lambda _now: 6400.0, 6.0, threads=64).run()
    assert run.limits(2.0, 6.0) == [64] * len(run.limits(2.0, 6.0))
    assert run.goodput(2.0, 6.0) >= 0.95 * 640


@pytest.mark.parametrize("workload", CPU_BOUND)
def test_recovery_after_overload(workload: str) -> None:
    """Two seconds after an overload, latency is as before and no request is shed."""
    run, normal = run_overload(workload), run_steady_load(workload, 0.5)
    assert run.p99(22.0, 30.0) <= 1.2 * normal.p99(WARM, END) + 0.01
    assert run.goodput(22.0, 30.0) == pytest.approx(normal.goodput(WARM, END), rel=0.1)


def test_code_that_slows_down() -> None:
    """Two seconds after code got ten times slower, goodput is 90 % of its capacity, and latency is bounded."""
    run = run_overload(CPU_SLOWS_DOWN)
    assert run.goodput(14.0, 20.0) >= 0.9 * 25 * (1.0 - 0.08)  # shedding takes 8 % of the CPU
    assert run.p99(14.0, 20.0) <= 2.0 * (0.040 + TARGET_DELAY)


def test_goodput_collapses_without_a_limiter() -> None:
    """With practically unlimited slots and queue, the same overload gets almost no answer within a second."""
    run = SimulatedServer(
        WORKLOADS[CPU_WITHOUT_AWAIT].function,
        lambda _now: 2500.0,
        END,
        concurrency=10**6,
        queue=10**6,
        queue_target_delay=1e3,
    ).run()
    goodput = sum(latency < 1.0 for at, latency in run.answers if at >= WARM) / (END - WARM)
    assert goodput < 0.1 * run_steady_load(CPU_WITHOUT_AWAIT, 10.0).goodput(WARM, END)


def test_one_pause_does_not_lower_the_limit() -> None:
    """The limit does not fall when the loop is blocked for 300 ms once, as by garbage collection."""
    paused_at: list[float] = []

    async def workload(server: SimulatedServer) -> None:
        await server.wait_io(1.0)
        if server.loop.now > 10.0 and not paused_at:
            server.use_cpu(0.3)
            paused_at.append(server.loop.now)

    run = SimulatedServer(workload, lambda _now: 600.0, 14.0).run()
    assert paused_at
    assert min(run.limits(9.5, 14.0)) >= run.limits(9.0, 9.5)[-1]


def test_recovery_after_a_busy_cpu() -> None:
    """When every call also uses 20 ms of CPU for three seconds, the limit falls, and recovers within eight seconds."""

    async def workload(server: SimulatedServer) -> None:
        await io_one_second(server)
        if 12.0 <= server.loop.now < 15.0:
            server.use_cpu(0.02)

    run = SimulatedServer(workload, lambda _now: 600.0, 30.0).run()
    assert min(run.limits(12.0, 20.0)) < 0.8 * max(run.limits(11.0, 12.0))
    assert run.goodput(24.0, 30.0) >= 0.95 * 500


def test_limit_does_not_grow_under_light_load() -> None:
    """If no request ever finds all slots in use, the limit stays at its initial value."""
    assert set(run_steady_load(CPU_WITHOUT_AWAIT, 0.05).limits(0.0, END)) == {8}
