"""What is measured: throughput, start-up and idle memory of several servers, and scrapes of askd under load."""

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

from . import load
from .servers import Running, Server, running

Taken = TypeVar("Taken")


class Plan(NamedTuple):
    """How to measure: rounds and their length in seconds, connections, and which core runs what (None: any)."""

    rounds: int
    seconds: float
    connections: int
    starts: int
    server_core: int | None
    load_core: int
    folder: Path
    """Where the servers' logs go."""


class Start(NamedTuple):
    """One start: seconds from exec to the first 200, and resident bytes when idle after it."""

    seconds: float
    resident: int


class Scrapes(NamedTuple):
    """Scrapes of the ops port under load: how many, their size in bytes, latencies in seconds, the load meanwhile."""

    times: int
    size: int
    p50: float
    p99: float
    load: load.Sample


def throughput(servers: Sequence[Server], plan: Plan) -> dict[str, list[load.Sample]]:
    """Load all servers in turns."""
    with started(servers, plan) as processes:
        return turns({each.server.name: functools.partial(loaded, each, plan) for each in processes}, plan)


@contextlib.contextmanager
def started(servers: Sequence[Server], plan: Plan) -> Iterator[list[Running]]:
    """Run servers until the block ends; each gives the answer that it should give."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(each, core=plan.server_core, folder=plan.folder)) for each in servers]
        for process in processes:
            process.wait_ready()
            process.check()
        yield processes


def turns(takes: Mapping[str, Callable[[float], Taken]], plan: Plan) -> dict[str, list[Taken]]:
    """Take each for so many seconds, one after the other, `plan.rounds` times, after a warm-up that does not count.

    What disturbs the machine for a while disturbs all of them.
    """
    for take in takes.values():
        take(min(2.0, plan.seconds))
    taken: dict[str, list[Taken]] = {name: [] for name in takes}
    for _ in range(plan.rounds):
        for name, take in takes.items():
            taken[name].append(take(plan.seconds))
    return taken


def starts(servers: Sequence[Server], plan: Plan) -> dict[str, list[Start]]:
    """Start and end the servers in turns; the first turn only fills the disk's cache and is left out."""
    found: dict[str, list[Start]] = {server.name: [] for server in servers}
    for turn in range(plan.starts + 1):
        for server in servers:
            with running(server, core=plan.server_core, folder=plan.folder) as process:
                seconds = process.wait_ready()
                process.check()
                if turn:
                    found[server.name].append(Start(seconds, process.resident()))
    return found


def scrapes(server: Server, plan: Plan, *, interval: float = 0.05) -> Scrapes:
    """Scrape the ops port every `interval` seconds, on one connection, while the main port is under load."""
    with running(server, core=plan.server_core, folder=plan.folder) as process:
        process.wait_ready()
        loaded(process, plan, 1)
        done = threading.Event()
        times: list[float] = []
        sizes: list[int] = []
        thread = threading.Thread(target=_scrape, args=(process.ops, done, interval, times, sizes))
        thread.start()
        try:
            sample = loaded(process, plan, 2 * plan.seconds)
        finally:
            done.set()
            thread.join()
    return Scrapes(len(times), max(sizes), statistics.median(times), percentile(times, 0.99), sample)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def loaded(process: Running, plan: Plan, seconds: float, **more: Any) -> load.Sample:
    """Load a server for so many seconds, and look at what that costs it. `more` is for `load.wrk`."""
    before = process.processor_time()
    sample = load.wrk(process.url, core=plan.load_core, connections=plan.connections, seconds=seconds, **more)
    return sample._replace(cpu=(process.processor_time() - before) / max(sample.answers, 1))


def _scrape(base: str, done: threading.Event, interval: float, times: list[float], sizes: list[int]) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=10)
    while not done.wait(interval):
        begin = time.perf_counter()
        connection.request("GET", "/metrics")
        sizes.append(len(connection.getresponse().read()))
        times.append(time.perf_counter() - begin)
    connection.close()
