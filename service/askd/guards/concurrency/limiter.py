"""The limiter's face: what the door, the pipeline, the probes and the metrics see of it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal

from service.guards.limiter.auto import CEILING, Auto
from service.guards.limiter.places import Places
from service.guards.limiter.standing import Shed, Standing
from service.guards.limiter.statistics import LimiterStatistics
from service.guards.limiter.ticket import Ticket

DOOR: Final = 0.001
"""Seconds between two arrivals within which the loop did nothing else."""


class Limiter:
    """Gives out tickets for places in the code.

    `concurrency` is the number of places, or `auto`; never more than `ceiling`, as there are threads (None: a number is
    not bounded, auto by 1000). At most `queue` wait; where they keep waiting for more than `budget` seconds, fewer.
    `clock` returns seconds that only rise, `cpu` the CPU's seconds that the process has used so far. `soon` has a
    function called in the loop's next turn, None: `call_soon`.
    """

    def __init__(
        self,
        concurrency: int | Literal["auto"],
        *,
        queue: int,
        budget: float,
        ceiling: int | None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._concurrency = concurrency
        self._auto = Auto(ceiling or CEILING) if concurrency == "auto" else None
        self._standing = Standing(queue, budget)
        self._clock, self._cpu = clock, cpu
        self._places = Places(self._wanted(ceiling), self._standing, clock, soon or _next_turn)
        self._admitted = self._queue_full = self._overloaded = 0
        self._full = False
        self._last = clock()
        self.door = 0.0
        """Seconds that the loop has spent with arrivals in a row; from turning them away, above all."""

    def admit(self, arrived: float) -> Ticket | None:
        """Return a ticket for a question whose bytes arrived then, in seconds of the clock; None: it is shed, at once.

        Until it has entered or left, a ticket counts as waiting.
        """
        places = self._places
        gap = arrived - self._last
        self._last = arrived
        if 0.0 < gap < DOOR:
            self.door += gap
        if places.queued + places.in_flight >= places.limit and self._sheds(self._clock()):
            return None
        self._admitted += 1
        places.queued += 1
        return Ticket(places, arrived)

    def shed(self) -> int:
        """Turn away all who wait in line, as at the end of a drain; return how many."""
        waiting = list(self._places.line)
        for ticket in waiting:
            ticket.shed()
        return len(waiting)

    def lag(self, seconds: float, *, door: float = 0.0) -> None:
        """Take a sample of how late the loop is, of which it spent `door` seconds with arrivals."""
        auto, places, now = self._auto, self._places, self._clock()
        if places.lost:
            places.recover(now)
        if auto is None or not auto.sample(seconds, door, now, self._cpu()):
            return
        full = self._full or places.abandoned >= places.limit
        auto.decide(in_flight=places.in_flight, peak=places.peak, full=full, shown=places.shown, now=now)
        self._full, places.peak = False, places.in_flight
        places.resize(auto.limit, now)

    def bound(self, ceiling: int | None) -> None:
        """Set the ceiling anew, once it is known whether the code needs threads."""
        limit = self._wanted(ceiling)
        if self._auto:
            self._auto.ceiling = ceiling or CEILING
            self._auto.limit = limit = min(self._auto.limit, self._auto.ceiling)
        self._places.resize(limit, self._clock())

    @property
    def auto(self) -> bool:
        """Whether the limit finds itself."""
        return self._auto is not None

    @property
    def busy(self) -> bool:
        """Whether any question waits or is in the code."""
        return self._places.in_flight + self._places.queued > 0

    @property
    def shedding(self) -> bool:
        """Whether questions are turned away, by what was seen in the last 100 ms."""
        return not self._standing.over(self._clock())

    @property
    def limit(self) -> int:
        """Places."""
        return self._places.limit

    @property
    def in_flight(self) -> int:
        """Places that are taken."""
        return self._places.in_flight

    @property
    def waiting(self) -> int:
        """Tickets that have neither entered nor left."""
        return self._places.queued

    @property
    def abandoned(self) -> int:
        """Places whose code goes on with nobody waiting for it."""
        return self._places.abandoned

    @property
    def stuck_since(self) -> float | None:
        """Since when abandoned calls have held every place, in seconds of the clock; None: they do not."""
        return self._places.stuck_since

    def statistics(self) -> LimiterStatistics:
        """Return what is counted now; safe from any thread."""
        places, now = self._places, self._clock()
        return LimiterStatistics(
            limit=places.limit,
            unchanged=max(now - places.changed, 0.0),
            in_flight=places.in_flight,
            waiting=places.queued,
            queue=self._standing.bound,
            abandoned=places.abandoned,
            admitted=self._admitted,
            shed_queue_full=self._queue_full,
            shed_overloaded=self._overloaded,
            shed_late=places.late,
            inflight_seconds=places.seconds(now),
            delays=places.delays,
            delay_seconds=places.delay_seconds,
        )

    def _sheds(self, now: float) -> bool:
        """Whether a question is turned away that finds no free place."""
        places = self._places
        if places.lost:
            places.recover(now)
        beyond = places.queued + places.in_flight - places.limit
        if beyond < 0:
            return False
        self._full = True
        head = next(iter(places.line)).arrived if places.line else None
        patient = self._auto is not None and self._auto.growing
        shed = self._standing.judge(min(beyond, places.queued), head, places.done, now, patient=patient)
        self._queue_full += shed is Shed.QUEUE_FULL
        self._overloaded += shed is Shed.OVERLOADED
        return shed is not None

    def _wanted(self, ceiling: int | None) -> int:
        if self._concurrency == "auto":
            return self._auto.limit if self._auto else 1
        return min(self._concurrency, ceiling or self._concurrency)


def _next_turn(call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(call)
