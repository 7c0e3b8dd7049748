"""Single flight: one call for many, that ends when nobody waits for it any more."""

import asyncio
import gc
import traceback
import weakref
from collections.abc import Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from service.errors import AnswererFailed, NoAnswer, TooManyRequests
from service.guards.flight import Flight, Flights
from tests.fakes import Clock
from tests.guards.by_hand import HandLoop

LONG = 3600.0
Asking = Coroutine[Any, Any, tuple[str, bool]]
WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Calls:
    """Code that waits until a test says what becomes of it, and notes what it saw."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.flights: list[Flight] = []
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.stopped = asyncio.Event()
        self.who = ""

    async def __call__(self, flight: Flight) -> str:
        """Return or raise the outcome; a stubborn one does so even when it is cancelled."""
        self.flights.append(flight)
        self.who = WHO.get()
        self.begun.set()
        try:
            return await asyncio.shield(self.outcome)
        except asyncio.CancelledError:
            self.cancelled.set()
            if not self.stubborn:
                raise
            return await self.outcome
        finally:
            self.stopped.set()


def counts(flights: Flights[str]) -> tuple[int, int, int, int]:
    """Return led, joined, under way and stopping."""
    found = flights.statistics()
    return found.led, found.joined, found.under_way, found.stopping


async def started(
    calls: Calls, *flights: Coroutine[object, object, tuple[str, bool]]
) -> list[asyncio.Task[tuple[str, bool]]]:
    """Start these in order, and wait until the call has begun."""
    tasks = [asyncio.create_task(each) for each in flights]
    await calls.begun.wait()
    return tasks


async def test_a_thousand_same_questions_make_one_call() -> None:
    """All get what the one call returns; the first is told that it led, the others are not."""
    flights, calls = Flights[str](), Calls()
    tasks = await started(calls, *(flights.fly("q", calls, until=None) for _ in range(1000)))
    assert counts(flights) == (1, 999, 1, 0)
    calls.outcome.set_result("a")
    found = await asyncio.gather(*tasks)
    assert found == [("a", True)] + [("a", False)] * 999
    assert (len(calls.flights), counts(flights)) == (1, (1, 999, 0, 0))


async def test_other_questions_and_later_ones_make_calls_of_their_own() -> None:
    """Only what has the same key at the same time is one call; nothing is kept."""
    flights = Flights[str]()

    async def call(flight: Flight) -> str:
        return flight.leader

    assert await asyncio.gather(*(flights.fly(key, call, until=None, name=key) for key in "ab")) == [
        ("a", True),
        ("b", True),
    ]
    assert await flights.fly("a", call, until=None, name="later") == ("later", True)
    assert counts(flights) == (3, 0, 0, 0)


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_whoever_is_cancelled_leaves_the_others_their_answer(leaver: int) -> None:
    """The call goes on when the one who leads is cancelled, as when any other is."""
    flights, calls = Flights[str](), Calls()
    tasks = await started(calls, *(flights.fly("q", calls, until=None) for _ in range(3)))
    tasks.pop(leaver).cancel()
    await asyncio.sleep(0)
    assert not calls.cancelled.is_set()
    calls.outcome.set_result("a")
    assert [text for text, _ in await asyncio.gather(*tasks)] == ["a", "a"]


async def test_when_all_have_left_the_call_is_cancelled() -> None:
    """The code stops when the last who waited has gone, not before; then nothing is left."""
    flights, calls = Flights[str](), Calls()
    tasks = await started(calls, *(flights.fly("q", calls, until=None) for _ in range(3)))
    for task in tasks:
        assert not calls.cancelled.is_set()
        task.cancel()
    await asyncio.sleep(0)
    assert all(task.cancelled() for task in tasks)
    assert counts(flights) == (1, 2, 0, 1)
    await calls.stopped.wait()
    await asyncio.sleep(0)
    assert (calls.cancelled.is_set(), counts(flights)) == (True, (1, 2, 0, 0))


async def test_a_call_that_will_not_stop_holds_nobody_up() -> None:
    """Who leaves is gone at once, and the next to ask gets a new call, whatever the old one makes of its end."""
    flights, old, new = Flights[str](), Calls(stubborn=True), Calls()
    (first,) = await started(old, flights.fly("q", old, until=None))
    first.cancel()
    await asyncio.wait([first])
    (second,) = await started(new, flights.fly("q", new, until=None))
    assert (old.cancelled.is_set(), old.stopped.is_set(), counts(flights)) == (True, False, (2, 0, 1, 1))
    old.outcome.set_result("old")
    await old.stopped.wait()
    await asyncio.sleep(0)
    assert counts(flights) == (2, 0, 1, 0)
    new.outcome.set_result("new")
    assert await second == ("new", True)


async def test_who_has_no_time_left_begins_no_call() -> None:
    """A deadline that has passed is a TimeoutError before any work, and counts as nothing."""
    clock = Clock()
    flights, calls = Flights[str](clock=clock), Calls()
    with pytest.raises(TimeoutError):
        await flights.fly("q", calls, until=clock.now)
    assert (calls.begun.is_set(), counts(flights)) == (False, (0, 0, 0, 0))


async def test_the_deadline_is_the_latest_of_those_who_wait() -> None:
    """The call sees it move on with who joins and back with who leaves; without a deadline there is none."""
    clock = Clock()
    flights, calls = Flights[str](clock=clock), Calls()
    tasks = await started(calls, *(flights.fly("q", calls, until=clock.now + LONG + more) for more in (1, 3, 2)))
    tasks.append(asyncio.create_task(flights.fly("q", calls, until=None)))
    await asyncio.sleep(0)
    seen = []
    for leaver in (3, 1, 0):
        seen.append(calls.flights[0].until)
        tasks[leaver].cancel()
        await asyncio.wait([tasks[leaver]])
    assert [*seen, calls.flights[0].until] == [None, *(clock.now + LONG + more for more in (3, 2, 2))]
    calls.outcome.set_result("a")
    assert await tasks[2] == ("a", False)


async def test_the_call_runs_in_the_context_of_who_leads() -> None:
    """What the code logs carries the leader's id; who joins is told that id at once, for its own line."""
    flights, calls = Flights[str](), Calls()
    told: list[str] = []

    async def ask(who: str) -> tuple[str, bool]:
        WHO.set(who)
        return await flights.fly("q", calls, until=None, name=who, joined=told.append)

    tasks = await started(calls, *(ask(who) for who in ("first", "second", "third")))
    assert (calls.who, told) == ("first", ["first", "first"])
    calls.outcome.set_result("a")
    await asyncio.gather(*tasks)


async def failing(error: BaseException, flights: Flights[str], number: int = 3) -> list[BaseException]:
    """Return what so many get whose call raises this."""
    calls = Calls()
    tasks = await started(calls, *(flights.fly("q", calls, until=None) for _ in range(number)))
    calls.outcome.set_exception(error)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [each for each in found if isinstance(each, BaseException)]


async def test_an_error_reaches_all_and_is_not_kept() -> None:
    """Everybody present gets it, the next to ask a new call."""
    flights = Flights[str]()
    assert [str(error) for error in await failing(ValueError("no"), flights)] == ["no"] * 3
    again = Calls()
    again.outcome.set_result("a")
    assert await flights.fly("q", again, until=None) == ("a", True)


def test_an_error_does_not_reach_who_comes_between_it_and_its_news() -> None:
    """Who asks when the call has raised, and before those who wait have been told, gets a new call."""
    clock = Clock()
    loop = HandLoop(clock)
    flights = Flights[str](clock=clock)
    ends = [loop.create_future() for _ in range(2)]
    began: list[int] = []

    async def call(_flight: Flight) -> str:
        began.append(len(began))
        ending: asyncio.Future[str] = ends[began[-1]]
        return await ending

    first = loop.create_task(flights.fly("q", call, until=None))
    loop.settle()
    ends[0].set_exception(NoAnswer())
    second = loop.create_task(flights.fly("q", call, until=None))
    loop.settle()
    assert (began, type(first.exception()), second.done()) == ([0, 1], NoAnswer, False)
    ends[1].set_result("a")
    loop.settle()
    assert second.result() == ("a", True)
    loop.end()


async def test_each_gets_a_copy_that_says_the_same() -> None:
    """Errors that clients are told of are copies, down to the cause, so that none changes under another's hands."""
    cause = ValueError("a secret")
    for error in (NoAnswer(["What is a port?"]), TooManyRequests(7, headers={"X": "y"}), AnswererFailed()):
        error.__cause__ = cause
        copies = await failing(error, Flights[str]())
        assert len({id(each) for each in [*copies, error]}) == 4
        for copy in copies:
            assert (type(copy), copy.args, vars(copy)) == (type(error), error.args, vars(error))
            assert (copy.__cause__, copy.__suppress_context__) == (cause, True)


@pytest.mark.parametrize("error", [ValueError("no"), NoAnswer()], ids=["foreign", "own"])
async def test_tracebacks_do_not_grow_with_those_who_wait(error: Exception) -> None:
    """The last of a hundred has as short a traceback as one who waits alone, and no context."""
    calls = partial(failing, error, Flights[str]())
    (alone,) = await calls(1)
    depth = len(traceback.extract_tb(alone.__traceback__))
    error.__traceback__ = None
    crowd = await calls(100)
    assert max(len(traceback.extract_tb(each.__traceback__)) for each in crowd) <= depth
    assert {each.__context__ for each in crowd} == {None}


async def test_a_call_that_cancels_itself_has_failed() -> None:
    """Those who wait are told so: it is not they who were cancelled."""
    found = await failing(asyncio.CancelledError(), Flights[str]())
    assert [(type(each), str(each)) for each in found] == [(RuntimeError, "The call cancelled itself.")] * 3


async def test_nothing_holds_on_to_an_error() -> None:
    """An error is gone with the last who got it, without the garbage collector: no frame holds what holds it."""

    class Seen(Exception):
        """Can be watched going."""

    gc.collect()
    gc.disable()
    try:
        for kind in (Seen, NoAnswer):

            async def call(_flight: Flight, kind: type[Exception] = kind) -> str:
                raise kind

            watched = []
            flights = Flights[str]()
            for _ in range(2):
                try:
                    await flights.fly("q", call, until=None)
                except (Seen, NoAnswer) as error:
                    watched.append(weakref.ref(error))
            await asyncio.sleep(0)
            assert [each() for each in watched] == [None, None]
    finally:
        gc.enable()
