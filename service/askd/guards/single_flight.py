"""Single flight: questions that are the same and asked at the same time make one call of the code.

The idea and the name are those of golang.org/x/sync/singleflight. There the call is the first one's, who shares what
becomes of it; here it runs in a task of its own and belongs to all who wait for it:

- who is cancelled, or out of time, leaves; the call goes on while one of them waits;
- when the last has left, the call is cancelled, and whoever asks next starts a new one, however long the old one takes
  to stop;
- an error reaches all who wait when it is raised, and nobody later.

So the call ends at the latest deadline of those who wait for it, without a timer of its own.

Pure: it knows neither what is asked nor what comes back. For one event loop; `statistics` is safe from any thread.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from service.errors import AskdError

T = TypeVar("T")


class FlightStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls were begun, how many questions joined the call of another, and what is under way."""

    led: int
    joined: int
    under_way: int
    """Calls that somebody waits for."""
    stopping: int
    """Calls that nobody waits for any more, cancelled and not at their end yet."""


class Flight:
    """One call as it sees itself: who began it, and until when it is waited for."""

    def __init__(self, leader: str) -> None:
        self.leader = leader
        self._seats: dict[asyncio.Future[Any], float | None] = {}

    @property
    def until(self) -> float | None:
        """When the call will be cancelled, in seconds of the clock, as things stand; None: not by time.

        It moves on when somebody joins who has more time, and back when that one leaves.
        """
        latest = None
        for until in self._seats.values():
            if until is None:
                return None
            latest = until if latest is None else max(latest, until)
        return latest


class Flights(Generic[T]):
    """Calls under way, by key. `clock` returns the seconds that deadlines are in; they only rise."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way: dict[Hashable, tuple[Flight, asyncio.Task[T]]] = {}
        self._stopping: set[asyncio.Task[T]] = set()  # asyncio itself holds tasks weakly
        self._led = self._joined = 0

    async def fly(
        self,
        key: Hashable,
        call: Callable[[Flight], Coroutine[Any, Any, T]],
        *,
        until: float | None,
        name: str = "",
        joined: Callable[[str], None] | None = None,
        landed: Callable[[], None] | None = None,
    ) -> tuple[T, bool]:
        """Return what the call under this key returns, and whether that is the one given here.

        It is, where none is under way; it runs in a copy of this context then. Otherwise that one is waited for, and
        `joined` is told at once the `name` of who began it, for the log. `landed` is called when the call given here
        has ended, also where it was cancelled before it began.

        Raises TimeoutError when the clock comes to `until` (None: it never does), before any call where it has already;
        whatever the call raises, an AskdError as a copy for each who waits; RuntimeError where it cancelled itself.
        """
        now = self._clock()
        if until is not None and until <= now:
            raise TimeoutError
        flight, task, led = self._board(key, call, name)
        if landed and led:
            task.add_done_callback(lambda _task: landed())
        if joined and not led:
            joined(flight.leader)
        loop = asyncio.get_running_loop()
        seat: asyncio.Future[_Landing[T] | None] = loop.create_future()
        flight._seats[seat] = until  # noqa: SLF001 - the same file's other half
        timer = None if until is None else loop.call_later(until - now, _wake, seat, None)
        landing = None
        try:
            landing = await seat
            if landing is None:
                raise TimeoutError
            return landing.result(), led
        finally:
            if timer:
                timer.cancel()
            self._leave(key, flight, task, seat)
            del landing, seat, task  # an error that is raised here holds this frame, and these hold the error

    def under_way(self, key: Hashable) -> bool:
        """Whether a question under this key would join the call of another now."""
        found = self._under_way.get(key)
        return found is not None and not _failed(found[1])

    def statistics(self) -> FlightStatistics:
        """Return what is counted now; safe from any thread."""
        return FlightStatistics(
            led=self._led, joined=self._joined, under_way=len(self._under_way), stopping=len(self._stopping)
        )

    def _board(
        self, key: Hashable, call: Callable[[Flight], Coroutine[Any, Any, T]], name: str
    ) -> tuple[Flight, asyncio.Task[T], bool]:
        found = self._under_way.get(key)
        if found and not _failed(found[1]):
            self._joined += 1
            return *found, False
        flight = Flight(name)
        task = asyncio.get_running_loop().create_task(call(flight))
        task.add_done_callback(partial(self._land, key, flight))
        self._under_way[key] = flight, task
        self._led += 1
        return flight, task, True

    def _land(self, key: Hashable, flight: Flight, task: asyncio.Task[T]) -> None:
        self._stopping.discard(task)
        self._forget(key, flight)
        landing = _Landing(task)
        for seat in flight._seats:  # noqa: SLF001 - the same file's other half
            _wake(seat, landing)

    def _leave(self, key: Hashable, flight: Flight, task: asyncio.Task[T], seat: asyncio.Future[Any]) -> None:
        seats = flight._seats  # noqa: SLF001 - the same file's other half
        del seats[seat]
        if seats or task.done():
            return
        self._forget(key, flight)
        self._stopping.add(task)
        task.cancel()

    def _forget(self, key: Hashable, flight: Flight) -> None:
        """Let the next to ask start a new call, unless one has already."""
        found = self._under_way.get(key)
        if found and found[0] is flight:
            del self._under_way[key]


class _Landing(Generic[T]):
    """What became of a call, for each who waits for it."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self._task = task
        self._error = RuntimeError("The call cancelled itself.") if task.cancelled() else task.exception()
        self._trace = self._error.__traceback__ if self._error else None

    def result(self) -> T:
        """Return what the call returned, or raise its error as if nobody else had."""
        if self._error is None:
            return self._task.result()
        try:
            raise self._again(self._error)
        finally:
            del self  # the error's traceback holds this frame

    def _again(self, error: BaseException) -> BaseException:
        """Give each an error of its own, as raising one writes into it: its traceback would grow with each who waits.

        Foreign errors cannot be copied faithfully, as some keep what they say where no copy reaches it; they are given
        as they are, with the traceback that they came with.
        """
        if not isinstance(error, AskdError):
            return error.with_traceback(self._trace)
        copy = type(error).__new__(type(error), *error.args)
        copy.__dict__.update(error.__dict__)
        copy.__cause__, copy.__context__ = error.__cause__, error.__context__
        copy.__suppress_context__ = error.__suppress_context__
        return copy.with_traceback(self._trace)


def _failed(task: asyncio.Task[T]) -> bool:
    """Whether the call has raised already, although those who wait have not been told yet."""
    return task.done() and (task.cancelled() or task.exception() is not None)


def _wake(seat: asyncio.Future[Any], landing: object) -> None:
    if not seat.done():
        seat.set_result(landing)
