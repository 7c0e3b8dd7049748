"""Loading graphs: compiled graphs, builders and factories."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from langgraph_sdk.runtime import ServerRuntime

from askd.answerers.graph import GraphAnswerer
from askd.errors import LoadError
from askd.models import Answer, Question
from tests.support.fakes import cancelled_on_exit
from tests.support.langgraph_graphs import LoadGraph, constant_node, count_messages, sequential_graph

HELLO = Question(text="hello")
ONE = Answer("1 messages")


def compiled() -> Any:
    """Return a graph: a factory without arguments."""
    return sequential_graph(count=count_messages).compile()


def configured(config: dict[str, Any]) -> Any:
    """Return a graph: a factory with a config."""
    assert set(config["configurable"]) <= {"thread_id"}
    return compiled()


def positional(config: Any, /) -> Any:
    """Return a graph: a factory with a positional-only config."""
    return configured(config)


def optional(config: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return a graph: a factory with optional parameters."""
    assert (args, kwargs) == ((), {})
    return configured(config)


async def async_factory() -> Any:
    """Return a graph: an async factory."""
    return compiled()


@contextlib.contextmanager
def context() -> Iterator[Any]:
    """Yield a graph: a factory with a context."""
    yield compiled()


@contextlib.asynccontextmanager
async def async_context() -> AsyncIterator[Any]:
    """Yield a graph within a timeout, which must be entered and left in one task."""
    async with asyncio.timeout(3600):
        yield sequential_graph(count=count_messages)


class Custom:
    """A class whose instances are graphs."""

    async def ainvoke(self, graph_input: Any, config: Any = None) -> Any:
        """Return a state with one message."""
        return {"messages": [{"type": "ai", "content": "1 messages"}]}


FACTORIES = [
    compiled,
    configured,
    positional,
    optional,
    async_factory,
    context,
    async_context,
    Custom,
    lambda: sequential_graph(count=count_messages),
]


@pytest.mark.parametrize("value", [compiled(), sequential_graph(count=count_messages), *FACTORIES])
async def test_graphs_and_factories(serve_graph: LoadGraph, value: Any) -> None:
    """Compiled graphs, builders, and all kinds of factories of either, are served."""
    graph = await serve_graph(value)
    assert await graph.answer(HELLO) == ONE
    assert await graph.ready() == (True, "")
    await graph.close()


INVALID = [
    (
        lambda: "text",
        r"shop:graph returned str, which is not a graph: return the result of `compile\(\)`, or make it a function",
    ),
    (
        lambda config, store: None,
        "shop:graph requires `store`: a graph factory takes `config`, `runtime` or nothing",
    ),
    (lambda runtime: None, "shop:graph returned NoneType"),
    (7, r"shop:graph is int, which is not a graph: name the result of `compile\(\)`"),
]


@pytest.mark.parametrize(("value", "message"), INVALID)
async def test_other_objects(serve_graph: LoadGraph, value: Any, message: str) -> None:
    """Any other object is a LoadError that explains what to name or change."""
    with pytest.raises(LoadError, match=message):
        await serve_graph(value)


def raises() -> Any:
    """Raise an exception."""
    raise OSError("no model")


def exits() -> Any:
    """Raise SystemExit."""
    raise SystemExit("no model")


async def raises_async() -> Any:
    """Raise an exception in an async factory."""
    raise OSError("no model")


@contextlib.asynccontextmanager
async def raises_in_context() -> AsyncIterator[Any]:
    """Raise an exception when the context is entered."""
    async with asyncio.timeout_at(None):
        await raises_async()
        yield


@pytest.mark.parametrize("value", [raises, exits, raises_async, raises_in_context])
async def test_failing_factory(serve_graph: LoadGraph, value: Any) -> None:
    """An exception in a factory is a LoadError that contains it."""
    with pytest.raises(LoadError, match=r"shop:graph failed:(?s:.*)no model"):
        await serve_graph(value)


async def test_builder_that_does_not_compile(serve_graph: LoadGraph) -> None:
    """An exception of LangGraph's compiler is a LoadError that contains it."""
    builder = sequential_graph(count=count_messages)
    builder.add_edge("count", "nowhere")
    with pytest.raises(LoadError, match=r"shop:graph failed:(?s:.*)nowhere"):
        await serve_graph(builder)


async def test_factory_that_fails_on_close(serve_graph: LoadGraph) -> None:
    """An exception when the factory's context is left is logged."""

    @contextlib.asynccontextmanager
    async def factory() -> AsyncIterator[Any]:
        yield compiled()
        raise OSError("cannot close")

    graph = await serve_graph(factory)
    with structlog.testing.capture_logs() as logs:
        await graph.close()
    assert "cannot close" in repr(logs)


async def test_cancelled_load(serve_graph: LoadGraph) -> None:
    """If the load is cancelled while it enters the factory's context, the context is cancelled too."""
    started, ended = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def factory() -> AsyncIterator[Any]:
        try:
            started.set()
            await asyncio.Event().wait()
            yield compiled()
        finally:
            ended.set()

    task = asyncio.ensure_future(serve_graph(factory))
    async with cancelled_on_exit(task):
        await started.wait()
    await asyncio.wait_for(ended.wait(), 5)


async def test_synchronous_factory_runs_in_a_thread(serve_graph: LoadGraph) -> None:
    """A synchronous factory runs in the thread that imported the module."""
    threads = []

    @contextlib.contextmanager
    def factory() -> Iterator[Any]:
        threads.append(threading.current_thread())
        yield compiled()
        threads.append(threading.current_thread())

    await (await serve_graph(factory)).close()
    assert threads[0] is threads[1] is not threading.main_thread()


async def test_not_loaded() -> None:
    """A graph that is not loaded is not ready and raises; it can be closed at any time."""
    graph = GraphAnswerer("nowhere:graph", threads=1)
    assert await graph.ready() == (False, "not loaded")
    with pytest.raises(LoadError, match="cannot find the module 'nowhere'"):
        await graph.load(lambda line: None)
    with pytest.raises(RuntimeError, match="not loaded"):
        await graph.answer(HELLO)
    await graph.close()
    await graph.close()


def named_graph(name: Any) -> Any:
    """Return a graph that answers with a name."""
    return sequential_graph(say=constant_node(str(name))).compile()


async def test_factory_that_depends_on_the_question(serve_graph: LoadGraph) -> None:
    """A factory with `config` is called for each question, with the thread and the context of the question."""
    calls: list[Any] = []

    def make_graph(config: dict[str, Any]) -> Any:
        calls.append(config["configurable"])
        return named_graph(config["configurable"].get("thread_id", "")[:5])

    graph = await serve_graph(make_graph)
    assert await graph.answer(HELLO) == Answer("askd-")
    assert await graph.answer(HELLO) == Answer("askd-")
    assert calls[0] == {}
    assert calls[1]["thread_id"] != calls[2]["thread_id"]


async def test_context_of_a_factory_ends_with_the_question(serve_graph: LoadGraph) -> None:
    """The context manager of a factory with `config` is entered and left for each question."""
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def make_graph(config: dict[str, Any]) -> AsyncIterator[Any]:
        events.append("enter")
        yield compiled()
        events.append("leave")

    graph = await serve_graph(make_graph)
    assert await graph.answer(HELLO) == ONE
    assert events == ["enter", "leave"] * 2


async def test_factory_with_a_runtime(serve_graph: LoadGraph) -> None:
    """A factory with LangGraph's ServerRuntime gets one of a run; `config` may stand beside it in any order."""

    def make_graph(runtime: "ServerRuntime[Any]", config: dict[str, Any]) -> Any:
        execution = runtime.execution_runtime
        assert execution is not None
        return named_graph((runtime.access_context, runtime.user, execution.context, len(config)))

    graph = await serve_graph(make_graph)
    assert await graph.answer(HELLO) == Answer("('threads.create_run', None, {}, 1)")


async def test_factory_that_fails_for_a_question(serve_graph: LoadGraph) -> None:
    """An exception of a factory during a question reaches the caller, as one of a node does."""

    def make_graph(config: dict[str, Any]) -> Any:
        if config["configurable"]:
            raise OSError("no model")
        return compiled()

    with pytest.raises(OSError, match="no model"):
        await (await serve_graph(make_graph)).answer(HELLO)
