"""Iteration over the results of generators: async ones in the event loop, others in a thread."""

import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, Final

from askd.answerers.user_code.thread_pool import ThreadPool

_EXHAUSTED: Final = object()


def is_iterator(value: object) -> bool:
    """Return whether the value yields an answer in parts. A list does not: only iterators do."""
    return isinstance(value, AsyncIterator | Iterator)


def iterate(pool: ThreadPool, source: Any) -> AsyncGenerator[Any, None]:
    """Yield the items of `source`; a synchronous iterator runs in the pool, one call for each item.

    Close the generator to close `source`.
    """
    return _iterate_async(source) if isinstance(source, AsyncIterator) else _iterate_in_threads(pool, source)


async def collect(pool: ThreadPool, source: Any) -> list[Any]:
    """Return all items of `source`; a synchronous iterator takes one call in the pool."""
    if isinstance(source, AsyncIterator):
        async with contextlib.aclosing(_iterate_async(source)) as items:
            return [item async for item in items]
    threaded = _ThreadedIterator(pool, source)
    try:
        return await threaded.collect()
    finally:
        threaded.close()


async def _iterate_async(source: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """Like `aclosing`, but accepts iterators without `aclose`."""
    try:
        async for item in source:
            yield item
    finally:
        if close := getattr(source, "aclose", None):
            await close()


async def _iterate_in_threads(pool: ThreadPool, source: Iterator[Any]) -> AsyncGenerator[Any, None]:
    threaded = _ThreadedIterator(pool, source)
    try:
        while (item := await threaded.next_item()) is not _EXHAUSTED:
            yield item
    finally:
        threaded.close()


class _ThreadedIterator:
    """A synchronous iterator that advances in threads, always in the same context.

    Closing a generator while it runs raises ValueError, so `close` leaves that to the thread that runs it.
    """

    def __init__(self, pool: ThreadPool, source: Iterator[Any]) -> None:
        self._pool = pool
        self._source = source
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._is_running = False
        self._is_closing = False
        self._is_exhausted = False

    async def next_item(self) -> Any:
        return await self._pool.run(self._advance, context=self._context)

    async def collect(self) -> list[Any]:
        return await self._pool.run(self._collect_items, context=self._context)

    def close(self) -> None:
        """Close the source in a thread: now, or when its current step ends. Does not wait."""
        with self._lock:
            self._is_closing = True
            needs_no_close = self._is_running or self._is_exhausted
        if not needs_no_close:
            # A copy, because the thread of the last step may still be inside the context.
            self._pool.run_in_background(self._close_source, context=self._context.copy())

    def _collect_items(self) -> list[Any]:
        items = []
        while (item := self._advance()) is not _EXHAUSTED:
            items.append(item)
        return items

    def _advance(self) -> Any:
        with self._lock:
            if self._is_closing:
                return _EXHAUSTED
            self._is_running = True
        item = _EXHAUSTED
        try:
            item = next(self._source, _EXHAUSTED)
        finally:
            self._finish_step(exhausted=item is _EXHAUSTED)
        return item

    def _finish_step(self, *, exhausted: bool) -> None:
        with self._lock:
            self._is_running, self._is_exhausted = False, exhausted
            is_closing = self._is_closing
        if is_closing and not exhausted:
            self._close_source()

    def _close_source(self) -> None:
        if close := getattr(self._source, "close", None):
            close()
