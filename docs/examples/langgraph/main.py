"""A LangGraph graph that takes the orders of a restaurant: `askd serve docs/examples/langgraph/main.py`.

It requires `pip install langgraph`, but no model. Then ask it; each table is a thread:

    curl 'localhost:2024/ask?q=soup&thread=table-1'
    curl 'localhost:2024/ask?q=bread&thread=table-1'    # soup and bread are in the order
    curl 'localhost:2024/ask?q=bread&thread=table-2'    # another table has another order
    curl 'localhost:2024/ask?q=pay&thread=table-1'      # 409: the graph waits for input, see `interrupt`
    curl 'localhost:2024/ask?q=card&thread=table-1'     # the reply
    curl 'localhost:2024/ask?q=soup'                    # without a thread the order is forgotten
"""

from typing import Any, Literal

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


class Table(MessagesState):
    """The state of a table: its messages and its dishes."""

    dishes: list[str]


def listen(state: Table) -> Literal["note", "bill"]:
    """Decide which node answers."""
    return "bill" if state["messages"][-1].content == "pay" else "note"


def note(state: Table) -> dict[str, Any]:
    """Add a dish to the order."""
    dishes = [*state.get("dishes", []), str(state["messages"][-1].content)]
    return {"dishes": dishes, "messages": [AIMessage(f"Your order: {', '.join(dishes)}. Anything else?")]}


def bill(state: Table) -> dict[str, Any]:
    """Ask how the guest pays, then end the order."""
    payment = interrupt({"dishes": state.get("dishes", []), "question": "Cash or card?"})
    return {"dishes": [], "messages": [AIMessage(f"Paid by {payment}. Goodbye!")]}


builder = StateGraph(Table)
builder.add_node("note", note)
builder.add_node("bill", bill)
builder.add_conditional_edges(START, listen)

# In memory, for development: docs/how-to/serve-a-graph.md shows a checkpointer with a database.
graph = builder.compile(checkpointer=InMemorySaver())
