"""Threads: conversations that a graph's checkpointer stores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import MessagesState

from askd.models import Answer, Question
from tests.support.fakes import cancelled_on_exit
from tests.support.langgraph_graphs import (
    LoadGraph,
    collect_stream,
    count_messages,
    model_node,
    sequential_graph,
    temporary_thread_ids,
)


async def ask(graph: Any, text: str = "hello", **options: Any) -> str:
    """Return the text of the answer to a question."""
    answer: Answer = await graph.answer(Question(text=text, **options))
    return answer.text


async def test_thread_is_remembered(serve_graph: LoadGraph) -> None:
    """A question has the earlier messages of its thread, and no others."""
    graph = await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=InMemorySaver()))
    assert graph.supports_threads
    assert [await ask(graph, thread_id=thread) for thread in ("a", "a", "b", "a")] == [
        "1 messages",
        "3 messages",
        "1 messages",
        "5 messages",
    ]


async def test_streaming_in_a_thread(serve_graph: LoadGraph) -> None:
    """A streamed question is part of its thread."""
    graph = await serve_graph(
        sequential_graph(count=count_messages, last=count_messages).compile(checkpointer=InMemorySaver())
    )
    assert (await collect_stream(graph, thread_id="a"))[-1] == Answer("2 messages")
    assert await ask(graph, thread_id="a") == "5 messages"


@pytest.mark.parametrize("method", ["answer", "stream"])
async def test_temporary_thread_is_deleted(serve_graph: LoadGraph, method: str) -> None:
    """A question without a thread is independent, and its temporary thread is deleted."""
    checkpointer = InMemorySaver()
    graph = await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=checkpointer))
    for _ in range(2):
        answer = (await collect_stream(graph))[-1] if method == "stream" else await graph.answer(Question(text="hello"))
        assert answer == Answer("1 messages")
    await graph.close()
    assert not checkpointer.storage
    assert not checkpointer.writes


async def test_temporary_thread_of_cancelled_request_is_deleted(serve_graph: LoadGraph) -> None:
    """The temporary thread of a cancelled request is deleted too."""
    started = asyncio.Event()

    async def wait(state: MessagesState) -> None:
        started.set()
        await asyncio.Event().wait()

    checkpointer = InMemorySaver()
    graph = await serve_graph(sequential_graph(count=count_messages, wait=wait).compile(checkpointer=checkpointer))
    task = asyncio.create_task(ask(graph))
    async with cancelled_on_exit(task):
        await started.wait()
        assert temporary_thread_ids(iter(checkpointer.storage))
    await graph.close()
    assert not checkpointer.storage


class FailingDelete(InMemorySaver):
    """A checkpointer whose deletion fails."""

    async def adelete_thread(self, thread_id: str) -> None:
        """Fail."""
        raise OSError("gone")


async def test_failing_deletion_is_logged(serve_graph: LoadGraph) -> None:
    """A failing deletion does not fail the question; the log has the thread's id."""
    checkpointer = FailingDelete()
    graph = await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=checkpointer))
    with structlog.testing.capture_logs() as logs:
        assert await ask(graph) == "1 messages"
        await graph.close()
    assert [log["thread_id"] for log in logs] == temporary_thread_ids(iter(checkpointer.storage))


async def test_graph_without_a_checkpointer(serve_graph: LoadGraph) -> None:
    """A graph without a checkpointer does not support threads and ignores them."""
    graph = await serve_graph(sequential_graph(count=count_messages).compile())
    assert not graph.supports_threads
    assert [await ask(graph, thread_id="a") for _ in range(2)] == ["1 messages"] * 2


async def test_questions_in_one_thread_run_one_after_another(serve_graph: LoadGraph) -> None:
    """Concurrent questions in one thread do not lose messages; other threads do not wait."""
    release, started = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(state: MessagesState) -> None:
        started.release()
        await release.wait()

    graph = await serve_graph(sequential_graph(wait=wait, count=count_messages).compile(checkpointer=InMemorySaver()))
    tasks = [asyncio.create_task(ask(graph, thread_id=thread)) for thread in ("a", "a", "b")]
    async with cancelled_on_exit(tasks[0]), cancelled_on_exit(tasks[1]), cancelled_on_exit(tasks[2]):
        for _ in range(2):
            await started.acquire()
        assert started.locked()
        release.set()
        assert [await task for task in tasks] == ["1 messages", "3 messages", "1 messages"]


async def test_cancelled_question_releases_the_thread(serve_graph: LoadGraph) -> None:
    """A cancelled question does not block its thread."""
    started, release = asyncio.Event(), asyncio.Event()

    async def wait(state: MessagesState) -> None:
        started.set()
        await release.wait()

    graph = await serve_graph(sequential_graph(wait=wait, count=count_messages).compile(checkpointer=InMemorySaver()))
    first, second = (asyncio.create_task(ask(graph, thread_id="a")) for _ in range(2))
    async with cancelled_on_exit(second):
        async with cancelled_on_exit(first):
            await started.wait()
        release.set()
        assert (await second).endswith("messages")


async def test_factory_with_a_checkpointer(serve_graph: LoadGraph) -> None:
    """The database of a factory's context is open until the graph is closed; threads outlive the graph."""
    closed = []

    @contextlib.asynccontextmanager
    async def factory() -> AsyncIterator[Any]:
        async with AsyncSqliteSaver.from_conn_string("threads.sqlite") as checkpointer:
            yield sequential_graph(count=count_messages).compile(checkpointer=checkpointer)
        closed.append(checkpointer)

    for expected in ("1 messages", "3 messages"):
        graph = await serve_graph(factory)
        assert await ask(graph, thread_id="a") == expected
        assert graph.warnings() == []
        assert not closed
        await graph.close()
        assert len(closed.copy()) == 1
        closed.clear()


async def test_in_memory_checkpointer_warning(serve_graph: LoadGraph) -> None:
    """An in-memory checkpointer gets a warning with its limits."""
    graph = await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=InMemorySaver()))
    [warning] = graph.warnings()
    assert "InMemorySaver" in warning
    assert "lost when the process ends" in warning
    assert "not shared between replicas" in warning


async def test_thread_after_a_failure(serve_graph: LoadGraph) -> None:
    """After a failed question the thread accepts the next one."""
    errors = [ValueError("first"), None]

    async def fail(state: MessagesState) -> None:
        if error := errors.pop(0):
            raise error

    graph = await serve_graph(sequential_graph(fail=fail, say=model_node("well")).compile(checkpointer=InMemorySaver()))
    with pytest.raises(ValueError, match="first"):
        await ask(graph, thread_id="a")
    assert await ask(graph, thread_id="a") == "well"
