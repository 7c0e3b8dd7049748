"""Conversations: what a graph with a checkpointer remembers of a thread, and what it must not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import MessagesState

from service.models import Answer, Question
from tests.answerers.graph.graphs import ServeGraph, count, line, passing, says, streamed
from tests.fakes import settled


async def said(graph: Any, text: str = "hello", **more: Any) -> str:
    """The text of the answer to a question."""
    answer: Answer = await graph.answer(Question(text=text, **more))
    return answer.text


async def test_a_thread_is_remembered(serve_graph: ServeGraph) -> None:
    """Questions in one thread see those before them, in others they do not."""
    graph = await serve_graph(line(count=count).compile(checkpointer=InMemorySaver()))
    assert graph.conversational
    assert [await said(graph, thread=each) for each in ("a", "a", "b", "a")] == [
        "1 messages",
        "3 messages",
        "1 messages",
        "5 messages",
    ]


async def test_streams_take_part(serve_graph: ServeGraph) -> None:
    """A streamed question belongs to its thread as any other."""
    graph = await serve_graph(line(count=count, last=count).compile(checkpointer=InMemorySaver()))
    assert (await streamed(graph, thread="a"))[-1] == Answer("2 messages")
    assert await said(graph, thread="a") == "5 messages"


@pytest.mark.parametrize("way", ["answer", "stream"])
async def test_without_a_thread_nothing_is_left(serve_graph: ServeGraph, way: str) -> None:
    """A question that names no thread stands alone, and its passing thread is deleted."""
    memory = InMemorySaver()
    graph = await serve_graph(line(count=count).compile(checkpointer=memory))
    for _ in range(2):
        answer = (await streamed(graph))[-1] if way == "stream" else await graph.answer(Question(text="hello"))
        assert answer == Answer("1 messages")
    await graph.close()
    assert not memory.storage
    assert not memory.writes


async def test_a_client_who_leaves_leaves_nothing(serve_graph: ServeGraph) -> None:
    """The passing thread of a question that was cancelled is deleted too."""
    began = asyncio.Event()

    async def wait(state: MessagesState) -> None:
        began.set()
        await asyncio.Event().wait()

    memory = InMemorySaver()
    graph = await serve_graph(line(count=count, wait=wait).compile(checkpointer=memory))
    task = asyncio.create_task(said(graph))
    async with settled(task):
        await began.wait()
        assert passing(iter(memory.storage))
    await graph.close()
    assert not memory.storage


class Faulty(InMemorySaver):
    """Cannot delete."""

    async def adelete_thread(self, thread_id: str) -> None:
        """Fail."""
        raise OSError("gone")


async def test_a_thread_that_cannot_be_deleted_is_told_of(serve_graph: ServeGraph) -> None:
    """The answer is given all the same; the log names the thread that is left."""
    memory = Faulty()
    graph = await serve_graph(line(count=count).compile(checkpointer=memory))
    with structlog.testing.capture_logs() as logs:
        assert await said(graph) == "1 messages"
        await graph.close()
    assert [line["thread"] for line in logs] == passing(iter(memory.storage))


async def test_without_a_checkpointer_there_are_no_threads(serve_graph: ServeGraph) -> None:
    """A graph that remembers nothing is not conversational, and a thread is of no meaning to it."""
    graph = await serve_graph(line(count=count).compile())
    assert not graph.conversational
    assert [await said(graph, thread="a") for _ in range(2)] == ["1 messages"] * 2


async def test_questions_in_one_thread_take_turns(serve_graph: ServeGraph) -> None:
    """Two at once in one thread do not lose each other's messages; other threads do not wait."""
    release, began = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(state: MessagesState) -> None:
        began.release()
        await release.wait()

    graph = await serve_graph(line(wait=wait, count=count).compile(checkpointer=InMemorySaver()))
    tasks = [asyncio.create_task(said(graph, thread=each)) for each in ("a", "a", "b")]
    async with settled(tasks[0]), settled(tasks[1]), settled(tasks[2]):
        for _ in range(2):
            await began.acquire()
        assert began.locked()
        release.set()
        assert [await each for each in tasks] == ["1 messages", "3 messages", "1 messages"]


async def test_a_question_that_was_cancelled_gives_its_turn(serve_graph: ServeGraph) -> None:
    """Whoever leaves while in turn, or while waiting for it, does not hold up the thread."""
    began, release = asyncio.Event(), asyncio.Event()

    async def wait(state: MessagesState) -> None:
        began.set()
        await release.wait()

    graph = await serve_graph(line(wait=wait, count=count).compile(checkpointer=InMemorySaver()))
    first, second = (asyncio.create_task(said(graph, thread="a")) for _ in range(2))
    async with settled(second):
        async with settled(first):
            await began.wait()
        release.set()
        assert (await second).endswith("messages")


async def test_a_factory_may_hold_its_checkpointer(serve_graph: ServeGraph) -> None:
    """A context gives a graph with a database, open until the end; threads outlive the graph."""
    closed = []

    @contextlib.asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        async with AsyncSqliteSaver.from_conn_string("threads.sqlite") as memory:
            yield line(count=count).compile(checkpointer=memory)
        closed.append(memory)

    for expected in ("1 messages", "3 messages"):
        graph = await serve_graph(make)
        assert await said(graph, thread="a") == expected
        assert graph.warnings() == []
        assert not closed
        await graph.close()
        assert len(closed.copy()) == 1
        closed.clear()


async def test_memory_that_dies_with_the_process_is_warned_of(serve_graph: ServeGraph) -> None:
    """A checkpointer in memory is named, with what that means."""
    graph = await serve_graph(line(count=count).compile(checkpointer=InMemorySaver()))
    [warning] = graph.warnings()
    assert "InMemorySaver" in warning
    assert "die with the process" in warning
    assert "replicas do not share them" in warning


async def test_a_thread_keeps_what_a_failure_left(serve_graph: ServeGraph) -> None:
    """After a question that failed the thread goes on with the next one."""
    faults = [ValueError("first"), None]

    async def fail(state: MessagesState) -> None:
        if fault := faults.pop(0):
            raise fault

    graph = await serve_graph(line(fail=fail, say=says("well")).compile(checkpointer=InMemorySaver()))
    with pytest.raises(ValueError, match="first"):
        await said(graph, thread="a")
    assert await said(graph, thread="a") == "well"
