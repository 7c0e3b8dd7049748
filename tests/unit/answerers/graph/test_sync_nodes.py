"""Synchronous nodes: they run in askd's own threads, as many as were set, which nobody waits for at the end."""

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState

from service.answerers.graph.executor import Executor, within
from service.answerers.threads import Pool
from service.errors import AnswererFailed
from service.models import Question
from tests.answerers.graph.graphs import ServeGraph, line
from tests.fakes import settled

HELLO = Question(text="hello")


async def test_as_many_as_were_set(serve_graph: ServeGraph) -> None:
    """More calls than the loop's own threads would allow are made at once; the statistics show them."""
    together = threading.Barrier(40)

    def node(state: MessagesState) -> dict[str, Any]:
        together.wait(10)
        return {"messages": [AIMessage(threading.current_thread().name)]}

    graph = await serve_graph(line(node=node).compile(), threads=40)
    answers = await asyncio.gather(*(graph.answer(HELLO) for _ in range(40)))
    assert {answer.text for answer in answers} == {f"askd-code-{n}" for n in range(1, 41)}
    assert graph.statistics().threads == 40


async def test_a_node_that_ends_the_process(serve_graph: ServeGraph) -> None:
    """SystemExit in a node fails the question, and not the server."""

    def node(state: MessagesState) -> None:
        raise SystemExit(3)

    graph = await serve_graph(line(node=node).compile())
    with pytest.raises(AnswererFailed) as caught:
        await graph.answer(HELLO)
    assert isinstance(caught.value.__cause__, SystemExit)


async def test_others_have_threads_of_their_own(serve_graph: ServeGraph) -> None:
    """What askd itself does in threads, such as a scrape, does not wait for nodes that hang."""
    began, release = threading.Event(), threading.Event()

    def node(state: MessagesState) -> None:
        began.set()
        release.wait(10)

    graph = await serve_graph(line(node=node).compile(), threads=1)
    async with settled(asyncio.create_task(graph.answer(HELLO))):
        assert await asyncio.to_thread(began.wait, 10)
        names = await asyncio.gather(*(asyncio.to_thread(lambda: threading.current_thread().name) for _ in range(3)))
        assert all(name.startswith("asyncio") for name in names)
        assert (graph.statistics().busy, graph.statistics().queued) == (1, 0)
    release.set()


async def test_a_call_that_never_returns(serve_graph: ServeGraph) -> None:
    """The graph closes, and the loop ends, while a node is still in a call."""
    began, release = threading.Event(), threading.Event()

    def node(state: MessagesState) -> None:
        began.set()
        release.wait(10)

    graph = await serve_graph(line(node=node).compile())
    task = asyncio.create_task(graph.answer(HELLO))
    await asyncio.to_thread(began.wait, 10)
    task.cancel()
    await asyncio.wait({task})
    await graph.close()
    assert graph.statistics().busy == 1
    assert await asyncio.to_thread(lambda: "others have threads") == "others have threads"
    release.set()


def test_the_executor_takes_nothing_once_it_is_closed() -> None:
    """A call that no thread will make is refused, rather than waited for."""
    pool = Pool(1)
    pool.close()
    with within(), pytest.raises(RuntimeError, match="closed"):
        Executor(pool).submit(print)


def test_the_executor_passes_over_what_was_cancelled() -> None:
    """A call that was given up before a thread took it is never made."""
    pool = Pool(1)
    made: list[int] = []
    hold, busy = threading.Event(), threading.Event()
    executor = Executor(pool)

    def wait() -> bool:
        busy.set()
        return hold.wait(10)

    with within():
        first = executor.submit(wait)
        busy.wait(10)
        second = executor.submit(made.append, 1)
        assert second.cancel()
        hold.set()
        assert first.result(10)
        assert executor.submit(lambda: "next").result(10) == "next"
    assert not made
    executor.shutdown()
    pool.close()
