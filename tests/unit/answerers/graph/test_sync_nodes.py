"""Synchronous nodes run in askd's thread pool."""

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState

from askd.answerers.graph.default_executor import GraphExecutor, graph_pool_var
from askd.answerers.user_code.thread_pool import ThreadPool
from askd.errors import AnswererFailed
from askd.models import Question
from tests.support.fakes import cancelled_on_exit
from tests.support.langgraph_graphs import LoadGraph, sequential_graph

HELLO = Question(text="hello")


async def test_thread_limit(serve_graph: LoadGraph) -> None:
    """The configured number of calls run at once, more than the default executor would allow."""
    barrier = threading.Barrier(40)

    def node(state: MessagesState) -> dict[str, Any]:
        barrier.wait(10)
        return {"messages": [AIMessage(threading.current_thread().name)]}

    graph = await serve_graph(sequential_graph(node=node).compile(), threads=40)
    answers = await asyncio.gather(*(graph.answer(HELLO) for _ in range(40)))
    assert {answer.text for answer in answers} == {f"askd-code-{n}" for n in range(1, 41)}
    assert graph.statistics().threads == 40


async def test_node_that_exits(serve_graph: LoadGraph) -> None:
    """SystemExit in a node fails only the question."""

    def node(state: MessagesState) -> None:
        raise SystemExit(3)

    graph = await serve_graph(sequential_graph(node=node).compile())
    with pytest.raises(AnswererFailed) as caught:
        await graph.answer(HELLO)
    assert isinstance(caught.value.__cause__, SystemExit)


async def test_other_calls_have_separate_threads(serve_graph: LoadGraph) -> None:
    """Calls of askd itself, such as metrics scrapes, do not wait for hanging nodes."""
    started, release = threading.Event(), threading.Event()

    def node(state: MessagesState) -> None:
        started.set()
        release.wait(10)

    graph = await serve_graph(sequential_graph(node=node).compile(), threads=1)
    async with cancelled_on_exit(asyncio.create_task(graph.answer(HELLO))):
        assert await asyncio.to_thread(started.wait, 10)
        names = await asyncio.gather(*(asyncio.to_thread(lambda: threading.current_thread().name) for _ in range(3)))
        assert all(name.startswith("asyncio") for name in names)
        assert (graph.statistics().busy_threads, graph.statistics().queued_calls) == (1, 0)
    release.set()


async def test_close_during_a_call(serve_graph: LoadGraph) -> None:
    """The graph can be closed while a node is in a call."""
    started, release = threading.Event(), threading.Event()

    def node(state: MessagesState) -> None:
        started.set()
        release.wait(10)

    graph = await serve_graph(sequential_graph(node=node).compile())
    task = asyncio.create_task(graph.answer(HELLO))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    await asyncio.wait({task})
    await graph.close()
    assert graph.statistics().busy_threads == 1
    assert await asyncio.to_thread(lambda: "other call") == "other call"
    release.set()


def test_closed_executor_rejects_calls() -> None:
    """After the pool is closed, a call raises instead of waiting forever."""
    pool = ThreadPool(1)
    pool.close()
    token = graph_pool_var.set(pool)
    with pytest.raises(RuntimeError, match="closed"):
        GraphExecutor().submit(print)
    graph_pool_var.reset(token)


def test_cancelled_executor_call_never_runs() -> None:
    """A call that is cancelled in the queue never runs."""
    pool = ThreadPool(1)
    results: list[int] = []
    release, started = threading.Event(), threading.Event()
    executor = GraphExecutor()

    def wait() -> bool:
        started.set()
        return release.wait(10)

    token = graph_pool_var.set(pool)
    first = executor.submit(wait)
    started.wait(10)
    second = executor.submit(results.append, 1)
    assert second.cancel()
    release.set()
    assert first.result(10)
    assert executor.submit(lambda: "next").result(10) == "next"
    graph_pool_var.reset(token)
    assert not results
    executor.shutdown()
    pool.close()
