"""Real graphs of LangGraph's, with its own models for tests, for the tests of how they are served."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from service.answerers.graph import Graph
from service.models import Answer, Question

Compiled = CompiledStateGraph[Any, Any, Any, Any]
Node = Callable[..., Any]
ServeGraph = Callable[..., Awaitable[Graph]]


def model(*texts: str) -> GenericFakeChatModel:
    """A chat model that streams these texts word by word, one for each call."""
    return GenericFakeChatModel(messages=iter([AIMessage(text) for text in texts]))


def says(*texts: str) -> Node:
    """A node that asks a model, and puts its message into the state."""
    asked = model(*texts)

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await asked.ainvoke(state["messages"])]}

    return node


def thinks(*texts: str) -> Node:
    """A node that asks a model for its own ends: nothing of it comes into the state."""
    asked = model(*texts)

    async def node(state: MessagesState) -> dict[str, Any]:
        await asked.ainvoke(state["messages"])
        return {}

    return node


def writes(content: Any) -> Node:
    """A node without a model, that puts an AI message into the state."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(content)]}

    return node


def line(**nodes: Any) -> StateGraph[Any, Any, Any, Any]:
    """A graph whose nodes follow one another in this order."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    builder.add_sequence(list(nodes.items()))
    builder.add_edge(START, next(iter(nodes)))
    return builder


def count(state: MessagesState) -> dict[str, Any]:
    """A node that says how many messages there were."""
    return {"messages": [AIMessage(f"{len(state['messages'])} messages")]}


def echo(state: MessagesState) -> dict[str, Any]:
    """A node that says what was said last."""
    return {"messages": [AIMessage(text(state["messages"]))]}


def text(messages: Sequence[AnyMessage]) -> str:
    """The text of the last message."""
    return str(messages[-1].content)


def deltas(events: Sequence[str | Answer]) -> list[str]:
    """The deltas among what was streamed, checked to be followed by one whole answer."""
    *before, last = events
    assert isinstance(last, Answer)
    found = [each for each in before if isinstance(each, str)]
    assert len(found) == len(before)
    return found


async def streamed(graph: Graph, text: str = "hello", **more: Any) -> list[str | Answer]:
    """All that the graph yields for a question."""
    return [event async for event in graph.stream(Question(text=text, **more))]


def passing(ids: Iterator[Any]) -> list[str]:
    """Those of the threads' ids that stand for no thread of a client's."""
    return [str(each) for each in ids if str(each).startswith("askd-")]
