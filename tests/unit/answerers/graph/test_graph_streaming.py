"""A graph's stream: the words of the model that answers, as they come, and the whole at the end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langgraph.graph import END, START, MessagesState, StateGraph

from service.models import Answer, Question
from tests.answerers.graph.graphs import ServeGraph, deltas, line, model, says, streamed, thinks, writes
from tests.fakes import settled

WORDS = ["one", " ", "two", " ", "three"]


async def test_words_come_as_the_model_says_them(serve_graph: ServeGraph) -> None:
    """Each piece of the model's is a delta; joined they are the answer."""
    graph = await serve_graph(line(a=says("one two three")).compile())
    assert graph.streams
    assert await streamed(graph) == [*WORDS, Answer("one two three")]


async def test_each_delta_is_there_before_the_next(serve_graph: ServeGraph) -> None:
    """The first word is told while the model is still at work."""
    release = asyncio.Event()

    async def speak(state: MessagesState) -> dict[str, Any]:
        found = ""
        async for chunk in model("one two").astream("x"):
            found += str(chunk.content)
            if chunk.content == " ":
                await release.wait()
        return {"messages": [AIMessage(found)]}

    graph = await serve_graph(line(a=speak).compile())
    events = graph.stream(Question(text="hello"))
    assert await anext(events) == "one"
    release.set()
    assert [event async for event in events] == [" ", "two", Answer("one two")]


async def test_a_model_in_a_subgraph(serve_graph: ServeGraph) -> None:
    """It does not matter how deep the model lies."""
    inner = line(a=says("one two three")).compile()
    graph = await serve_graph(line(outer=line(middle=inner).compile()).compile())
    assert await streamed(graph) == [*WORDS, Answer("one two three")]


async def test_whole_messages_are_one_delta(serve_graph: ServeGraph) -> None:
    """Without a model that streams the answer is one delta, whatever other messages there were."""
    graph = await serve_graph(line(a=writes("before"), b=writes("one two")).compile())
    assert await streamed(graph) == ["one two", Answer("one two")]


async def test_blocks_stream_their_text(serve_graph: ServeGraph) -> None:
    """Of chunks in blocks the text is told, and nothing of thoughts and calls."""
    fake = Scripted(
        [
            ("messages", chunk([{"type": "thinking", "thinking": "hm"}])),
            ("messages", chunk([{"type": "text", "text": "one "}])),
            ("messages", chunk("two")),
            ("values", {"messages": [AIMessage("one two")]}),
        ]
    )
    assert await streamed(await serve_graph(fake)) == ["one ", "two", Answer("one two")]


async def test_nodes_that_do_not_lead_to_the_end_are_silent(serve_graph: ServeGraph) -> None:
    """What a model says on the way, to route or to rewrite, is not told."""
    graph = await serve_graph(line(route=thinks("yes indeed"), answer=says("one two three")).compile())
    assert await streamed(graph) == [*WORDS, Answer("one two three")]


async def test_a_wrong_guess_is_corrected(serve_graph: ServeGraph) -> None:
    """A model that speaks last and does not answer is heard once, then the one that does; the whole is always right."""
    nodes = {"answer": says("one two", "three four"), "grade": thinks("not bad", "very good")}
    graph = await serve_graph(line(**nodes).compile())
    assert await streamed(graph) == ["not", " ", "bad", Answer("one two")]
    assert await streamed(graph) == ["three", " ", "four", Answer("three four")]


async def test_a_node_that_speaks_twice(serve_graph: ServeGraph) -> None:
    """What an agent says before it calls a tool is told too, set apart; the answer is what it says last."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    for name, node in (("agent", says("let me see", "it is five")), ("tool", lambda state: {})):
        builder.add_node(name, node)
    builder.add_edge(START, "agent")
    builder.add_edge("tool", "agent")
    builder.add_conditional_edges("agent", lambda state: "tool" if len(state["messages"]) < 3 else END, ["tool", END])
    graph = await serve_graph(builder.compile())
    told = await streamed(graph)
    assert "".join(deltas(told)) == "let me see\n\nit is five"
    assert told[-1] == Answer("it is five")


async def test_models_at_the_same_time_do_not_mix(serve_graph: ServeGraph) -> None:
    """Of nodes that run side by side the one that began first is told."""
    first, second = chunk("a1", id="a"), chunk("b1", id="b")
    fake = Scripted(
        [
            ("messages", first),
            ("messages", second),
            ("messages", chunk("a2", id="a")),
            ("values", {"messages": [AIMessage("a1a2")]}),
        ]
    )
    assert await streamed(await serve_graph(fake)) == ["a1", "a2", Answer("a1a2")]


async def test_another_key_streams_too(serve_graph: ServeGraph) -> None:
    """The words of a model are told where its text ends up under another key."""

    class Reply(MessagesState):
        reply: str

    async def speak(state: Reply) -> dict[str, Any]:
        return {"reply": (await model("one two three").ainvoke("x")).content}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Reply)
    builder.add_sequence([("speak", speak)])
    builder.add_edge(START, "speak")
    graph = await serve_graph(builder.compile(), output_key="reply")
    assert await streamed(graph) == [*WORDS, Answer("one two three")]


async def test_left_early(serve_graph: ServeGraph) -> None:
    """When the client leaves, the graph ends with what it was doing."""
    ended = asyncio.Event()

    async def speak(state: MessagesState) -> None:
        try:
            async for _ in model("one two").astream("x"):
                pass
            await asyncio.Event().wait()
        finally:
            ended.set()

    graph = await serve_graph(line(a=speak).compile())
    events = graph.stream(Question(text="hello"))
    assert await anext(events) == "one"
    await events.aclose()
    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize("failing", ["before", "after"])
async def test_a_failure_in_the_midst(serve_graph: ServeGraph, failing: str) -> None:
    """What a node raises is raised, also after words have been told."""

    async def fail(state: MessagesState) -> None:
        raise ValueError("a secret")

    order = {"fail": fail, "say": says("one")} if failing == "before" else {"say": says("one"), "fail": fail}
    graph = await serve_graph(line(**order).compile())
    with pytest.raises(ValueError, match="a secret"):
        await streamed(graph)


async def test_answers_and_streams_say_the_same(serve_graph: ServeGraph) -> None:
    """Whether it is streamed or not, the answer to a question is one."""
    graph = await serve_graph(line(a=thinks(*["hm"] * 2), b=says(*["one two"] * 2)).compile())
    whole = (await streamed(graph))[-1]
    assert whole == await graph.answer(Question(text="hello"))


def chunk(content: Any, id: str = "a") -> tuple[AIMessageChunk, dict[str, str]]:
    """A piece of a message, as LangGraph's mode `messages` gives it."""
    return AIMessageChunk(content=content, id=id), {"langgraph_node": "say"}


class Scripted:
    """Streams what it was given, in pairs, as LangGraph does without subgraphs."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events

    async def ainvoke(self, given: Any, config: Any = None) -> Any:
        """Return the last state."""
        return self.events[-1][1]

    async def astream(self, given: Any, config: Any = None, *, stream_mode: list[str]) -> AsyncIterator[Any]:
        """Yield all of it."""
        assert stream_mode == ["messages", "values"]
        for event in self.events:
            yield event


async def test_streams_side_by_side(serve_graph: ServeGraph) -> None:
    """Two clients of one graph hear each their own."""

    async def speak(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model(f"you said {state['messages'][-1].content}").ainvoke("x")]}

    graph = await serve_graph(line(a=speak).compile())
    tasks = [asyncio.create_task(streamed(graph, text)) for text in ("red", "blue")]
    async with settled(tasks[0]), settled(tasks[1]):
        for task, text in zip(tasks, ("red", "blue"), strict=True):
            assert "".join(deltas(await task)) == f"you said {text}"
