"""A model of one process: asyncio's own loop on a clock that code moves, one CPU, threads that share an interpreter.

Nothing waits. Code that burns the CPU moves the clock within its step, so that turns, the ready queue and timers are
those of asyncio itself, and what is measured is exact. A thread has the interpreter while the loop waits for something;
who wants it back gets it after CPython's switch interval of 5 ms, and of several one by chance: so it was measured on
CPython 3.11 with asyncio and uvloop.
"""

import asyncio
import dataclasses
import heapq
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from service.guards.limiter import Limiter, Ticket, watch

SHED = 40e-6
"""Seconds that it takes to turn a question away."""
EXCHANGE = 120e-6
"""Seconds that askd itself takes for a question that is answered."""
TURN = 10e-6
"""Seconds that a turn of the loop takes with nothing in it."""
SWITCH = 0.005
"""CPython's switch interval, in seconds."""
EVERY = 0.1
"""Seconds between two points of a trace."""


@dataclasses.dataclass
class Job:
    """A call in a thread: seconds of CPU that are left, and what to do at its end."""

    left: float
    end: Callable[[], object]


class Threads:
    """Threads that take turns with the loop in one interpreter."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._asleep: list[tuple[float, int, Job]] = []
        self._running: list[Job] = []  # the first has the interpreter
        self._ended: list[Callable[[], object]] = []
        self._number = 0
        self.spent = 0.0
        """The CPU's seconds that they have used."""

    def start(self, now: float, waits: float, burns: float, end: Callable[[], object]) -> None:
        """Begin a call that first waits, then burns."""
        self._number += 1
        heapq.heappush(self._asleep, (now + waits, self._number, Job(burns, end)))

    def ended(self) -> list[Callable[[], object]]:
        """Return, once, what to do for the calls that have ended."""
        ended, self._ended = self._ended, []
        return ended

    def run(self, now: float, until: float) -> float:
        """Let them run until a time, or until a call has ended; return the time."""
        while now < until and not self._ended:
            self._wake(now)
            wakes = self._asleep[0][0] if self._asleep else until
            now = self._burn(now, min(until, wakes)) if self._running else min(until, wakes)
            self._wake(now)
        return now

    def give_way(self, now: float) -> float:
        """Let the loop ask for the interpreter; return when it has it."""
        while self._running:
            first = self._running[0]
            now = self._burn(now, now + SWITCH)
            self._wake(now)
            others = [job for job in self._running if job is not first]
            chosen = self._chance.randrange(len(others) + 1)
            if chosen == len(others):
                break
            self._running.remove(others[chosen])
            self._running.insert(0, others[chosen])
        return now

    @property
    def wanting(self) -> bool:
        """Whether a thread has something to run."""
        return bool(self._running)

    def _wake(self, now: float) -> None:
        while self._asleep and self._asleep[0][0] <= now:
            self._running.append(heapq.heappop(self._asleep)[2])

    def _burn(self, now: float, until: float) -> float:
        """Run the first, for a switch interval where others wait."""
        job = self._running[0]
        lasts = min(job.left, until - now, SWITCH if len(self._running) > 1 else until - now)
        job.left -= lasts
        self.spent += lasts
        if job.left <= 1e-12:
            self._running.remove(job)
            self._ended.append(job.end)
        elif lasts == SWITCH:
            self._running.append(self._running.pop(0))
        return now + lasts


class Loop(asyncio.BaseEventLoop):
    """asyncio's loop, with a clock that only moves when something takes time, and arrivals in place of sockets."""

    def __init__(self, arrivals: Iterator[float], arrive: Callable[[float], None], chance: random.Random) -> None:
        super().__init__()
        self.now = 0.0
        self._spent = 0.0
        self.threads = Threads(chance)
        self._arrivals, self._arrive = arrivals, arrive
        self._next = next(arrivals, float("inf"))
        self._holds_since = 0.0
        self._selector = self  # asyncio asks this attribute for what has come

    def time(self) -> float:
        """Tell the time."""
        return self.now

    def burn(self, seconds: float) -> None:
        """Use the CPU, and let nobody else."""
        self.now += seconds
        self._spent += seconds

    def spent(self) -> float:
        """Tell the CPU's seconds that the process has used."""
        return self._spent + self.threads.spent

    async def elapse(self, seconds: float) -> None:
        """Wait until so much time has passed, which takes none."""
        over = self.create_future()
        timer = self.call_later(seconds, over.set_result, None)
        try:
            await over
        finally:
            timer.cancel()

    def select(self, timeout: float | None) -> list[Callable[[], object]]:
        """Wait as a selector does, and return what has come."""
        self.burn(TURN)
        if timeout != 0:
            until = min(self._next, float("inf") if timeout is None else self.now + timeout)
            self.now = self.threads.run(self.now, max(until, self.now))
            self._take_interpreter()
        elif self.threads.wanting and self.now - self._holds_since > SWITCH:
            self._take_interpreter()
        self.threads.run(self.now, self.now)
        came = self.threads.ended()
        while self._next <= self.now:
            came.append(lambda at=self._next: self._arrive(at))  # type: ignore[misc]  # a default binds the time
            self._next = next(self._arrivals, float("inf"))
        return came

    def _take_interpreter(self) -> None:
        self.now = self._holds_since = self.threads.give_way(self.now)

    def _process_events(self, came: list[Callable[[], object]]) -> None:
        for callback in came:
            self.call_soon(callback)

    def _write_to_self(self) -> None:
        """Nothing sleeps that would have to be woken."""


Code = Callable[["Process"], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a trace: the limiter then, and what the last tenth of a second had."""

    at: float
    limit: int
    in_flight: int
    waiting: int
    delay: float
    """Mean seconds from arrival to the code's start."""
    goodput: float
    """Answers in a second."""


class Process:
    """A server that runs `code` for `seconds` behind a limiter, with `rate(t)` questions a second at the time t.

    `code` is a function of this object, which has `wait`, `burn` and `thread` to offer. `places` is for the limiter's
    `concurrency`; `threads`, for its ceiling.
    """

    def __init__(
        self,
        code: Code,
        rate: Callable[[float], float],
        seconds: float,
        *,
        places: Any = "auto",
        threads: int | None = None,
        queue: int = 64,
        budget: float = 0.1,
        seed: int = 1,
    ) -> None:
        self.code, self._seconds = code, seconds
        self.chance = random.Random(seed)
        self.loop = Loop(self._arrivals(rate), self._arrive, self.chance)
        time, cpu = self.loop.time, self.loop.spent
        self.limiter = Limiter(places, queue=queue, budget=budget, ceiling=threads, clock=time, cpu=cpu)
        self.answers: list[tuple[float, float]] = []
        """When each answer was there, and the seconds that it took since the question arrived."""
        self.shed = 0
        self.trace: list[Point] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> "Process":
        """Run to the end."""
        self.loop.run_until_complete(self._main())
        self.loop.close()
        return self

    def goodput(self, since: float, until: float) -> float:
        """Answers in a second between two times."""
        return sum(since <= at < until for at, _ in self.answers) / (until - since)

    def p99(self, since: float, until: float) -> float:
        """The 99th percentile of the seconds that answers took between two times."""
        took = sorted(seconds for at, seconds in self.answers if since <= at < until)
        return took[int(0.99 * len(took))]

    def limits(self, since: float, until: float) -> list[int]:
        """Limits between two times."""
        return [point.limit for point in self.trace if since <= point.at < until]

    async def wait(self, seconds: float) -> None:
        """Wait for something elsewhere, such as a model."""
        await self.loop.elapse(seconds)

    def burn(self, seconds: float) -> None:
        """Use the CPU without awaiting."""
        self.loop.burn(seconds)

    async def thread(self, waits: float, burns: float) -> None:
        """Wait, then burn, in a thread."""
        future = self.loop.create_future()

        def end() -> None:
            if not future.done():
                future.set_result(None)

        self.loop.threads.start(self.loop.now, waits, burns, end)
        await future

    def _arrivals(self, rate: Callable[[float], float]) -> Iterator[float]:
        now = 0.0
        while now < self._seconds:
            now += self.chance.expovariate(max(rate(now), 1e-3))
            yield now

    def _arrive(self, at: float) -> None:
        if self.loop.now >= self._seconds:
            return
        ticket = self.limiter.admit(self.loop.now)
        if ticket is None:
            self.shed += 1
            self.loop.burn(SHED)
            return
        self.loop.burn(EXCHANGE / 2)
        task = self.loop.create_task(self._exchange(ticket, at))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self, ticket: Ticket, arrived: float) -> None:
        try:
            await ticket.enter(None)
            await self.code(self)
        finally:
            ticket.leave()
        self.loop.burn(EXCHANGE / 2)
        self.answers.append((self.loop.now, self.loop.now - arrived))

    async def _main(self) -> None:
        lag = asyncio.create_task(watch(self.limiter, clock=self.loop.time))
        before, answered = self.limiter.statistics(), 0
        while self.loop.now < self._seconds:
            since = self.loop.now
            await self.loop.elapse(EVERY)
            now = self.limiter.statistics()
            begun, waited = now.delays - before.delays, now.delay_seconds - before.delay_seconds
            good = (len(self.answers) - answered) / (self.loop.now - since)
            delay = waited / begun if begun else 0.0
            self.trace.append(Point(self.loop.now, now.limit, now.in_flight, now.waiting, delay, good))
            before, answered = now, len(self.answers)
        for task in (lag, *self._tasks):
            task.cancel()
        await asyncio.gather(lag, *self._tasks, return_exceptions=True)
