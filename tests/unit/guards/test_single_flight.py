"""Single flight: concurrent requests share one call, which is cancelled when its last waiter leaves."""

import asyncio
import gc
import traceback
import weakref
from collections.abc import Coroutine
from contextvars import ContextVar
from functools import partial

import pytest

from askd.errors import AnswererFailed, NoAnswer, TooManyRequests
from askd.guards.single_flight import SingleFlight
from tests.support.fakes import Clock
from tests.support.manual_loop import ManualLoop

request_id_var: ContextVar[str] = ContextVar("request_id", default="")


class FakeCall:
    """A call whose outcome the test sets. It records how often and in which context it runs."""

    def __init__(self, *, ignores_cancellation: bool = False) -> None:
        self.ignores_cancellation = ignores_cancellation
        self.run_count = 0
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.stopped = asyncio.Event()
        self.request_id = ""

    async def __call__(self) -> str:
        """Return or raise the outcome."""
        self.run_count += 1
        self.request_id = request_id_var.get()
        self.started.set()
        try:
            return await asyncio.shield(self.outcome)
        except asyncio.CancelledError:
            self.cancelled.set()
            if not self.ignores_cancellation:
                raise
            return await self.outcome
        finally:
            self.stopped.set()


def counts(single_flight: SingleFlight[str]) -> tuple[int, int, int, int]:
    """Return the numbers of leaders, followers, calls in flight and calls being cancelled."""
    statistics = single_flight.statistics()
    return statistics.leaders, statistics.followers, statistics.in_flight, statistics.cancelling


async def start(
    call: FakeCall, *requests: Coroutine[object, object, tuple[str, bool]]
) -> list[asyncio.Task[tuple[str, bool]]]:
    """Start requests in order, and wait until the call has started."""
    tasks = [asyncio.create_task(request) for request in requests]
    await call.started.wait()
    return tasks


async def test_concurrent_requests_share_one_call() -> None:
    """A thousand requests get the result of one call; only the first is the leader."""
    single_flight, call = SingleFlight[str](), FakeCall()
    tasks = await start(call, *(single_flight.do("q", call) for _ in range(1000)))
    assert counts(single_flight) == (1, 999, 1, 0)
    call.outcome.set_result("a")
    results = await asyncio.gather(*tasks)
    assert results == [("a", True)] + [("a", False)] * 999
    assert (call.run_count, counts(single_flight)) == (1, (1, 999, 0, 0))


async def test_other_keys_and_later_requests_start_their_own_call() -> None:
    """Only concurrent requests for the same key share a call; results are not stored."""
    single_flight = SingleFlight[str]()

    async def call(result: str) -> str:
        return result

    results = await asyncio.gather(*(single_flight.do(key, partial(call, key)) for key in "ab"))
    assert results == [("a", True), ("b", True)]
    assert await single_flight.do("a", partial(call, "later")) == ("later", True)
    assert counts(single_flight) == (3, 0, 0, 0)


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_cancelled_request_does_not_affect_others(cancelled: int) -> None:
    """The call continues when its leader is cancelled, as when any other waiter is."""
    single_flight, call = SingleFlight[str](), FakeCall()
    tasks = await start(call, *(single_flight.do("q", call) for _ in range(3)))
    tasks.pop(cancelled).cancel()
    await asyncio.sleep(0)
    assert not call.cancelled.is_set()
    call.outcome.set_result("a")
    assert [text for text, _ in await asyncio.gather(*tasks)] == ["a", "a"]


async def test_call_is_cancelled_when_the_last_waiter_leaves() -> None:
    """The call is cancelled when its last waiter has left, not before; afterwards no state is left."""
    single_flight, call = SingleFlight[str](), FakeCall()
    tasks = await start(call, *(single_flight.do("q", call) for _ in range(3)))
    for task in tasks:
        assert not call.cancelled.is_set()
        task.cancel()
    await asyncio.sleep(0)
    assert all(task.cancelled() for task in tasks)
    assert counts(single_flight) == (1, 2, 0, 1)
    await call.stopped.wait()
    await asyncio.sleep(0)
    assert (call.cancelled.is_set(), counts(single_flight)) == (True, (1, 2, 0, 0))


async def test_call_that_ignores_cancellation_blocks_nobody() -> None:
    """The waiter returns immediately, and the next request starts a new call while the old one still runs."""
    single_flight, old, new = SingleFlight[str](), FakeCall(ignores_cancellation=True), FakeCall()
    (first,) = await start(old, single_flight.do("q", old))
    first.cancel()
    await asyncio.wait([first])
    (second,) = await start(new, single_flight.do("q", new))
    assert (old.cancelled.is_set(), old.stopped.is_set(), counts(single_flight)) == (True, False, (2, 0, 1, 1))
    old.outcome.set_result("old")
    await old.stopped.wait()
    await asyncio.sleep(0)
    assert counts(single_flight) == (2, 0, 1, 0)
    new.outcome.set_result("new")
    assert await second == ("new", True)


async def test_call_runs_in_the_context_of_its_leader() -> None:
    """The call runs in the leader's context, and followers get the leader's id immediately."""
    single_flight, call = SingleFlight[str](), FakeCall()
    leader_ids: list[str] = []

    async def request(request_id: str) -> tuple[str, bool]:
        request_id_var.set(request_id)
        return await single_flight.do("q", call, request_id=request_id, on_join=leader_ids.append)

    tasks = await start(call, *(request(request_id) for request_id in ("first", "second", "third")))
    assert (call.request_id, leader_ids) == ("first", ["first", "first"])
    call.outcome.set_result("a")
    await asyncio.gather(*tasks)


async def run_failing_call(
    error: BaseException, single_flight: SingleFlight[str], waiters: int = 3
) -> list[BaseException]:
    """Return the exceptions of the waiters of a call that raises `error`."""
    call = FakeCall()
    tasks = await start(call, *(single_flight.do("q", call) for _ in range(waiters)))
    call.outcome.set_exception(error)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [result for result in results if isinstance(result, BaseException)]


async def test_error_is_raised_for_all_and_not_stored() -> None:
    """All current waiters get the error; the next request starts a new call."""
    single_flight = SingleFlight[str]()
    assert [str(error) for error in await run_failing_call(ValueError("no"), single_flight)] == ["no"] * 3
    next_call = FakeCall()
    next_call.outcome.set_result("a")
    assert await single_flight.do("q", next_call) == ("a", True)


def test_request_does_not_join_a_call_that_has_failed() -> None:
    """A request that arrives after the call has raised, but before its waiters are notified, starts a new call."""
    clock = Clock()
    loop = ManualLoop(clock)
    single_flight = SingleFlight[str]()
    outcomes = [loop.create_future() for _ in range(2)]
    started: list[int] = []

    async def call() -> str:
        started.append(len(started))
        outcome: asyncio.Future[str] = outcomes[started[-1]]
        return await outcome

    first = loop.create_task(single_flight.do("q", call))
    loop.run_until_idle()
    outcomes[0].set_exception(NoAnswer())
    second = loop.create_task(single_flight.do("q", call))
    loop.run_until_idle()
    assert (started, type(first.exception()), second.done()) == ([0, 1], NoAnswer, False)
    outcomes[1].set_result("a")
    loop.run_until_idle()
    assert second.result() == ("a", True)
    loop.close_checked()


async def test_waiters_get_equal_copies_of_own_errors() -> None:
    """Each waiter gets its own copy of an AskdError, with all attributes and the cause."""
    cause = ValueError("a secret")
    for error in (NoAnswer(["What is a port?"]), TooManyRequests(7, headers={"X": "y"}), AnswererFailed()):
        error.__cause__ = cause
        copies = await run_failing_call(error, SingleFlight[str]())
        assert len({id(exception) for exception in [*copies, error]}) == 4
        for copy in copies:
            assert (type(copy), copy.args, vars(copy)) == (type(error), error.args, vars(error))
            assert (copy.__cause__, copy.__suppress_context__) == (cause, True)


@pytest.mark.parametrize("error", [ValueError("no"), NoAnswer()], ids=["foreign", "own"])
async def test_tracebacks_do_not_grow_with_the_number_of_waiters(error: Exception) -> None:
    """The exceptions of a hundred waiters have as short a traceback as that of a single one, and no context."""
    run = partial(run_failing_call, error, SingleFlight[str]())
    (single,) = await run(1)
    depth = len(traceback.extract_tb(single.__traceback__))
    error.__traceback__ = None
    exceptions = await run(100)
    assert max(len(traceback.extract_tb(exception.__traceback__)) for exception in exceptions) <= depth
    assert {exception.__context__ for exception in exceptions} == {None}


async def test_call_that_cancels_itself_has_failed() -> None:
    """The waiters get a RuntimeError, because they were not cancelled themselves."""
    errors = await run_failing_call(asyncio.CancelledError(), SingleFlight[str]())
    assert [(type(error), str(error)) for error in errors] == [(RuntimeError, "the shared call cancelled itself")] * 3


async def test_errors_are_not_in_reference_cycles() -> None:
    """An error is freed with its last waiter, without the garbage collector."""

    class ForeignError(Exception):
        pass

    gc.collect()
    gc.disable()
    try:
        for error_type in (ForeignError, NoAnswer):

            async def call(error_type: type[Exception] = error_type) -> str:
                raise error_type

            references = []
            single_flight = SingleFlight[str]()
            for _ in range(2):
                try:
                    await single_flight.do("q", call)
                except (ForeignError, NoAnswer) as error:
                    references.append(weakref.ref(error))
            await asyncio.sleep(0)
            assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()
