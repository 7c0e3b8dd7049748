"""Streaming of graphs: the tokens of the model that answers, then the answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langgraph.graph import END, START, MessagesState, StateGraph

from askd.models import Answer, Question
from tests.support.fakes import cancelled_on_exit
from tests.support.langgraph_graphs import (
    LoadGraph,
    chat_model,
    collect_stream,
    constant_node,
    deltas,
    model_node,
    sequential_graph,
    silent_model_node,
)

WORDS = ["one", " ", "two", " ", "three"]


async def test_model_tokens_are_deltas(serve_graph: LoadGraph) -> None:
    """Each token of the model is a delta; joined they are the answer."""
    graph = await serve_graph(sequential_graph(a=model_node("one two three")).compile())
    assert graph.supports_streaming
    assert await collect_stream(graph) == [*WORDS, Answer("one two three")]


async def test_deltas_are_not_delayed(serve_graph: LoadGraph) -> None:
    """The first token is streamed while the model is still running."""
    release = asyncio.Event()

    async def call_model(state: MessagesState) -> dict[str, Any]:
        text = ""
        async for chunk in chat_model("one two").astream("x"):
            text += str(chunk.content)
            if chunk.content == " ":
                await release.wait()
        return {"messages": [AIMessage(text)]}

    graph = await serve_graph(sequential_graph(a=call_model).compile())
    events = graph.stream(Question(text="hello"))
    assert await anext(events) == "one"
    release.set()
    assert [event async for event in events] == [" ", "two", Answer("one two")]


async def test_model_in_a_subgraph(serve_graph: LoadGraph) -> None:
    """Tokens of a model in nested subgraphs are streamed."""
    inner = sequential_graph(a=model_node("one two three")).compile()
    graph = await serve_graph(sequential_graph(outer=sequential_graph(middle=inner).compile()).compile())
    assert await collect_stream(graph) == [*WORDS, Answer("one two three")]


async def test_complete_message_is_one_delta(serve_graph: LoadGraph) -> None:
    """Without a streaming model the answer is one delta, whatever other messages there are."""
    graph = await serve_graph(sequential_graph(a=constant_node("before"), b=constant_node("one two")).compile())
    assert await collect_stream(graph) == ["one two", Answer("one two")]


async def test_text_blocks_are_streamed(serve_graph: LoadGraph) -> None:
    """Only the text blocks of chunks are streamed, not thinking blocks or tool calls."""
    fake = Scripted(
        [
            ("messages", chunk([{"type": "thinking", "thinking": "hm"}])),
            ("messages", chunk([{"type": "text", "text": "one "}])),
            ("messages", chunk("two")),
            ("values", {"messages": [AIMessage("one two")]}),
        ]
    )
    assert await collect_stream(await serve_graph(fake)) == ["one ", "two", Answer("one two")]


async def test_intermediate_nodes_are_not_streamed(serve_graph: LoadGraph) -> None:
    """Tokens of models in nodes that do not lead to the end are not streamed."""
    graph = await serve_graph(
        sequential_graph(route=silent_model_node("yes indeed"), answer=model_node("one two three")).compile()
    )
    assert await collect_stream(graph) == [*WORDS, Answer("one two three")]


async def test_wrong_guess_is_corrected(serve_graph: LoadGraph) -> None:
    """A final node that does not answer is streamed once, later the node that does; the answer is always right."""
    nodes = {"answer": model_node("one two", "three four"), "grade": silent_model_node("not bad", "very good")}
    graph = await serve_graph(sequential_graph(**nodes).compile())
    assert await collect_stream(graph) == ["not", " ", "bad", Answer("one two")]
    assert await collect_stream(graph) == ["three", " ", "four", Answer("three four")]


@pytest.mark.parametrize("plan", ['{"steps": 3}', '[{"step": 1}]', '["a", "b"]', " "])
async def test_structured_output_is_not_streamed(serve_graph: LoadGraph, plan: str) -> None:
    """JSON of a final node that does not answer is not streamed, not even by the first stream."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    builder.add_node("route", silent_model_node(plan, plan))
    builder.add_node("answer", model_node("one two", "three four"))
    builder.add_edge(START, "route")
    builder.add_conditional_edges("route", lambda state: "answer", ["answer", END])
    builder.add_edge("answer", END)
    graph = await serve_graph(builder.compile())
    assert await collect_stream(graph) == ["one", " ", "two", Answer("one two")]
    assert await collect_stream(graph) == ["three", " ", "four", Answer("three four")]


async def test_answer_that_is_json(serve_graph: LoadGraph) -> None:
    """JSON that turns out to be the answer comes in one piece at first, and as tokens from then on."""
    texts = ['{"a": 1}', "[ {} ]", "[1] is a source", "[link](x) one"]
    graph = await serve_graph(sequential_graph(a=model_node(*texts[:2], *texts[:2])).compile())
    assert await collect_stream(graph) == [texts[0], Answer(texts[0])]
    assert await collect_stream(graph) == ["[", " ", "{}", " ", "]", Answer(texts[1])]
    graph = await serve_graph(sequential_graph(a=model_node(*texts[2:])).compile())
    assert deltas(await collect_stream(graph))[0] == "[1]"


async def test_node_with_two_messages(serve_graph: LoadGraph) -> None:
    """The text before a tool call is streamed as a separate paragraph; the answer is the last text."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    for name, node in (("agent", model_node("let me see", "it is five")), ("tool", lambda state: {})):
        builder.add_node(name, node)
    builder.add_edge(START, "agent")
    builder.add_edge("tool", "agent")
    builder.add_conditional_edges("agent", lambda state: "tool" if len(state["messages"]) < 3 else END, ["tool", END])
    graph = await serve_graph(builder.compile())
    events = await collect_stream(graph)
    assert "".join(deltas(events)) == "let me see\n\nit is five"
    assert events[-1] == Answer("it is five")


async def test_concurrent_models_are_not_mixed(serve_graph: LoadGraph) -> None:
    """Of nodes that run concurrently, the one that began first is streamed."""
    first, second = chunk("a1", "a"), chunk("b1", "b")
    fake = Scripted(
        [
            ("messages", first),
            ("messages", second),
            ("messages", chunk("a2", "a")),
            ("values", {"messages": [AIMessage("a1a2")]}),
        ]
    )
    assert await collect_stream(await serve_graph(fake)) == ["a1", "a2", Answer("a1a2")]


async def test_streaming_with_another_key(serve_graph: LoadGraph) -> None:
    """Tokens are streamed if the answer is under another key."""

    class Reply(MessagesState):
        reply: str

    async def call_model(state: Reply) -> dict[str, Any]:
        return {"reply": (await chat_model("one two three").ainvoke("x")).content}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Reply)
    builder.add_sequence([("call_model", call_model)])
    builder.add_edge(START, "call_model")
    graph = await serve_graph(builder.compile(), output_key="reply")
    assert await collect_stream(graph) == [*WORDS, Answer("one two three")]


async def test_closing_cancels_the_graph(serve_graph: LoadGraph) -> None:
    """Closing the stream early cancels the running node."""
    ended = asyncio.Event()

    async def call_model(state: MessagesState) -> None:
        try:
            async for _ in chat_model("one two").astream("x"):
                pass
            await asyncio.Event().wait()
        finally:
            ended.set()

    graph = await serve_graph(sequential_graph(a=call_model).compile())
    events = graph.stream(Question(text="hello"))
    assert await anext(events) == "one"
    await events.aclose()
    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize("failing", ["before", "after"])
async def test_exception_during_streaming(serve_graph: LoadGraph, failing: str) -> None:
    """An exception of a node is raised, also after deltas."""

    async def fail(state: MessagesState) -> None:
        raise ValueError("a secret")

    order = (
        {"fail": fail, "say": model_node("one")} if failing == "before" else {"say": model_node("one"), "fail": fail}
    )
    graph = await serve_graph(sequential_graph(**order).compile())
    with pytest.raises(ValueError, match="a secret"):
        await collect_stream(graph)


async def test_answer_and_stream_are_equal(serve_graph: LoadGraph) -> None:
    """The answer is the same with and without streaming."""
    graph = await serve_graph(
        sequential_graph(a=silent_model_node(*["hm"] * 2), b=model_node(*["one two"] * 2)).compile()
    )
    answer = (await collect_stream(graph))[-1]
    assert answer == await graph.answer(Question(text="hello"))


def chunk(content: Any, message_id: str = "a") -> tuple[AIMessageChunk, dict[str, str]]:
    """Return a message chunk and its metadata, as in LangGraph's stream mode `messages`."""
    return AIMessageChunk(content=content, id=message_id), {"langgraph_node": "say"}


class Scripted:
    """A graph that streams the given events, as pairs like LangGraph without subgraphs."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events

    async def ainvoke(self, graph_input: Any, config: Any = None) -> Any:
        """Return the last state."""
        return self.events[-1][1]

    async def astream(self, graph_input: Any, config: Any = None, *, stream_mode: list[str]) -> AsyncIterator[Any]:
        """Yield the events."""
        assert stream_mode == ["messages", "values"]
        for event in self.events:
            yield event


async def test_concurrent_streams(serve_graph: LoadGraph) -> None:
    """Two clients of one graph get their own tokens."""

    async def call_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat_model(f"you said {state['messages'][-1].content}").ainvoke("x")]}

    graph = await serve_graph(sequential_graph(a=call_model).compile())
    tasks = [asyncio.create_task(collect_stream(graph, text)) for text in ("red", "blue")]
    async with cancelled_on_exit(tasks[0]), cancelled_on_exit(tasks[1]):
        for task, text in zip(tasks, ("red", "blue"), strict=True):
            assert "".join(deltas(await task)) == f"you said {text}"
