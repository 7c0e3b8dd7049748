"""What a graph tells of itself: its checkpointer, its keys, and what leads to its end."""

from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from service.answerers.graph import shape
from service.errors import LoadError
from tests.answerers.graph.graphs import ServeGraph, count, line


class Synchronous(BaseCheckpointSaver[int]):
    """Has none of the asynchronous methods, as LangGraph's PostgresSaver."""


class Undeletable(InMemorySaver):
    """Cannot delete threads, as checkpointers from before LangGraph asked for it."""

    adelete_thread = BaseCheckpointSaver.adelete_thread


@pytest.mark.parametrize("value", [None, True, False])
async def test_no_checkpointer(serve_graph: ServeGraph, value: Any) -> None:
    """None is no checkpointer; nor is what only says whether that of a graph around it is shared."""
    graph = await serve_graph(line(count=count).compile(checkpointer=value))
    assert (graph.conversational, list(graph.warnings())) == (False, [])


@pytest.mark.parametrize("checkpointer", [Synchronous(), SqliteSaver.from_conn_string])
async def test_a_synchronous_checkpointer(serve_graph: ServeGraph, checkpointer: Any) -> None:
    """One that would fail at every question ends the start, and the one to take is named."""
    if not isinstance(checkpointer, Synchronous):
        with checkpointer(":memory:") as memory, pytest.raises(LoadError, match="such as AsyncSqliteSaver"):
            await serve_graph(line(count=count).compile(checkpointer=memory))
    else:
        with pytest.raises(LoadError, match=r"shop:graph: its checkpointer, Synchronous, is a synchronous one"):
            await serve_graph(line(count=count).compile(checkpointer=checkpointer))


def test_a_checkpointer_that_cannot_delete() -> None:
    """It is told that each question without a thread leaves one behind."""
    in_memory, cannot_delete = shape.warnings(Undeletable())
    assert "in memory" in in_memory
    assert "cannot delete threads" in cannot_delete


def test_last_nodes() -> None:
    """Those with a way to the end count, also where a condition decides."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    for name in ("route", "left", "right", "check"):
        builder.add_node(name, count)
    builder.add_edge(START, "route")
    builder.add_conditional_edges("route", lambda _: "left", ["left", "right", "check"])
    builder.add_conditional_edges("check", lambda _: END, ["left", END])
    builder.add_edge("left", END)
    assert shape.last_nodes(builder.compile()) == frozenset({"left", "right", "check"})


@pytest.mark.parametrize("value", [object(), 7])
def test_what_tells_nothing(value: object) -> None:
    """Of an object that is no graph of LangGraph's nothing is known, and nothing is refused."""
    assert shape.last_nodes(value) is None
    assert shape.stream_parameters(value) == frozenset()
    assert shape.checkpointer_of(value, "x") is None
    assert not shape.has_breakpoints(value)
    shape.check_keys(value, "x", "anything", None)


def test_a_state_without_declared_keys() -> None:
    """A state that is any mapping is not refused: what it will have nobody knows."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(dict)
    builder.add_node("say", lambda state: {"reply": "x"})
    builder.add_edge(START, "say")
    shape.check_keys(builder.compile(), "x", None, "reply")
