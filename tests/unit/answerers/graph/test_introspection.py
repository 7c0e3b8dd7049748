"""Inspecting graphs: checkpointer, state keys and final nodes."""

from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from askd.answerers.graph import introspection
from askd.errors import LoadError
from tests.support.langgraph_graphs import LoadGraph, count_messages, sequential_graph


class Synchronous(BaseCheckpointSaver[int]):
    """A checkpointer without asynchronous methods, like LangGraph's PostgresSaver."""


class Undeletable(InMemorySaver):
    """A checkpointer that cannot delete threads, like those for old versions of LangGraph."""

    adelete_thread = BaseCheckpointSaver.adelete_thread


@pytest.mark.parametrize("value", [None, True, False])
async def test_no_checkpointer(serve_graph: LoadGraph, value: Any) -> None:
    """None and booleans, with which subgraphs share a checkpointer or not, are not checkpointers."""
    graph = await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=value))
    assert (graph.supports_threads, list(graph.warnings())) == (False, [])


@pytest.mark.parametrize("checkpointer", [Synchronous(), SqliteSaver.from_conn_string])
async def test_synchronous_checkpointer(serve_graph: LoadGraph, checkpointer: Any) -> None:
    """A synchronous checkpointer is a LoadError that names the asynchronous one."""
    if not isinstance(checkpointer, Synchronous):
        with checkpointer(":memory:") as saver, pytest.raises(LoadError, match="such as AsyncSqliteSaver"):
            await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=saver))
    else:
        with pytest.raises(LoadError, match="shop:graph: its checkpointer Synchronous is synchronous"):
            await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=checkpointer))


def test_checkpointer_that_cannot_delete() -> None:
    """A checkpointer that cannot delete threads gets a warning."""
    in_memory, cannot_delete = introspection.checkpointer_warnings(Undeletable())
    assert "in memory" in in_memory
    assert "cannot delete threads" in cannot_delete


def test_final_nodes() -> None:
    """Nodes with an edge to the end, conditional or not, are final nodes."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    for name in ("route", "left", "right", "check"):
        builder.add_node(name, count_messages)
    builder.add_edge(START, "route")
    builder.add_conditional_edges("route", lambda _: "left", ["left", "right", "check"])
    builder.add_conditional_edges("check", lambda _: END, ["left", END])
    builder.add_edge("left", END)
    assert introspection.get_final_nodes(builder.compile()) == frozenset({"left", "right", "check"})


def test_final_nodes_before_middleware() -> None:
    """If the end is reached through hooks of middleware, the node before them is a final node as well."""
    nodes = dict.fromkeys(("plan", "model", "Guard.after_model", "Summary.after_agent"), count_messages)
    final_nodes = introspection.get_final_nodes(sequential_graph(**nodes).compile())
    assert final_nodes == frozenset({"model", "Guard.after_model", "Summary.after_agent"})


@pytest.mark.parametrize("value", [object(), 7])
def test_other_objects(value: object) -> None:
    """Nothing is known about other objects than LangGraph's graphs, and no check fails."""
    assert introspection.get_final_nodes(value) is None
    assert introspection.get_parameter_names(getattr(value, "astream", None)) == frozenset()
    assert introspection.get_input_fields(value) == introspection.get_context_fields(value) == []
    assert introspection.get_checkpointer(value, "x") is None
    assert not introspection.has_breakpoints(value)
    assert introspection.choose_input_key([], "anything", "x") == "anything"
    assert introspection.choose_output_key(value, None, "x") == "messages"


def test_state_without_declared_keys() -> None:
    """The keys of a state that may be any mapping are not checked."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(dict)
    builder.add_node("say", lambda state: {"reply": "x"})
    builder.add_edge(START, "say")
    graph = builder.compile()
    assert introspection.choose_input_key(introspection.get_input_fields(graph), None, "x") == "messages"
    assert introspection.choose_output_key(graph, "reply", "x") == "reply"
