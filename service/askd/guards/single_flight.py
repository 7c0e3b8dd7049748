"""Single flight: concurrent requests for the same key share one call.

Idea and name are from golang.org/x/sync/singleflight. There the call runs in the first caller, who shares its result;
here it runs in its own task and belongs to all waiters:

- A waiter that is cancelled leaves, at its deadline for example; the call continues while a waiter is left.
- When the last waiter has left, the call is cancelled. The next request starts a new call, however long the old one
  takes to stop.
- An error is raised for all current waiters, and not for later requests.

So the call ends at the latest deadline of its waiters, without a deadline of its own.

The module knows neither keys nor results. It is for one event loop; `statistics` is safe to call from any thread.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from askd.errors import AskdError

T = TypeVar("T")


class SingleFlightStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the start, and calls that are in flight or stopping."""

    leaders: int
    """Requests that started a call."""
    followers: int
    """Requests that joined a call."""
    in_flight: int
    """Calls with waiters."""
    cancelling: int
    """Calls without waiters, which were cancelled and have not ended yet."""


class SingleFlight(Generic[T]):
    """Calls in flight by key."""

    def __init__(self) -> None:
        self._in_flight: dict[Hashable, _SharedCall[T]] = {}
        self._cancelling: set[asyncio.Task[T]] = set()  # asyncio itself holds tasks weakly
        self._leaders = self._followers = 0

    async def do(
        self,
        key: Hashable,
        call: Callable[[], Coroutine[Any, Any, T]],
        *,
        request_id: str = "",
        on_join: Callable[[str], None] | None = None,
        on_done: Callable[[], None] | None = None,
    ) -> tuple[T, bool]:
        """Join the call in flight for this key, or start `call` in a copy of the current context.

        Args:
            key: Identifies the call.
            call: Returns the coroutine to run if no call is in flight.
            request_id: Id of this request, for followers of its call.
            on_join: Called immediately with the leader's request id if this request joins a call.
            on_done: Called when the call that this request started has ended, also if it was cancelled before its
                first step.

        Returns:
            The result of the call, and whether this request started it.

        Raises:
            RuntimeError: The call cancelled itself.
            Exception: The exception of the call. Each waiter gets its own copy of an AskdError.
        """
        shared_call, is_leader = self._join(key, call, request_id)
        if on_done and is_leader:
            shared_call.task.add_done_callback(lambda _task: on_done())
        if on_join and not is_leader:
            on_join(shared_call.leader_id)
        waiter: asyncio.Future[_CallResult[T]] = asyncio.get_running_loop().create_future()
        shared_call.waiters[waiter] = None
        try:
            return (await waiter).get(), is_leader
        finally:
            self._leave(key, shared_call, waiter)
            del waiter, shared_call  # breaks the reference cycle of an error raised here: error, traceback, this frame

    def is_in_flight(self, key: Hashable) -> bool:
        """Whether a request with this key would join a call now."""
        shared_call = self._in_flight.get(key)
        return shared_call is not None and not _has_failed(shared_call.task)

    def statistics(self) -> SingleFlightStatistics:
        """Return the statistics. Safe to call from any thread."""
        return SingleFlightStatistics(
            leaders=self._leaders,
            followers=self._followers,
            in_flight=len(self._in_flight),
            cancelling=len(self._cancelling),
        )

    def _join(
        self, key: Hashable, call: Callable[[], Coroutine[Any, Any, T]], request_id: str
    ) -> tuple["_SharedCall[T]", bool]:
        """Return the call in flight, or a new one, and whether this request is its leader."""
        shared_call = self._in_flight.get(key)
        if shared_call is not None and not _has_failed(shared_call.task):
            self._followers += 1
            return shared_call, False
        task = asyncio.get_running_loop().create_task(call())
        shared_call = self._in_flight[key] = _SharedCall(request_id, task)
        task.add_done_callback(partial(self._finish, key, shared_call))
        self._leaders += 1
        return shared_call, True

    def _finish(self, key: Hashable, shared_call: "_SharedCall[T]", task: asyncio.Task[T]) -> None:
        self._cancelling.discard(task)
        self._forget(key, shared_call)
        result = _CallResult(task)
        for waiter in shared_call.waiters:
            if not waiter.done():
                waiter.set_result(result)

    def _leave(self, key: Hashable, shared_call: "_SharedCall[T]", waiter: "asyncio.Future[_CallResult[T]]") -> None:
        del shared_call.waiters[waiter]
        if shared_call.waiters or shared_call.task.done():
            return
        self._forget(key, shared_call)
        self._cancelling.add(shared_call.task)
        shared_call.task.cancel()

    def _forget(self, key: Hashable, shared_call: "_SharedCall[T]") -> None:
        """Let the next request start a new call, unless one has started already."""
        if self._in_flight.get(key) is shared_call:
            del self._in_flight[key]


class _SharedCall(Generic[T]):
    """A call in flight and its waiters."""

    def __init__(self, leader_id: str, task: asyncio.Task[T]) -> None:
        self.leader_id = leader_id
        self.task = task
        # A dict and not a set, so that waiters resume in order of arrival.
        self.waiters: dict[asyncio.Future[_CallResult[T]], None] = {}


class _CallResult(Generic[T]):
    """Result or exception of a call, for each of its waiters."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self._task = task
        self._error = RuntimeError("the shared call cancelled itself") if task.cancelled() else task.exception()
        self._traceback = self._error.__traceback__ if self._error else None

    def get(self) -> T:
        """Return the result, or raise the exception as if this were the only waiter."""
        if self._error is None:
            return self._task.result()
        try:
            raise self._copy_error(self._error)
        finally:
            del self  # the traceback of the error holds this frame

    def _copy_error(self, error: BaseException) -> BaseException:
        """Copy an AskdError, because raising an exception extends its traceback: it would grow with each waiter.

        Other exceptions may have state that a copy would lose. They are shared, with their original traceback restored.
        """
        if not isinstance(error, AskdError):
            return error.with_traceback(self._traceback)
        copy = type(error).__new__(type(error), *error.args)
        copy.__dict__.update(error.__dict__)
        copy.__cause__, copy.__context__ = error.__cause__, error.__context__
        copy.__suppress_context__ = error.__suppress_context__
        return copy.with_traceback(self._traceback)


def _has_failed(task: asyncio.Task[T]) -> bool:
    """Whether the call has raised. Its waiters may not have been notified yet; new requests must not join it."""
    return task.done() and (task.cancelled() or task.exception() is not None)
