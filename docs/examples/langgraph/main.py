"""A waiter who remembers each table's order, a LangGraph graph: `askd serve docs/examples/langgraph/main.py`.

It needs no model, but `pip install langgraph`. Then talk to it; a thread is a table:

    curl 'localhost:2024/ask?q=soup&thread=table-1'
    curl 'localhost:2024/ask?q=bread&thread=table-1'    # soup and bread are on the order
    curl 'localhost:2024/ask?q=bread&thread=table-2'    # another table, another order
    curl 'localhost:2024/ask?q=pay&thread=table-1'      # 409: the graph asks something, see `interrupt`
    curl 'localhost:2024/ask?q=card&thread=table-1'     # the reply
    curl 'localhost:2024/ask?q=soup'                    # without a thread: nobody will remember
"""

from typing import Any, Literal

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


class Table(MessagesState):
    """What is remembered of a table between its questions, beside what was said."""

    dishes: list[str]


def listen(state: Table) -> Literal["note", "bill"]:
    """Decide which node answers."""
    return "bill" if state["messages"][-1].content == "pay" else "note"


def note(state: Table) -> dict[str, Any]:
    """Add a dish to the order."""
    dishes = [*state.get("dishes", []), str(state["messages"][-1].content)]
    return {"dishes": dishes, "messages": [AIMessage(f"Your order: {', '.join(dishes)}. Anything else?")]}


def bill(state: Table) -> dict[str, Any]:
    """Ask how the guest pays, and end the order once that is known."""
    how = interrupt({"dishes": state.get("dishes", []), "question": "Cash or card?"})
    return {"dishes": [], "messages": [AIMessage(f"Paid by {how}. Goodbye!")]}


builder = StateGraph(Table)
builder.add_node("note", note)
builder.add_node("bill", bill)
builder.add_conditional_edges(START, listen)

# Remembers in memory, for a laptop: docs/graphs.md shows one that outlives the process.
graph = builder.compile(checkpointer=InMemorySaver())
