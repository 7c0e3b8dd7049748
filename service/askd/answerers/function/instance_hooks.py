"""Set-up and clean-up methods of an object that answers questions."""

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from askd.answerers.function.callables import required_parameters


class InstanceHooks:
    """Calls the set-up and clean-up methods of an object that was created from a class.

    Asynchronous methods run on the event loop, the others in the thread that created the object.

    Args:
        instance: The object; None has no methods.
        run_in_thread: Runs a call in that thread.
    """

    def __init__(self, instance: object, run_in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._instance = instance
        self._run_in_thread = run_in_thread
        self._has_entered = False

    async def start(self) -> None:
        """Call `__aenter__` or `__enter__`, then `setup` and `startup`. Exceptions propagate."""
        await self._call_first("__aenter__", "__enter__")
        self._has_entered = True
        for name in ("setup", "startup"):
            await self._call_first(name)

    async def stop(self) -> None:
        """Call `shutdown`, `aclose` or `close`, and `__aexit__` or `__exit__`. Exceptions propagate, the first one."""
        if not self._has_entered:
            return
        self._has_entered = False
        async with contextlib.AsyncExitStack() as stack:  # calls all of them, even if one fails
            stack.push_async_callback(self._call_first, "__aexit__", "__exit__", arguments=(None, None, None))
            stack.push_async_callback(self._call_first, "aclose", "close")
            stack.push_async_callback(self._call_first, "shutdown")

    async def _call_first(self, *names: str, arguments: tuple[Any, ...] = ()) -> None:
        method = next((method for name in names if (method := self._method(name)) is not None), None)
        if method is None:
            return
        required = [] if arguments else required_parameters(method)
        if required == ["device"]:  # of LitServe
            arguments = ("cpu",)
        elif required:
            return  # a method with another meaning
        call = functools.partial(method, *arguments)
        result = call() if inspect.iscoroutinefunction(method) else await self._run_in_thread(call)
        if inspect.isawaitable(result):
            await result

    def _method(self, name: str) -> Callable[..., Any] | None:
        method = getattr(self._instance, name, None) if hasattr(type(self._instance), name) else None
        return method if callable(method) else None
