"""Simulation of a server process: asyncio's own event loop on a simulated clock, one CPU, and threads with a GIL.

Nothing really waits. Code that uses the CPU moves the clock within its step, so iterations, ready queue and timers are
those of asyncio, and measurements are exact. A thread has the interpreter while the loop waits for events; the loop
gets it back after CPython's switch interval of 5 ms, and if several threads want it, the next one is random. This is
the behaviour that was measured on CPython 3.11 with asyncio and uvloop.
"""

import asyncio
import dataclasses
import heapq
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from askd.errors import Overloaded
from askd.guards.concurrency import ConcurrencyLimiter, Permit, sample_loop_lag

SHED_SECONDS = 40e-6
"""CPU seconds to shed a request."""
REQUEST_SECONDS = 120e-6
"""CPU seconds that askd itself uses for an answered request."""
LOOP_ITERATION_SECONDS = 10e-6
"""CPU seconds of an empty loop iteration."""
SWITCH_INTERVAL = 0.005
"""CPython's switch interval, in seconds."""
CFS_PERIOD = 0.1
"""Seconds after which a process that has used up its CPU limit runs again."""
TRACE_INTERVAL = 0.1
"""Seconds between two trace points."""


@dataclasses.dataclass
class ThreadCall:
    """A call in a thread: its remaining CPU seconds, and its callback."""

    remaining: float
    on_done: Callable[[], object]


class SimulatedThreads:
    """Threads that share one interpreter with the event loop."""

    def __init__(self, random_source: random.Random) -> None:
        self._random = random_source
        self._waiting: list[tuple[float, int, ThreadCall]] = []
        self._running: list[ThreadCall] = []  # the first has the interpreter
        self._finished: list[Callable[[], object]] = []
        self._call_count = 0
        self.cpu_seconds = 0.0

    def start(self, now: float, io_seconds: float, cpu_seconds: float, on_done: Callable[[], object]) -> None:
        """Start a call that first waits, then uses the CPU."""
        self._call_count += 1
        heapq.heappush(self._waiting, (now + io_seconds, self._call_count, ThreadCall(cpu_seconds, on_done)))

    def take_finished(self) -> list[Callable[[], object]]:
        """Return and forget the callbacks of finished calls."""
        callbacks, self._finished = self._finished, []
        return callbacks

    def run(self, now: float, until: float) -> float:
        """Run the threads until a time, or until a call has finished; return the time."""
        while now < until and not self._finished:
            self._wake_due(now)
            next_wakeup = self._waiting[0][0] if self._waiting else until
            now = self._use_cpu(now, min(until, next_wakeup)) if self._running else min(until, next_wakeup)
            self._wake_due(now)
        return now

    def acquire_interpreter(self, now: float) -> float:
        """Return when the event loop gets the interpreter."""
        while self._running:
            holder = self._running[0]
            now = self._use_cpu(now, now + SWITCH_INTERVAL)
            self._wake_due(now)
            others = [call for call in self._running if call is not holder]
            winner = self._random.randrange(len(others) + 1)
            if winner == len(others):  # the event loop
                break
            self._running.remove(others[winner])
            self._running.insert(0, others[winner])
        return now

    @property
    def has_runnable(self) -> bool:
        """Whether a thread wants the CPU."""
        return bool(self._running)

    def _wake_due(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            self._running.append(heapq.heappop(self._waiting)[2])

    def _use_cpu(self, now: float, until: float) -> float:
        """Run the first thread, for at most a switch interval if others are waiting."""
        call = self._running[0]
        seconds = min(call.remaining, until - now, SWITCH_INTERVAL if len(self._running) > 1 else until - now)
        call.remaining -= seconds
        self.cpu_seconds += seconds
        if call.remaining <= 1e-12:
            self._running.remove(call)
            self._finished.append(call.on_done)
        elif seconds == SWITCH_INTERVAL:
            self._running.append(self._running.pop(0))
        return now + seconds


class SimulatedLoop(asyncio.BaseEventLoop):
    """asyncio's event loop on a simulated clock, with simulated arrivals instead of sockets."""

    def __init__(
        self, arrivals: Iterator[float], on_arrival: Callable[[float], None], random_source: random.Random
    ) -> None:
        super().__init__()
        self.now = 0.0
        self._loop_cpu_seconds = 0.0
        self.threads = SimulatedThreads(random_source)
        self._random = random_source
        self._arrivals, self._on_arrival = arrivals, on_arrival
        self._next_arrival = next(arrivals, float("inf"))
        self._interpreter_since = 0.0
        self.max_wakeup_delay = 0.0
        """Maximum seconds for which the process waits for a CPU after each wait for events."""
        self.cpu_limit = 0.0
        """CPU seconds per second that the loop may use; 0 is unlimited."""
        self.cpu_wait_seconds = 0.0
        self._cfs_period, self._used_in_period = 0, 0.0
        self._selector = self  # BaseEventLoop calls `_selector.select()`

    def time(self) -> float:
        """Return the simulated time."""
        return self.now

    def use_cpu(self, seconds: float) -> None:
        """Use the CPU, blocking the loop and all threads."""
        self.now += seconds
        self._loop_cpu_seconds += seconds
        if self.cpu_limit:
            period = int(self.now / CFS_PERIOD)
            self._used_in_period = seconds + (self._used_in_period if period == self._cfs_period else 0.0)
            self._cfs_period = period
            overdue = self._used_in_period / (self.cpu_limit * CFS_PERIOD)
            if overdue >= 1.0:
                self._wait_for_cpu((period + int(overdue)) * CFS_PERIOD - self.now)

    def cpu_time(self) -> float:
        """Return the CPU seconds that the process has used."""
        return self._loop_cpu_seconds + self.threads.cpu_seconds

    async def sleep(self, seconds: float) -> None:
        """Sleep in simulated time."""
        done = self.create_future()
        timer = self.call_later(seconds, done.set_result, None)
        try:
            await done
        finally:
            timer.cancel()

    def select(self, timeout: float | None) -> list[Callable[[], object]]:
        """Wait for events as a selector does, and return their callbacks."""
        self.use_cpu(LOOP_ITERATION_SECONDS)
        if timeout != 0:
            until = min(self._next_arrival, float("inf") if timeout is None else self.now + timeout)
            self.now = self.threads.run(self.now, max(until, self.now))
            if self.max_wakeup_delay:
                self._wait_for_cpu(self._random.uniform(0.0, self.max_wakeup_delay))
            self._take_interpreter()
        elif self.threads.has_runnable and self.now - self._interpreter_since > SWITCH_INTERVAL:
            self._take_interpreter()
        self.threads.run(self.now, self.now)
        callbacks = self.threads.take_finished()
        while self._next_arrival <= self.now:
            callbacks.append(lambda at=self._next_arrival: self._on_arrival(at))  # type: ignore[misc]  # a default binds the time
            self._next_arrival = next(self._arrivals, float("inf"))
        return callbacks

    def _wait_for_cpu(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)
        self.cpu_wait_seconds += max(seconds, 0.0)

    def _take_interpreter(self) -> None:
        self.now = self._interpreter_since = self.threads.acquire_interpreter(self.now)

    def _process_events(self, callbacks: list[Callable[[], object]]) -> None:
        for callback in callbacks:
            self.call_soon(callback)

    def _write_to_self(self) -> None:
        """Do nothing, because `select` never blocks."""


WorkloadFunction = Callable[["SimulatedServer"], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class TracePoint:
    """State of the limiter at a time, and measurements of the last trace interval."""

    time: float
    limit: int
    in_flight: int
    queued: int
    delay: float
    """Mean queue delay in seconds, from arrival to the start of the workload."""
    goodput: float
    """Answers per second."""


class SimulatedServer:
    """A server that runs a workload behind a concurrency limiter.

    Args:
        workload: Called with this object, it uses `wait_io`, `use_cpu` and `run_in_thread`.
        rate: Returns the requests per second at a time.
        seconds: Duration of the simulation.
        concurrency: As for ConcurrencyLimiter.
        threads: Size of the thread pool, the limiter's `max_concurrency`.
        queue: Maximum number of queued requests.
        queue_target_delay: The limiter's `target_delay`, in seconds.
        max_wakeup_delay: Maximum seconds for which the process waits for a CPU after each wait for events, because
            other processes use it.
        cpu_limit: CPU seconds per second that the process may use (CFS throttling); 0 is unlimited.
        seed: Seed of all random numbers.
    """

    def __init__(
        self,
        workload: WorkloadFunction,
        rate: Callable[[float], float],
        seconds: float,
        *,
        concurrency: Any = "auto",
        threads: int | None = None,
        queue: int = 64,
        queue_target_delay: float = 0.1,
        max_wakeup_delay: float = 0.0,
        cpu_limit: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.workload, self._seconds = workload, seconds
        self.random = random.Random(seed)
        self.loop = SimulatedLoop(self._arrivals(rate), self._on_arrival, self.random)
        self.loop.max_wakeup_delay, self.loop.cpu_limit = max_wakeup_delay, cpu_limit
        self.limiter = ConcurrencyLimiter(
            concurrency,
            queue_size=queue,
            target_delay=queue_target_delay,
            max_concurrency=threads,
            clock=self.loop.time,
            cpu_time=self.loop.cpu_time,
            cpu_wait=lambda: self.loop.cpu_wait_seconds,
        )
        self.answers: list[tuple[float, float]] = []
        """Time of each answer, and its latency since the arrival of the request, in seconds."""
        self.shed_count = 0
        self.trace: list[TracePoint] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> "SimulatedServer":
        """Run the simulation to its end."""
        self.loop.run_until_complete(self._main())
        self.loop.close()
        return self

    def goodput(self, since: float, until: float) -> float:
        """Return the answers per second between two times."""
        return sum(since <= at < until for at, _ in self.answers) / (until - since)

    def p99(self, since: float, until: float) -> float:
        """Return the 99th percentile of the latency between two times, in seconds."""
        latencies = sorted(latency for at, latency in self.answers if since <= at < until)
        return latencies[int(0.99 * len(latencies))]

    def limits(self, since: float, until: float) -> list[int]:
        """Return the limits between two times."""
        return [point.limit for point in self.trace if since <= point.time < until]

    async def wait_io(self, seconds: float) -> None:
        """Wait without using the CPU."""
        await self.loop.sleep(seconds)

    def use_cpu(self, seconds: float) -> None:
        """Use the CPU without awaiting."""
        self.loop.use_cpu(seconds)

    async def run_in_thread(self, io_seconds: float, cpu_seconds: float) -> None:
        """Wait, then use the CPU, in a thread."""
        future = self.loop.create_future()

        def on_done() -> None:
            if not future.done():
                future.set_result(None)

        self.loop.threads.start(self.loop.now, io_seconds, cpu_seconds, on_done)
        await future

    def _arrivals(self, rate: Callable[[float], float]) -> Iterator[float]:
        now = 0.0
        while now < self._seconds:
            now += self.random.expovariate(max(rate(now), 1e-3))
            yield now

    def _on_arrival(self, at: float) -> None:
        if self.loop.now >= self._seconds:
            return
        permit = self.limiter.admit(self.loop.now)
        if permit is None:
            self.shed_count += 1
            self.loop.use_cpu(SHED_SECONDS)
            return
        self.loop.use_cpu(REQUEST_SECONDS / 2)
        task = self.loop.create_task(self._handle_request(permit, at))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle_request(self, permit: Permit, arrived_at: float) -> None:
        try:
            await permit.acquire(None)
            await self.workload(self)
        except Overloaded:
            self.shed_count += 1
            self.loop.use_cpu(REQUEST_SECONDS / 2)
            return
        finally:
            permit.release()
        self.loop.use_cpu(REQUEST_SECONDS / 2)
        self.answers.append((self.loop.now, self.loop.now - arrived_at))

    async def _main(self) -> None:
        lag_sampler = asyncio.create_task(sample_loop_lag(self.limiter, clock=self.loop.time))
        previous, previous_answers = self.limiter.statistics(), 0
        while self.loop.now < self._seconds:
            interval_start = self.loop.now
            await self.loop.sleep(TRACE_INTERVAL)
            current = self.limiter.statistics()
            started = current.started - previous.started
            delay = (current.queue_delay_seconds - previous.queue_delay_seconds) / started if started else 0.0
            goodput = (len(self.answers) - previous_answers) / (self.loop.now - interval_start)
            self.trace.append(
                TracePoint(self.loop.now, current.limit, current.in_flight, current.waiting, delay, goodput)
            )
            previous, previous_answers = current, len(self.answers)
        for task in (lag_sampler, *self._tasks):
            task.cancel()
        await asyncio.gather(lag_sampler, *self._tasks, return_exceptions=True)
