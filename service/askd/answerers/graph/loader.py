"""From what the spec names to the graph: taken as it is, compiled, or made by a factory, once, at the start."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import structlog

from service.answerers import faults
from service.answerers.candidates import is_builder, is_graph
from service.answerers.home import Home
from service.answerers.importing import Found
from service.errors import AnswererFailed, LoadError

_GATHERING: Final = frozenset({inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})

log = structlog.get_logger("askd.answerer")


class Maker:
    """Makes the graph, and holds what its factory holds open, such as the connection of a checkpointer, until `close`.

    A context of the factory's is entered and left in one task: the scopes of anyio, which many libraries use, insist
    on that.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._leave = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None

    async def make(self, found: Found, *, certain: bool) -> Any:
        """Return the graph. `certain`: the project says that it is one. Raises LoadError."""
        value = found.value
        try:
            if not is_graph(value) and not is_builder(value):
                value = await self._made(found)
            return await self._home.run(value.compile) if is_builder(value) and not is_graph(value) else value
        except LoadError as fault:
            if certain or is_builder(found.value):
                raise
            raise LoadError(f"{fault}, or make it `def answer(text: str) -> str` to answer itself") from None
        except (Exception, SystemExit) as fault:
            cause = (isinstance(fault, AnswererFailed) and fault.__cause__) or fault  # SystemExit in a thread
            raise LoadError(faults.call_failed(cause, what=found.name, root=found.root)) from fault

    async def close(self) -> None:
        """Leave the factory's context. What it raises is logged."""
        if self._holder is None:
            return
        self._leave.set()
        holder, self._holder = self._holder, None
        await asyncio.wait({holder})
        if not holder.cancelled() and (fault := holder.exception()):
            log.error("the factory of the graph failed to end", exc_info=fault)

    async def _made(self, found: Found) -> Any:
        call = _call(found)
        made = call() if inspect.iscoroutinefunction(found.value) else await self._home.run(call)
        if inspect.isawaitable(made):
            made = await made
        if not is_graph(made) and (hasattr(made, "__aenter__") or hasattr(made, "__enter__")):
            made = await self._entered(made)
        if not is_graph(made) and not is_builder(made):
            raise LoadError(
                f"{found.name} returned {type(made).__name__}, which is no graph: return what `compile()` gives"
            )
        return made

    async def _entered(self, manager: Any) -> Any:
        entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(self._hold(manager, entered))
        try:
            await asyncio.wait({entered, self._holder}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not entered.done():
                holder, self._holder = self._holder, None
                holder.cancel()
        return entered.result() if entered.done() else await holder

    async def _hold(self, manager: Any, entered: "asyncio.Future[Any]") -> None:
        async with manager if hasattr(manager, "__aenter__") else self._aside(manager) as value:
            entered.set_result(value)
            await self._leave.wait()

    @contextlib.asynccontextmanager
    async def _aside(self, manager: Any) -> AsyncIterator[Any]:
        """Enter and leave a synchronous context in the thread of the hooks."""
        value = await self._home.run(manager.__enter__)
        try:
            yield value
        finally:
            await self._home.run(partial(manager.__exit__, None, None, None))


def _call(found: Found) -> Any:
    """Return the call of the factory. Raises LoadError where it needs what only LangGraph's own server has."""
    if not callable(found.value):
        raise LoadError(f"{found.name} is {type(found.value).__name__}, which is no graph: name what `compile()` gives")
    try:
        formals = inspect.signature(found.value).parameters.values()
    except (TypeError, ValueError):
        formals = ()  # type: ignore[assignment] # a built-in function that does not tell its parameters
    needed = [each for each in formals if each.default is each.empty and each.kind not in _GATHERING]
    if not needed:
        return found.value
    if len(needed) > 1 or needed[0].name != "config":
        names = ", ".join(f"`{each.name}`" for each in needed if each.name != "config")
        raise LoadError(f"{found.name} needs {names} to make a graph: a factory gets `config` and nothing else")
    return partial(_with_config, found.value, needed[0])


def _with_config(factory: Any, formal: inspect.Parameter) -> Any:
    config: dict[str, Any] = {"configurable": {}}
    return factory(config) if formal.kind is formal.POSITIONAL_ONLY else factory(**{formal.name: config})
