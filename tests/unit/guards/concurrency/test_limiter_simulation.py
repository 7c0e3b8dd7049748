"""The limiter in a whole process, simulated: what is answered, how soon, and what limit it finds for which code."""

import pytest

from tests.guards.codes import KINDS, flooded, steady, waits_a_second
from tests.guards.simulation import Process

NEVER, BETWEEN, THREADS, MIXED, WAITS, SLOWER = KINDS
BUSY = [NEVER, BETWEEN, THREADS, MIXED]
"""Kinds that the CPU bounds."""
LOADS = [0.5, 1.0, 2.5, 10.0]
BUDGET = 0.1
WARM, END = 10.0, 20.0


@pytest.mark.parametrize("kind", BUSY)
def test_goodput_under_ten_times_the_load(kind: str) -> None:
    """At ten times what it can do it still answers at least 90 % of the most that it answers under any load."""
    found = [steady(kind, load).goodput(WARM, END) for load in LOADS]
    assert found[-1] >= 0.9 * max(found)


@pytest.mark.parametrize("kind", BUSY)
@pytest.mark.parametrize("load", LOADS)
def test_nobody_who_is_admitted_waits_long(kind: str, load: float) -> None:
    """The 99th percentile is at most twice that of an idle server and the queue's budget."""
    idle = steady(kind, 0.05).p99(WARM, END)
    assert steady(kind, load).p99(WARM, END) <= 2.0 * (idle + BUDGET)


@pytest.mark.parametrize("kind", [NEVER, BETWEEN, THREADS])
@pytest.mark.parametrize("load", [2.5, 10.0])
def test_code_that_burns_the_cpu_gets_a_few_places(kind: str, load: float) -> None:
    """It finds 1 to 8 on average, whether the code awaits, never does, or runs in threads."""
    limits = steady(kind, load).limits(WARM, END)
    assert 1.0 <= sum(limits) / len(limits) <= 8.0


@pytest.mark.parametrize("load", [1.0, 10.0])
def test_code_that_waits_gets_hundreds(load: float) -> None:
    """It has 500 places within eight seconds, then does at least 95 % of what these can do."""
    run = steady(WAITS, load)
    assert next(point.at for point in run.trace if point.limit >= 500) < 8.0
    assert run.goodput(WARM, END) >= 0.95 * 500


def test_code_that_waits_is_not_shed_at_the_start() -> None:
    """A process that has just begun finds its limit while up to a queue's length waits; none is refused."""
    run = Process(lambda process: process.wait(4.0), lambda _now: 15.0, 12.0).run()
    assert run.shed == 0
    assert run.goodput(7.0, 12.0) == pytest.approx(15.0, rel=0.2)


def test_code_that_waits_in_threads_gets_them_all() -> None:
    """It has as many places as there are threads, and does at least 95 % of what these can do."""
    run = Process(lambda process: process.thread(0.1, 0.0), lambda _now: 6400.0, 6.0, threads=64).run()
    assert run.limits(2.0, 6.0) == [64] * len(run.limits(2.0, 6.0))
    assert run.goodput(2.0, 6.0) >= 0.95 * 640


@pytest.mark.parametrize("kind", BUSY)
def test_it_is_over_when_it_is_over(kind: str) -> None:
    """Two seconds after a flood answers come as soon as before, and nobody is turned away."""
    run, calm = flooded(kind), steady(kind, 0.5)
    assert run.p99(22.0, 30.0) <= 1.2 * calm.p99(WARM, END) + 0.01
    assert run.goodput(22.0, 30.0) == pytest.approx(calm.goodput(WARM, END), rel=0.1)


def test_code_that_gets_ten_times_slower() -> None:
    """Within two seconds it answers 90 % of what it can do now, within twice its own time and the queue's budget."""
    run = flooded(SLOWER)
    assert run.goodput(14.0, 20.0) >= 0.9 * 25 * (1.0 - 0.08)  # of the CPU, arrivals that are turned away take 8 %
    assert run.p99(14.0, 20.0) <= 2.0 * (0.040 + BUDGET)


def test_without_a_limiter_goodput_falls_to_nothing() -> None:
    """With as many places and as long a queue as you like, the same load has next to no answers within a second."""
    run = Process(KINDS[NEVER].code, lambda _now: 2500.0, END, places=10**6, queue=10**6, budget=1e3).run()
    soon = sum(seconds < 1.0 for at, seconds in run.answers if at >= WARM) / (END - WARM)
    assert soon < 0.1 * steady(NEVER, 10.0).goodput(WARM, END)


def test_a_pause_costs_no_places() -> None:
    """The loop stands still for 300 ms once, as for a collection of garbage: the limit does not fall."""
    paused: list[float] = []

    async def code(process: Process) -> None:
        await process.wait(1.0)
        if process.loop.now > 10.0 and not paused:
            process.burn(0.3)
            paused.append(process.loop.now)

    run = Process(code, lambda _now: 600.0, 14.0).run()
    assert paused
    assert min(run.limits(9.5, 14.0)) >= run.limits(9.0, 9.5)[-1]


def test_a_machine_that_was_busy_for_a_while() -> None:
    """For three seconds every call also burns 20 ms: the limit falls by much, and is back eight seconds later."""

    async def code(process: Process) -> None:
        await waits_a_second(process)
        if 12.0 <= process.loop.now < 15.0:
            process.burn(0.02)

    run = Process(code, lambda _now: 600.0, 30.0).run()
    assert min(run.limits(12.0, 20.0)) < 0.8 * max(run.limits(11.0, 12.0))
    assert run.goodput(24.0, 30.0) >= 0.95 * 500


def test_a_few_clients_that_wait_their_turn_do_not_make_it_grow() -> None:
    """Where no question ever finds all places taken, the limit stays where it started, however long that lasts."""
    assert set(steady(NEVER, 0.05).limits(0.0, END)) == {8}
