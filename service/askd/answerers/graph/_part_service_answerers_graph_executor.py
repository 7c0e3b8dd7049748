"""The threads for synchronous nodes: askd's own pool in the place of the loop's, which LangGraph runs them in.

The loop's default has as many threads as the machine has cores, and four; it keeps the process from ending while one
of them is in a call; and nodes that hang would take the threads of everything else, scrapes of the metrics included.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from service.answerers.threads import Pool, bearable

P = ParamSpec("P")
T = TypeVar("T")

_WITHIN: Final = contextvars.ContextVar("askd_within_a_graph", default=False)


@contextlib.contextmanager
def within() -> Iterator[None]:
    """Context in which a graph runs: the calls that it, and the tasks that it starts, make are made in the pool."""
    _WITHIN.set(True)
    try:
        yield
    finally:
        _WITHIN.set(False)  # not by a token: a generator may be closed in another context


class Executor(ThreadPoolExecutor):
    """A default executor for a loop: graphs get threads of the pool, all others those of its own."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(thread_name_prefix="asyncio")
        self._pool = pool

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have the call made. Raises RuntimeError, as others do, once there is nobody to make it."""
        if not _WITHIN.get():
            return super().submit(fn, *args, **kwargs)
        if self._pool.closed:
            raise RuntimeError("the pool of threads is closed")
        future: Future[T] = Future()
        self._pool.start(partial(_perform, future, partial(fn, *args, **kwargs)), context=contextvars.copy_context())
        return future


def _perform(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = call()
    except BaseException as fault:  # a thread that ended would take its place in the pool along
        future.set_exception(bearable(fault))
    else:
        future.set_result(value)
