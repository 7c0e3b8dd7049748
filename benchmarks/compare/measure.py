"""Measurements: throughput, start-up and idle memory of servers, and scrapes of askd under load."""

import contextlib
import functools
import http.client
import math
import statistics
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from benchmarks.compare import wrk
from benchmarks.compare.servers import RunningServer, Server, running_server

Result = TypeVar("Result")


class Plan(NamedTuple):
    """Options of all measurements. `seconds` is the length of one measurement; a core of None is any core."""

    rounds: int
    seconds: float
    connections: int
    starts: int
    server_core: int | None
    load_core: int
    folder: Path
    """Directory of the servers' logs."""


class StartupSample(NamedTuple):
    """One start: seconds from exec to the first 200, and resident memory in bytes after it."""

    seconds: float
    resident: int


class ScrapeResult(NamedTuple):
    """Scrapes under load: count, size in bytes, latencies in seconds, and the sample of the load."""

    scrapes: int
    size: int
    p50: float
    p99: float
    load: wrk.Sample


def measure_throughput(servers: Sequence[Server], plan: Plan) -> dict[str, list[wrk.Sample]]:
    """Measure the throughput of all servers, alternately."""
    with running_servers(servers, plan) as processes:
        return run_alternately(
            {process.server.name: functools.partial(measure_load, process, plan) for process in processes}, plan
        )


@contextlib.contextmanager
def running_servers(servers: Sequence[Server], plan: Plan) -> Iterator[list[RunningServer]]:
    """Run servers during the block. Each one is ready and has returned the expected response."""
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(running_server(server, core=plan.server_core, folder=plan.folder)) for server in servers
        ]
        for process in processes:
            process.wait_ready()
            process.check()
        yield processes


def run_alternately(measurements: Mapping[str, Callable[[float], Result]], plan: Plan) -> dict[str, list[Result]]:
    """Run each measurement once per round, after a warm-up that is not counted.

    Measurements alternate, so that a temporary disturbance of the machine affects all of them.

    Args:
        measurements: Functions by name, which are called with their duration in seconds.
        plan: Number of rounds and duration.
    """
    for measurement in measurements.values():
        measurement(min(2.0, plan.seconds))
    results: dict[str, list[Result]] = {name: [] for name in measurements}
    for _ in range(plan.rounds):
        for name, measurement in measurements.items():
            results[name].append(measurement(plan.seconds))
    return results


def measure_startup(servers: Sequence[Server], plan: Plan) -> dict[str, list[StartupSample]]:
    """Start and stop the servers alternately. The first round fills the page cache and is not counted."""
    samples: dict[str, list[StartupSample]] = {server.name: [] for server in servers}
    for number in range(plan.starts + 1):
        for server in servers:
            with running_server(server, core=plan.server_core, folder=plan.folder) as process:
                seconds = process.wait_ready()
                process.check()
                if number:
                    samples[server.name].append(StartupSample(seconds, process.resident_bytes()))
    return samples


def measure_scrapes(server: Server, plan: Plan, *, interval: float = 0.05) -> ScrapeResult:
    """Scrape the ops port every `interval` seconds over one connection, while the main port is under load."""
    with running_server(server, core=plan.server_core, folder=plan.folder) as process:
        process.wait_ready()
        measure_load(process, plan, 1)
        done = threading.Event()
        times: list[float] = []
        sizes: list[int] = []
        thread = threading.Thread(target=_scrape, args=(process.ops_url, done, interval, times, sizes))
        thread.start()
        try:
            sample = measure_load(process, plan, 2 * plan.seconds)
        finally:
            done.set()
            thread.join()
    return ScrapeResult(len(times), max(sizes), statistics.median(times), percentile(times, 0.99), sample)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the percentile by the nearest-rank method; `share` is from 0 to 1."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def measure_load(process: RunningServer, plan: Plan, seconds: float, **options: Any) -> wrk.Sample:
    """Run wrk and measure the CPU time of the server. `options` are passed to `wrk.run_wrk`."""
    before = process.cpu_time()
    sample = wrk.run_wrk(process.url, core=plan.load_core, connections=plan.connections, seconds=seconds, **options)
    return sample._replace(cpu=(process.cpu_time() - before) / max(sample.responses, 1))


def _scrape(base: str, done: threading.Event, interval: float, times: list[float], sizes: list[int]) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=10)
    while not done.wait(interval):
        started_at = time.perf_counter()
        connection.request("GET", "/metrics")
        sizes.append(len(connection.getresponse().read()))
        times.append(time.perf_counter() - started_at)
    connection.close()
