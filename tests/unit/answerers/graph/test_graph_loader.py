"""From what is named to the graph that is served: compiled graphs, builders, factories of every sort."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from service.answerers.graph import Graph
from service.errors import LoadError
from service.models import Answer, Question
from tests.answerers.graph.graphs import ServeGraph, count, line
from tests.fakes import settled

HELLO = Question(text="hello")
ONE = Answer("1 messages")


def compiled() -> Any:
    """A factory without arguments."""
    return line(count=count).compile()


def configured(config: dict[str, Any]) -> Any:
    """A factory that gets a config."""
    assert config == {"configurable": {}}
    return compiled()


def positional(config: Any, /) -> Any:
    """A factory whose config cannot be named."""
    return configured(config)


def optional(config: Any = None, *more: Any, **others: Any) -> Any:
    """A factory that needs nothing."""
    assert (config, more, others) == (None, (), {})
    return compiled()


async def later() -> Any:
    """An async factory."""
    return compiled()


@contextlib.contextmanager
def held() -> Iterator[Any]:
    """A factory that holds something open."""
    yield compiled()


@contextlib.asynccontextmanager
async def held_async() -> AsyncIterator[Any]:
    """The same, async, with a time-out that spans the graph's life: it insists on one task."""
    async with asyncio.timeout(3600):
        yield line(count=count)


class Own:
    """A class of graphs."""

    async def ainvoke(self, given: Any, config: Any = None) -> Any:
        """Answer."""
        return {"messages": [{"type": "ai", "content": "1 messages"}]}


FACTORIES = [compiled, configured, positional, optional, later, held, held_async, Own, lambda: line(count=count)]


@pytest.mark.parametrize("value", [compiled(), line(count=count), *FACTORIES])
async def test_what_gives_a_graph(serve_graph: ServeGraph, value: Any) -> None:
    """A compiled graph, one that is not, and a factory of either, in whichever form Python has."""
    graph = await serve_graph(value)
    assert await graph.answer(HELLO) == ONE
    assert await graph.ready() == (True, "")
    await graph.close()


REFUSED = [
    (lambda: "text", r"shop:graph returned str, which is no graph: return what `compile\(\)` gives, or make it `def"),
    (lambda config, store: None, "shop:graph needs `store` to make a graph: a factory gets `config` and nothing else"),
    (lambda runtime: None, "shop:graph needs `runtime`"),
    (7, r"shop:graph is int, which is no graph: name what `compile\(\)` gives"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED)
async def test_what_gives_none(serve_graph: ServeGraph, value: Any, said: str) -> None:
    """Anything else is refused, with what to name or to change."""
    with pytest.raises(LoadError, match=said):
        await serve_graph(value)


def raises() -> Any:
    """A factory with a fault."""
    raise OSError("no model")


def ends() -> Any:
    """A factory that would end the process."""
    raise SystemExit("no model")


async def raises_later() -> Any:
    """An async factory with a fault."""
    raise OSError("no model")


@contextlib.asynccontextmanager
async def raises_within() -> AsyncIterator[Any]:
    """A context that cannot be entered."""
    async with asyncio.timeout_at(None):
        await raises_later()
        yield


@pytest.mark.parametrize("value", [raises, ends, raises_later, raises_within])
async def test_a_factory_that_fails(serve_graph: ServeGraph, value: Any) -> None:
    """A fault of the factory ends the start, with the fault."""
    with pytest.raises(LoadError, match=r"shop:graph failed:(?s:.*)no model"):
        await serve_graph(value)


async def test_a_builder_that_does_not_compile(serve_graph: ServeGraph) -> None:
    """What LangGraph has to say against a graph ends the start."""
    builder = line(count=count)
    builder.add_edge("count", "nowhere")
    with pytest.raises(LoadError, match=r"shop:graph failed:(?s:.*)nowhere"):
        await serve_graph(builder)


async def test_a_factory_that_fails_at_the_end(serve_graph: ServeGraph) -> None:
    """What a factory's context raises when it is left is logged, and stops nothing."""

    @contextlib.asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        yield compiled()
        raise OSError("cannot close")

    graph = await serve_graph(make)
    with structlog.testing.capture_logs() as logs:
        await graph.close()
    assert "cannot close" in repr(logs)


async def test_a_start_that_is_given_up(serve_graph: ServeGraph) -> None:
    """A factory that is still being entered when the server stops is cancelled."""
    began, ended = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        try:
            began.set()
            await asyncio.Event().wait()
            yield compiled()
        finally:
            ended.set()

    task = asyncio.ensure_future(serve_graph(make))
    async with settled(task):
        await began.wait()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_synchronous_factory_does_not_hold_up_the_loop(serve_graph: ServeGraph) -> None:
    """A factory may take long, and so is called in the thread that imported the module."""
    where = []

    @contextlib.contextmanager
    def make() -> Iterator[Any]:
        where.append(threading.current_thread())
        yield compiled()
        where.append(threading.current_thread())

    await (await serve_graph(make)).close()
    assert where[0] is where[1] is not threading.main_thread()


async def test_before_and_after() -> None:
    """A graph that is not loaded says so; closing it is safe at any time."""
    graph = Graph("nowhere:graph", threads=1)
    assert await graph.ready() == (False, "not loaded")
    with pytest.raises(LoadError, match="no module 'nowhere'"):
        await graph.load(lambda line: None)
    with pytest.raises(RuntimeError, match="not loaded"):
        await graph.answer(HELLO)
    await graph.close()
    await graph.close()
