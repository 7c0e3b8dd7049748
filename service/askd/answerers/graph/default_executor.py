"""The event loop's default executor while graphs are served.

LangGraph runs synchronous nodes in the event loop's default executor. `GraphExecutor` replaces it by the thread pool of
the graph, for three reasons: the default executor has only as many threads as the machine has cores, plus four; it
keeps the process from ending while a thread is in a call; and hanging nodes would take the threads of everything else,
including metrics scrapes and other graphs.
"""

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from askd.answerers.user_code.thread_pool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")

graph_pool_var: Final[contextvars.ContextVar[ThreadPool | None]] = contextvars.ContextVar(
    "askd_graph_pool", default=None
)
"""Pool of the graph that runs in this context: executor calls of the graph and its tasks run there."""


class GraphExecutor(ThreadPoolExecutor):
    """A default executor for the event loop: calls from graphs run in their pools, all others in its own threads."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="asyncio")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule the call. Raises RuntimeError if the pool is closed, like other executors."""
        pool = graph_pool_var.get()
        if pool is None:
            return super().submit(fn, *args, **kwargs)
        return pool.submit(partial(fn, *args, **kwargs), context=contextvars.copy_context())
