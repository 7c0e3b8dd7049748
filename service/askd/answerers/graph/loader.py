"""Create the graph from the object that the spec names: use it as it is, compile it, or call it as a factory.

A factory without parameters is called once. One with `config` or `runtime` may depend on the question, so it is called
for each question, as LangGraph's server does, and once at the start to learn its parameters.
"""

import asyncio
import contextlib
import dataclasses
import inspect
import sys
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final

import structlog

from askd.answerers.user_code import exceptions
from askd.answerers.user_code.candidates import is_graph, is_graph_builder
from askd.answerers.user_code.importer import ResolvedTarget
from askd.answerers.user_code.user_module import UserModule
from askd.errors import AnswererFailed, LoadError

_VARIADIC_KINDS: Final = frozenset({inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})
_CONFIG_NAME: Final = "config"
_RUNTIME_NAME: Final = "runtime"
_RUNTIME_TYPE: Final = "ServerRuntime"

log = structlog.get_logger("askd.answerer")


class ContextHolder:
    """Enters context managers that stay open while the server runs, and leaves them in `close`, the last one first.

    One task enters and leaves each context, because anyio's cancel scopes, which many libraries use, require that.
    Synchronous ones are entered and left in the thread of the hooks.
    """

    def __init__(self, user_module: UserModule) -> None:
        self._user_module = user_module
        self._open: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def enter(self, manager: Any) -> Any:
        """Enter a context manager and return its value. Its exceptions propagate."""
        entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        close_requested = asyncio.Event()
        task = asyncio.create_task(self._hold(manager, entered, close_requested))
        try:
            await asyncio.wait({entered, task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if entered.done():
                self._open.append((task, close_requested))
            else:
                task.cancel()
        return entered.result() if entered.done() else await task

    async def close(self) -> None:
        """Leave the contexts. Exceptions are logged."""
        while self._open:
            task, close_requested = self._open.pop()
            close_requested.set()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()):
                log.error("graph_context_close_failed", exc_info=error)

    async def _hold(self, manager: Any, entered: "asyncio.Future[Any]", close_requested: asyncio.Event) -> None:
        async with self._as_async(manager) as value:
            entered.set_result(value)
            await close_requested.wait()

    def _as_async(self, manager: Any) -> Any:
        return manager if hasattr(manager, "__aenter__") else _in_threads(manager, self._user_module.run_in_thread)


@contextlib.asynccontextmanager
async def _in_threads(manager: Any, run: Callable[[Callable[[], Any]], Any]) -> AsyncIterator[Any]:
    """Enter and leave a synchronous context in other threads."""
    value = await run(manager.__enter__)
    try:
        yield value
    finally:
        await run(partial(manager.__exit__, None, None, None))


@dataclasses.dataclass(frozen=True)
class FactoryArguments:
    """What a factory may depend on."""

    config: Mapping[str, Any]
    context: Mapping[str, Any]
    store: Any = None
    user: Any = None


class GraphLoader:
    """Creates the graph, and keeps the context of a factory without parameters open.

    Args:
        user_module: The user's module.
        contexts: Holds the factory's context.
    """

    def __init__(self, user_module: UserModule, contexts: ContextHolder) -> None:
        self._user_module, self._contexts = user_module, contexts
        self._factory: _Factory | None = None

    async def load(self, target: ResolvedTarget, *, declared_as_graph: bool, store: Any = None) -> Any:
        """Return the graph, or for a factory with parameters the graph for an empty config.

        Args:
            target: The object that the spec names.
            declared_as_graph: Whether a project declares it as a graph, so that it cannot be meant as a function.
            store: The store for factories that take `runtime`.

        Raises:
            LoadError: The object is not a graph, or the factory failed.
        """
        value = target.value
        try:
            if not is_graph(value) and not is_graph_builder(value):
                factory = _Factory(target, declared_as_graph=declared_as_graph)
                if factory.takes_arguments:
                    self._factory = factory
                    arguments = FactoryArguments({"configurable": {}}, {}, store)
                    async with self._open_factory_graph(factory, arguments, self._user_module.run_in_thread) as graph:
                        return graph
                value = await self._call_once(factory)
            graph = await self._user_module.run_in_thread(partial(_compile, value))
        except LoadError as error:
            if declared_as_graph or is_graph_builder(target.value):
                raise
            raise LoadError(f"{error}, or make it a function, `def answer(text: str) -> str`") from None
        except (Exception, SystemExit) as error:
            cause = (isinstance(error, AnswererFailed) and error.__cause__) or error  # SystemExit in a thread
            raise LoadError(exceptions.call_error_message(cause, subject=target.name, root=target.root)) from error
        return graph

    @property
    def creates_graphs(self) -> bool:
        """Whether a factory with parameters creates a graph for each question."""
        return self._factory is not None

    @contextlib.asynccontextmanager
    async def open_graph(self, arguments: FactoryArguments) -> AsyncIterator[Any]:
        """Yield a graph that the factory creates for a question."""
        if self._factory is None:
            raise RuntimeError("the graph is not created for each question")
        async with self._open_factory_graph(self._factory, arguments, _run_in_executor) as graph:
            yield graph

    async def _call_once(self, factory: "_Factory") -> Any:
        value = await _call(factory, FactoryArguments({}, {}), self._user_module.run_in_thread)
        if _is_context_manager(value):
            value = await self._contexts.enter(value)
        return factory.checked(value)

    @contextlib.asynccontextmanager
    async def _open_factory_graph(
        self, factory: "_Factory", arguments: FactoryArguments, run: Callable[[Callable[[], Any]], Any]
    ) -> AsyncIterator[Any]:
        value = await _call(factory, arguments, run)
        if not _is_context_manager(value):
            yield await run(partial(_compile, factory.checked(value)))
            return
        async with value if hasattr(value, "__aenter__") else _in_threads(value, run) as entered:
            yield await run(partial(_compile, factory.checked(entered)))


class _Factory:
    """A callable that returns a graph.

    Raises:
        LoadError: The object cannot be called, or requires other parameters than `config` and `runtime`.
    """

    def __init__(self, target: ResolvedTarget, *, declared_as_graph: bool) -> None:
        self.function, self.name = target.value, target.name
        if not callable(self.function):
            type_name = type(self.function).__name__
            raise LoadError(f"{self.name} is {type_name}, which is not a graph: name the result of `compile()`")
        self._parameters: dict[str, str] = {}
        """What each parameter gets: `config` or `runtime`."""
        parameters: list[inspect.Parameter] = []
        with contextlib.suppress(TypeError, ValueError):  # a built-in function without an inspectable signature
            parameters = [*inspect.signature(self.function).parameters.values()]
        parameters = [parameter for parameter in parameters if parameter.kind not in _VARIADIC_KINDS]
        self._positional_only = [
            parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY
        ]
        for parameter in parameters:
            if _RUNTIME_TYPE in str(parameter.annotation) or parameter.name == _RUNTIME_NAME:
                self._parameters[parameter.name] = _RUNTIME_NAME
            elif parameter.name == _CONFIG_NAME or (declared_as_graph and _is_required(parameter)):
                self._parameters[parameter.name] = _CONFIG_NAME
        unknown = [p.name for p in parameters if _is_required(p) and p.name not in self._parameters]
        if unknown or list(self._parameters.values()).count(_CONFIG_NAME) > 1:
            names = ", ".join(f"`{name}`" for name in unknown or self._parameters)
            raise LoadError(f"{self.name} requires {names}: a graph factory takes `config`, `runtime` or nothing")

    @property
    def takes_arguments(self) -> bool:
        """Return whether the graph may depend on the question."""
        return bool(self._parameters)

    def call(self, arguments: FactoryArguments) -> Any:
        """Call the function."""
        values = {
            name: dict(arguments.config) if meaning == _CONFIG_NAME else _create_runtime(arguments)
            for name, meaning in self._parameters.items()
        }
        positional = [values.pop(name) for name in self._positional_only if name in values]
        return self.function(*positional, **values)

    def checked(self, value: Any) -> Any:
        """Return the value if it is a graph. Raises LoadError."""
        if is_graph(value) or is_graph_builder(value):
            return value
        raise LoadError(
            f"{self.name} returned {type(value).__name__}, which is not a graph: return the result of `compile()`"
        )


async def _call(factory: _Factory, arguments: FactoryArguments, run: Callable[[Callable[[], Any]], Any]) -> Any:
    call = partial(factory.call, arguments)
    value = call() if inspect.iscoroutinefunction(factory.function) else await run(call)
    return await value if inspect.isawaitable(value) else value


async def _run_in_executor(call: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, call)


def _compile(value: Any) -> Any:
    return value.compile() if is_graph_builder(value) and not is_graph(value) else value


def _is_context_manager(value: Any) -> bool:
    return not is_graph(value) and (hasattr(value, "__aenter__") or hasattr(value, "__enter__"))


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty


def _create_runtime(arguments: FactoryArguments) -> Any:
    """Return LangGraph's `ServerRuntime` of a run, which the factory's module has imported; None without it."""
    union = getattr(sys.modules.get("langgraph_sdk.runtime"), _RUNTIME_TYPE, None)
    members = typing.get_args(getattr(union, "__value__", None))
    classes = [typing.get_origin(member) or member for member in members]
    cls = next((cls for cls in classes if "context" in getattr(cls, "__dataclass_fields__", ())), None)
    if cls is None:
        return None
    return cls(
        access_context="threads.create_run",
        user=arguments.user,
        store=arguments.store,
        context=dict(arguments.context),
    )
