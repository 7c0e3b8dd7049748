"""Create the graph from the object that the spec names: use it as it is, compile it, or call it as a factory."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any, Final

import structlog

from askd.answerers.user_code import exceptions
from askd.answerers.user_code.importer import ResolvedTarget, is_graph, is_graph_builder
from askd.answerers.user_code.module import UserModule
from askd.errors import AnswererFailed, LoadError

_VARIADIC_KINDS: Final = frozenset({inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})

log = structlog.get_logger("askd.answerer")


class GraphLoader:
    """Creates the graph, and keeps its factory's context open until `close`, such as a checkpointer's connection.

    One task enters and leaves the context, because anyio's cancel scopes, which many libraries use, require that.
    """

    def __init__(self, user_module: UserModule) -> None:
        self._user_module = user_module
        self._close_requested = asyncio.Event()
        self._context_task: asyncio.Task[None] | None = None

    async def load(self, target: ResolvedTarget, *, declared_as_graph: bool) -> Any:
        """Return the graph.

        Args:
            target: The object that the spec names.
            declared_as_graph: Whether a project declares it as a graph, so that it cannot be meant as a function.

        Raises:
            LoadError: The object is not a graph, or the factory failed.
        """
        value = target.value
        try:
            if not is_graph(value) and not is_graph_builder(value):
                value = await self._call_factory(target)
            if is_graph_builder(value) and not is_graph(value):
                value = await self._user_module.run_in_thread(value.compile)
        except LoadError as error:
            if declared_as_graph or is_graph_builder(target.value):
                raise
            raise LoadError(f"{error}, or make it a function, `def answer(text: str) -> str`") from None
        except (Exception, SystemExit) as error:
            cause = (isinstance(error, AnswererFailed) and error.__cause__) or error  # SystemExit in a thread
            raise LoadError(exceptions.call_error_message(cause, subject=target.name, root=target.root)) from error
        return value

    async def close(self) -> None:
        """Leave the factory's context. An exception is logged."""
        if self._context_task is None:
            return
        self._close_requested.set()
        task, self._context_task = self._context_task, None
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()):
            log.error("graph_factory_close_failed", exc_info=error)

    async def _call_factory(self, target: ResolvedTarget) -> Any:
        call = _factory_call(target)
        value = call() if inspect.iscoroutinefunction(target.value) else await self._user_module.run_in_thread(call)
        if inspect.isawaitable(value):
            value = await value
        if not is_graph(value) and (hasattr(value, "__aenter__") or hasattr(value, "__enter__")):
            value = await self._enter_context(value)
        if not is_graph(value) and not is_graph_builder(value):
            raise LoadError(
                f"{target.name} returned {type(value).__name__}, which is not a graph: return the result of `compile()`"
            )
        return value

    async def _enter_context(self, manager: Any) -> Any:
        entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._context_task = asyncio.create_task(self._hold_context(manager, entered))
        try:
            await asyncio.wait({entered, self._context_task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not entered.done():
                task, self._context_task = self._context_task, None
                task.cancel()
        return entered.result() if entered.done() else await task

    async def _hold_context(self, manager: Any, entered: "asyncio.Future[Any]") -> None:
        async with manager if hasattr(manager, "__aenter__") else self._sync_context(manager) as value:
            entered.set_result(value)
            await self._close_requested.wait()

    @contextlib.asynccontextmanager
    async def _sync_context(self, manager: Any) -> AsyncIterator[Any]:
        """Enter and leave a synchronous context in the thread of the hooks."""
        value = await self._user_module.run_in_thread(manager.__enter__)
        try:
            yield value
        finally:
            await self._user_module.run_in_thread(partial(manager.__exit__, None, None, None))


def _factory_call(target: ResolvedTarget) -> Any:
    """Return a function without parameters that calls the factory.

    Raises:
        LoadError: The factory requires arguments that only LangGraph's own server has.
    """
    if not callable(target.value):
        type_name = type(target.value).__name__
        raise LoadError(f"{target.name} is {type_name}, which is not a graph: name the result of `compile()`")
    parameters: Iterable[inspect.Parameter] = ()
    with contextlib.suppress(TypeError, ValueError):  # a built-in function without an inspectable signature
        parameters = inspect.signature(target.value).parameters.values()
    required = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind not in _VARIADIC_KINDS
    ]
    if not required:
        return target.value
    if len(required) > 1 or required[0].name != "config":
        names = ", ".join(f"`{parameter.name}`" for parameter in required if parameter.name != "config")
        raise LoadError(f"{target.name} requires {names}: a graph factory is called with `config` and nothing else")
    return partial(_call_with_config, target.value, required[0])


def _call_with_config(factory: Any, parameter: inspect.Parameter) -> Any:
    config: dict[str, Any] = {"configurable": {}}
    return factory(config) if parameter.kind is parameter.POSITIONAL_ONLY else factory(**{parameter.name: config})
