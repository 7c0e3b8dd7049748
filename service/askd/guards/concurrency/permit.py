"""A ticket: one question's way through the limiter."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from service.errors import Overloaded
from service.guards.limiter.places import Places
from service.guards.limiter.statistics import retry_after

_QUEUED: Final = 0
_IN: Final = 1
_OVER: Final = 2


class Ticket:
    """Who has it waits with `enter`, then runs the code, and calls `leave` whatever happens.

    For the loop's thread, but for what `abandon` returns. One that is dropped instead, with a task that was cancelled
    before its first step or a request that nobody will read, is noticed, and its place comes back when it is needed.
    """

    __slots__ = ("_astray", "_began", "_era", "_places", "_state", "_until", "_waiter", "arrived")

    def __init__(self, places: Places, arrived: float) -> None:
        self._places = places
        self.arrived = arrived
        self._state = _QUEUED
        self._waiter: asyncio.Future[None] | None = None
        self._astray = 0

    def __del__(self) -> None:
        if self._state is not _OVER:
            self._places.lost.append(self._state is _IN)  # no more: this may be any thread

    async def enter(self, until: float | None) -> None:
        """Wait for a place, first come, first served.

        Raises TimeoutError where there is none by `until`, in seconds of the limiter's clock (None: no end), and
        Overloaded where it is shed after all. After either, and when cancelled, the ticket is over.
        """
        places = self._places
        now = places.clock()
        if self._state is not _QUEUED or (until is not None and now >= until):
            raise self._refused()
        if places.in_flight >= places.limit:
            now = await self._wait(until, now)
        else:
            self._state = _IN
            places.take(now)
        self._era = places.era
        self._began = now
        places.begin(now - self.arrived)

    def leave(self) -> None:
        """Say that the code has stopped, or will never begin. Any further call does nothing."""
        if self._state is _IN:
            self._state = _OVER
            if not self._astray:
                now = self._places.clock()
                self._places.end(self._era, now - self._began, now)
        elif self._state is _QUEUED:
            self._state = _OVER
            self._places.leave_line(self)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(Overloaded(retry_after()))

    def abandon(self) -> Callable[[], None]:
        """Say that code goes on although its caller leaves: the place stays taken until what is returned is called.

        That may be done on any thread, and counts once. Where code goes on in several threads, each is abandoned for
        itself, and the place is held until the last has stopped and `leave` was called.
        """
        if self._state is not _IN:
            return lambda: None
        loop = asyncio.get_running_loop()
        self._count_astray(1)
        once = [self._stopped]

        def stopped() -> None:
            with contextlib.suppress(IndexError, RuntimeError):  # said before; the loop is closed by now
                loop.call_soon_threadsafe(once.pop())

        return stopped

    def called(self, now: float) -> None:
        """Take the place that is this ticket's turn; past the deadline it is left to the next. For the places alone."""
        waiter = self._waiter
        if waiter is None or waiter.done():  # cancelled in this very turn, and about to leave
            self._places.leave_line(self)
            self._state = _OVER
        elif self._until is not None and now >= self._until:
            self._expire()
        else:
            self._state = _IN
            self._began, self._era = now, self._places.era
            self._places.take(now)
            waiter.set_result(None)

    def shed(self) -> None:
        """Turn away who waits in line, late."""
        if self._state is _QUEUED:
            self._places.late += 1
            self.leave()

    async def _wait(self, until: float | None, now: float) -> float:
        """Wait in line; return when a place came, or raise and be over."""
        loop = asyncio.get_running_loop()
        self._until = until
        self._waiter = waiter = loop.create_future()
        self._places.line[self] = None
        timer = None if until is None else loop.call_later(until - now, self._expire)
        try:
            await waiter
            now = self._places.clock()
            if until is not None and now >= until:
                self._places.late += 1
                raise TimeoutError  # noqa: TRY301 - so that the place is given back where every other end does
        except BaseException:
            self._waiter = None
            self._give_up()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return now

    def _give_up(self) -> None:
        """Be over without having begun; a place that came in this very turn goes to the next."""
        if self._state is _IN:
            self._state = _OVER
            self._places.free(1, self._places.clock())
        else:
            self.leave()

    def _expire(self) -> None:
        if self._state is _QUEUED and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._refused())

    def _refused(self) -> Exception:
        """End a ticket that has no place, and return why."""
        if self._state is not _QUEUED:
            return Overloaded(retry_after())
        self._state = _OVER
        self._places.late += 1
        self._places.leave_line(self)
        return TimeoutError()

    def _stopped(self) -> None:
        self._count_astray(-1)
        if self._state is _OVER and not self._astray:
            now = self._places.clock()
            self._places.end(self._era, now - self._began, now)

    def _count_astray(self, by: int) -> None:
        was = bool(self._astray)
        self._astray += by
        places = self._places
        places.abandoned += bool(self._astray) - was
        places.see_stuck(places.clock())
