"""Items of a generator, asked for one by one, whichever kind it is; left early, the generator is closed."""

import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, Final

from service.answerers.threads import Pool

_END: Final = object()


def is_stream(value: object) -> bool:
    """Whether `value` yields an answer piece by piece. A list does not: it may be asked for its items again."""
    return isinstance(value, AsyncIterator | Iterator)


def items(pool: Pool, source: Any) -> AsyncGenerator[Any, None]:
    """Yield what `source` yields; a synchronous one is resumed in the pool for each item. Close it when done."""
    return _asynchronous(source) if isinstance(source, AsyncIterator) else _synchronous(pool, source)


async def all_items(pool: Pool, source: Any) -> list[Any]:
    """Return all that `source` yields; a synchronous one takes one turn of a thread for the whole."""
    if isinstance(source, AsyncIterator):
        async with contextlib.aclosing(_asynchronous(source)) as found:
            return [item async for item in found]
    threaded = _Threaded(pool, source)
    try:
        return await threaded.rest()
    finally:
        threaded.leave()


async def _asynchronous(source: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """Like `aclosing`, but iterators that cannot be closed are welcome too."""
    try:
        async for item in source:
            yield item
    finally:
        if close := getattr(source, "aclose", None):
            await close()


async def _synchronous(pool: Pool, source: Iterator[Any]) -> AsyncGenerator[Any, None]:
    threaded = _Threaded(pool, source)
    try:
        while (item := await threaded.next()) is not _END:
            yield item
    finally:
        threaded.leave()


class _Threaded:
    """A synchronous iterator, advanced in threads, always in the same context.

    Closing one while it runs raises ValueError; so who leaves asks for that, and the thread that is in it does it.
    """

    def __init__(self, pool: Pool, source: Iterator[Any]) -> None:
        self._pool = pool
        self._source = source
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._running = False
        self._left = False
        self._ended = False

    async def next(self) -> Any:
        return await self._pool.run(self._next, context=self._context)

    async def rest(self) -> list[Any]:
        return await self._pool.run(self._rest, context=self._context)

    def leave(self) -> None:
        """Have the generator closed, now or once the thread that is in it comes out. Does not wait for that."""
        with self._lock:
            self._left = True
            elsewhere = self._running or self._ended
        if not elsewhere:
            # A copy: the thread that made the last step may not have left the context itself yet.
            self._pool.start(self._close, context=self._context.copy())

    def _rest(self) -> list[Any]:
        found = []
        while (item := self._next()) is not _END:
            found.append(item)
        return found

    def _next(self) -> Any:
        with self._lock:
            if self._left:
                return _END
            self._running = True
        item = _END
        try:
            item = next(self._source, _END)
        finally:
            self._come_out(ended=item is _END)
        return item

    def _come_out(self, *, ended: bool) -> None:
        with self._lock:
            self._running, self._ended = False, ended
            left = self._left
        if left and not ended:
            self._close()

    def _close(self) -> None:
        if close := getattr(self._source, "close", None):
            close()
