"""Workloads for the simulated server: the kinds of code that the concurrency limiter must handle."""

import asyncio
import dataclasses
import functools

from tests.support.simulated_server import SimulatedServer, WorkloadFunction


async def cpu_without_await(server: SimulatedServer) -> None:
    """Use 4 ms of CPU in one step."""
    server.use_cpu(0.004)


async def cpu_with_awaits(server: SimulatedServer) -> None:
    """Use 4 ms of CPU in four steps."""
    for _ in range(4):
        server.use_cpu(0.001)
        await asyncio.sleep(0)


async def cpu_in_threads(server: SimulatedServer) -> None:
    """Use 4 ms of CPU in a thread."""
    await server.run_in_thread(0.0, 0.004)


async def io_one_second(server: SimulatedServer) -> None:
    """Wait about a second, as for a model."""
    await server.wait_io(server.random.uniform(0.8, 1.2))


async def io_then_cpu(server: SimulatedServer) -> None:
    """Wait about half a second, then use 4 ms of CPU."""
    await server.wait_io(server.random.uniform(0.3, 0.7))
    server.use_cpu(0.004)


async def cpu_slows_down(server: SimulatedServer) -> None:
    """Use 4 ms of CPU, and 40 ms from second 12 on."""
    server.use_cpu(0.004 if server.loop.now < 12.0 else 0.040)


@dataclasses.dataclass(frozen=True)
class Workload:
    """A workload and its capacity: the calls per second that one process completes."""

    function: WorkloadFunction
    capacity: float
    max_concurrency: int | None = None
    """Size of the thread pool, for code that runs in threads."""


WORKLOADS = {
    "never awaits: 4 ms CPU": Workload(cpu_without_await, 250),
    "awaits between: 4 ms CPU": Workload(cpu_with_awaits, 250),
    "in threads: 4 ms CPU": Workload(cpu_in_threads, 250, 64),
    "waits 0.5 s, then 4 ms CPU": Workload(io_then_cpu, 250),
    "waits 1 s": Workload(io_one_second, 500),
    "4 ms, then 40 ms CPU": Workload(cpu_slows_down, 250),
}
"""Workloads of the picture in the docs. The capacity of code that only waits is that of 500 permits."""


@functools.cache
def run_steady_load(name: str, load: float, seconds: float = 20.0) -> SimulatedServer:
    """Run a workload under `load` times its capacity. The first half of the time is the warm-up."""
    workload = WORKLOADS[name]
    return SimulatedServer(
        workload.function, lambda _now: load * workload.capacity, seconds, threads=workload.max_concurrency
    ).run()


@functools.cache
def run_overload(name: str) -> SimulatedServer:
    """Run a workload for 30 s: at ten times its capacity from second 5 to 20, at half of it otherwise."""
    workload = WORKLOADS[name]

    def rate(now: float) -> float:
        return workload.capacity * (10.0 if 5.0 <= now < 20.0 else 0.5)

    return SimulatedServer(workload.function, rate, 30.0, threads=workload.max_concurrency).run()
