"""Permit: one request's right to queue for a slot and to run the answerer."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from askd.errors import Overloaded
from askd.guards.concurrency.slots import Slots
from askd.guards.concurrency.statistics import jittered_retry_after

_QUEUED: Final = 0
_ACQUIRED: Final = 1
_RELEASED: Final = 2


class Permit:
    """Holders await `acquire()`, run the answerer, and always call `release()`.

    Not thread-safe, except for the callback that `detach()` returns. A permit that is garbage-collected unreleased,
    with a task that was cancelled before its first step for example, is reclaimed when its slot is needed.
    """

    __slots__ = (
        "_deadline",
        "_detached_calls",
        "_generation",
        "_slots",
        "_started_at",
        "_state",
        "_waiter",
        "received_at",
    )

    def __init__(self, slots: Slots, received_at: float) -> None:
        self._slots = slots
        self.received_at = received_at
        self._state = _QUEUED
        self._waiter: asyncio.Future[None] | None = None
        self._detached_calls = 0

    def __del__(self) -> None:
        if self._state is not _RELEASED:
            self._slots.leaked.append(self._state is _ACQUIRED)  # nothing else: this may run in any thread

    async def acquire(self, deadline: float | None) -> None:
        """Wait for a slot, first come, first served. After an error or a cancellation the permit is released.

        Args:
            deadline: Time of the limiter's clock until which to wait. None waits without limit.

        Raises:
            TimeoutError: The deadline passed before a slot was free.
            Overloaded: The permit was released before it had a slot.
        """
        slots = self._slots
        now = slots.clock()
        if self._state is not _QUEUED or (deadline is not None and now >= deadline):
            raise self._reject()
        # Without a future if a slot is free, which saves the common case an iteration of the loop.
        if slots.in_flight >= slots.limit:
            now = await self._wait(deadline, now)
        else:
            self._state = _ACQUIRED
            slots.acquire(now)
        self._generation = slots.generation
        self._started_at = now
        slots.record_start(now - self.received_at)

    def release(self) -> None:
        """Release the slot, or leave the queue; an `acquire()` that still waits raises Overloaded. Idempotent."""
        if self._state is _ACQUIRED:
            self._state = _RELEASED
            # A thread cannot be cancelled. It uses its slot until it ends, whether or not anybody waits for the result.
            if not self._detached_calls:
                now = self._slots.clock()
                self._slots.release_after_run(self._generation, now - self._started_at, now)
        elif self._state is _QUEUED:
            self._state = _RELEASED
            self._slots.remove_waiter(self)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(Overloaded(jittered_retry_after()))

    def detach(self) -> Callable[[], None]:
        """Keep the slot for code that continues after its caller has left, such as a thread.

        Returns:
            A callback that reports the end of that code. It may be called from any thread; only the first call counts.
            The slot is released when the callbacks of all `detach()` calls and `release()` were called.
        """
        if self._state is not _ACQUIRED:
            return lambda: None
        loop = asyncio.get_running_loop()
        self._add_detached_calls(1)
        # Popping from a list is atomic: if two threads report the end, one of them gets an IndexError.
        pending_callback = [self._on_detached_call_stopped]

        def stopped() -> None:
            with contextlib.suppress(IndexError, RuntimeError):  # called before; the loop is closed
                loop.call_soon_threadsafe(pending_callback.pop())

        return stopped

    def grant(self, now: float) -> None:
        """Take a slot for the waiting `acquire()`, unless its deadline has passed. Called by Slots only."""
        waiter = self._waiter
        if waiter is None or waiter.done():  # cancelled in this loop iteration, `_abort_wait` follows
            self._slots.remove_waiter(self)
            self._state = _RELEASED
        elif self._deadline is not None and now >= self._deadline:
            self._expire()
        else:
            self._state = _ACQUIRED
            self._started_at, self._generation = now, self._slots.generation
            self._slots.acquire(now)
            waiter.set_result(None)

    async def _wait(self, deadline: float | None, now: float) -> float:
        """Wait in the queue; return the time at which a slot was granted."""
        loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._waiter = waiter = loop.create_future()
        self._slots.waiters[self] = None
        timer = None if deadline is None else loop.call_later(deadline - now, self._expire)
        try:
            await waiter
            now = self._slots.clock()  # a busy loop may have taken long to get here
            if deadline is not None and now >= deadline:
                self._slots.shed_late += 1
                raise TimeoutError  # noqa: TRY301 - the slot is given back in one place for all errors
        except BaseException:
            self._waiter = None
            self._abort_wait()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return now

    def _abort_wait(self) -> None:
        if self._state is _ACQUIRED:  # granted in this loop iteration: the slot goes to the next waiter
            self._state = _RELEASED
            self._slots.release(1, self._slots.clock())
        else:
            self.release()

    def _expire(self) -> None:
        if self._state is _QUEUED and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._reject())

    def _reject(self) -> Exception:
        """Release a permit without a slot, and return the error to raise."""
        if self._state is not _QUEUED:
            return Overloaded(jittered_retry_after())
        self._state = _RELEASED
        self._slots.shed_late += 1
        self._slots.remove_waiter(self)
        return TimeoutError()

    def _on_detached_call_stopped(self) -> None:
        self._add_detached_calls(-1)
        if self._state is _RELEASED and not self._detached_calls:
            now = self._slots.clock()
            self._slots.release_after_run(self._generation, now - self._started_at, now)

    def _add_detached_calls(self, change: int) -> None:
        slots, had_detached_calls = self._slots, bool(self._detached_calls)
        self._detached_calls += change
        slots.detached += bool(self._detached_calls) - had_detached_calls
        slots.update_exhausted_since(slots.clock())
