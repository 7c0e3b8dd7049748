"""Real LangGraph graphs with LangChain's fake chat model."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from askd.answerers.graph import GraphAnswerer
from askd.models import Answer, Question

Compiled = CompiledStateGraph[Any, Any, Any, Any]
Node = Callable[..., Any]
LoadGraph = Callable[..., Awaitable[GraphAnswerer]]


def chat_model(*texts: str) -> GenericFakeChatModel:
    """Return a chat model that streams one of the texts per call, word by word."""
    return GenericFakeChatModel(messages=iter([AIMessage(text) for text in texts]))


def model_node(*texts: str) -> Node:
    """Return a node that calls a model and adds its message to the state."""
    model = chat_model(*texts)

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return node


def silent_model_node(*texts: str) -> Node:
    """Return a node that calls a model without adding its message to the state."""
    model = chat_model(*texts)

    async def node(state: MessagesState) -> dict[str, Any]:
        await model.ainvoke(state["messages"])
        return {}

    return node


def constant_node(content: Any) -> Node:
    """Return a node that adds an AI message to the state without calling a model."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(content)]}

    return node


def sequential_graph(**nodes: Any) -> StateGraph[Any, Any, Any, Any]:
    """Return a graph that runs the nodes in this order."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    builder.add_sequence(list(nodes.items()))
    builder.add_edge(START, next(iter(nodes)))
    return builder


def count_messages(state: MessagesState) -> dict[str, Any]:
    """Answer with the number of messages."""
    return {"messages": [AIMessage(f"{len(state['messages'])} messages")]}


def echo_last_message(state: MessagesState) -> dict[str, Any]:
    """Answer with the last message."""
    return {"messages": [AIMessage(last_message_text(state["messages"]))]}


def last_message_text(messages: Sequence[AnyMessage]) -> str:
    """Return the text of the last message."""
    return str(messages[-1].content)


def deltas(events: Sequence[str | Answer]) -> list[str]:
    """Return the deltas of a stream, after a check that exactly one answer follows them."""
    *before, last = events
    assert isinstance(last, Answer)
    texts = [event for event in before if isinstance(event, str)]
    assert len(texts) == len(before)
    return texts


async def collect_stream(graph: GraphAnswerer, text: str = "hello", **options: Any) -> list[str | Answer]:
    """Return all events of the stream for a question."""
    return [event async for event in graph.stream(Question(text=text, **options))]


def temporary_thread_ids(ids: Iterator[Any]) -> list[str]:
    """Return the ids of temporary threads."""
    return [str(thread_id) for thread_id in ids if str(thread_id).startswith("askd-")]
