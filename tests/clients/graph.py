"""A graph that asks before it books."""

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


def book(state: MessagesState) -> dict[str, Any]:
    """Ask, then book."""
    room = state["messages"][-1].content
    reply = interrupt({"question": f"Book {room}?"})
    return {"messages": [{"role": "assistant", "content": f"{room}: {reply}"}]}


graph = StateGraph(MessagesState).add_node("book", book).add_edge(START, "book").compile(checkpointer=InMemorySaver())
