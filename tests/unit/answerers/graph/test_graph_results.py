"""A graph's answer: which message it is, what it is made of, and what is said where there is none."""

import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from service.errors import AnswererFailed, LoadError, NoAnswer, RecursionLimit, Refused
from service.models import Answer, Question
from tests.answerers.graph.graphs import ServeGraph, echo, line, says, writes
from tests.fakes import settled

HELLO = Question(text="hello")


class Typed(TypedDict):
    """A state of other keys than `messages`."""

    question: str
    reply: str


class Modelled(BaseModel):
    """The same as a model of pydantic's."""

    question: str
    reply: str = ""


@dataclass
class Plain:
    """The same as a dataclass."""

    question: str
    reply: str = ""


def other(kind: Any, reply: Any) -> Any:
    """A graph over a state of that kind, which replies so."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(kind)
    builder.add_node("reply", lambda state: {"reply": reply})
    builder.add_edge(START, "reply")
    return builder.compile()


async def test_the_question_is_a_message_of_the_users(serve_graph: ServeGraph) -> None:
    """The text goes in as a user's message, and the AI message that follows it comes out."""
    graph = await serve_graph(line(echo=echo).compile())
    assert await graph.answer(HELLO) == Answer("hello")
    assert (graph.kind, graph.deterministic, graph.conversational) == ("graph", False, False)


async def test_the_last_ai_message_answers(serve_graph: ServeGraph) -> None:
    """Of several messages it is the last of the AI's, whatever follows it."""

    def note(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage("a note")]}

    graph = await serve_graph(line(a=says("first"), b=says("second"), c=note).compile())
    assert await graph.answer(HELLO) == Answer("second")


async def test_blocks_of_text_are_joined(serve_graph: ServeGraph) -> None:
    """Of content in blocks the texts count; thoughts, pictures and calls of tools are left out."""
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert await (await serve_graph(line(a=writes(blocks)).compile())).answer(HELLO) == Answer("one two")


@pytest.mark.parametrize("kind", [Typed, Modelled, Plain])
async def test_other_keys(serve_graph: ServeGraph, kind: Any) -> None:
    """With keys named, the question is put under the one as text, and the text under the other answers."""
    graph = await serve_graph(other(kind, "it is"), input_key="question", output_key="reply")
    assert await graph.answer(HELLO) == Answer("it is")


async def test_a_state_that_is_no_mapping(serve_graph: ServeGraph) -> None:
    """What a workflow of LangGraph's functional API returns is the answer itself."""

    @entrypoint()
    async def shout(given: dict[str, Any]) -> str:
        return str(given["messages"][0]["content"]).upper()

    assert await (await serve_graph(shout)).answer(HELLO) == Answer("HELLO")


async def test_keys_that_the_state_does_not_have(serve_graph: ServeGraph) -> None:
    """Where a graph tells its state's keys, and none is the one that is used, the start ends with the mend."""
    graph = other(Typed, "it is")
    with pytest.raises(LoadError, match=r"no 'messages', but question, reply: .* the question in ASKD_GRAPH_INPUT_KEY"):
        await serve_graph(graph)
    with pytest.raises(LoadError, match=r"no 'answer', but question, reply: .* the answer in ASKD_GRAPH_OUTPUT_KEY"):
        await serve_graph(graph, input_key="question", output_key="answer")


class Silent:
    """Only `ainvoke`, and whatever the test wants it to return."""

    def __init__(self, returned: Any) -> None:
        self.returned = returned
        self.given: Any = None

    async def ainvoke(self, given: Any, config: Any = None) -> Any:
        """Return it."""
        self.given = given
        return self.returned


async def test_any_object_with_ainvoke(serve_graph: ServeGraph) -> None:
    """Nothing of LangGraph is needed: messages may be mappings, and an object without `astream` does not stream."""
    fake = Silent({"messages": [{"type": "human", "content": "hello"}, {"type": "ai", "content": "Hi"}]})
    graph = await serve_graph(fake)
    assert await graph.answer(HELLO) == Answer("Hi")
    assert fake.given == {"messages": [{"role": "user", "content": "hello"}]}
    assert not graph.streams
    assert [event async for event in graph.stream(HELLO)] == ["Hi", Answer("Hi")]


async def test_keys_that_turn_out_to_be_missing(serve_graph: ServeGraph) -> None:
    """Where the graph did not tell before, the question fails, and the log has the keys that there are."""
    graph = await serve_graph(Silent({"question": "hello", "reply": "it is"}))
    with pytest.raises(AnswererFailed) as caught:
        await graph.answer(HELLO)
    assert "no 'messages', but question, reply" in str(caught.value.__cause__)
    assert "reply" not in caught.value.detail


@pytest.mark.parametrize("value", [None, [], [{"type": "ai", "content": ""}], [{"type": "human", "content": "x"}]])
async def test_silence_is_no_answer(serve_graph: ServeGraph, value: Any) -> None:
    """A graph that ends without a word of its own has no answer."""
    with pytest.raises(NoAnswer):
        await (await serve_graph(Silent({"messages": value}))).answer(HELLO)


@pytest.mark.parametrize("value", [7, {"a": 1}, object()])
async def test_what_is_no_text_fails(serve_graph: ServeGraph, value: Any) -> None:
    """Anything else under the key is a failure whose log names the type."""
    graph = await serve_graph(Silent({"reply": value}), output_key="reply")
    with pytest.raises(AnswererFailed) as caught:
        await graph.answer(HELLO)
    assert f"{type(value).__name__} under 'reply'" in str(caught.value.__cause__)


async def test_an_answer_of_before_is_none_of_now(serve_graph: ServeGraph) -> None:
    """Messages before the question do not answer it."""
    past = [{"type": "ai", "content": "old"}, {"type": "human", "content": "hello"}]
    with pytest.raises(NoAnswer):
        await (await serve_graph(Silent({"messages": past}))).answer(HELLO)


@pytest.mark.parametrize("way", ["answer", "stream"])
async def test_a_recursion_limit_has_a_name_of_its_own(serve_graph: ServeGraph, way: str) -> None:
    """A graph that runs in a circle fails with a title that says so, and nothing of its own."""
    builder = line(a=lambda state: {}, b=lambda state: {})
    builder.add_edge("b", "a")
    graph = await serve_graph(builder.compile().with_config(recursion_limit=5))
    with pytest.raises(RecursionLimit, match="steps that it may take") as caught:
        await graph.answer(HELLO) if way == "answer" else [each async for each in graph.stream(HELLO)]
    assert (caught.value.code, caught.value.status) == ("recursion-limit", 500)
    assert "recursion_limit" in str(caught.value.__cause__)


async def test_a_node_that_refuses(serve_graph: ServeGraph) -> None:
    """An exception of a web framework's with a 4xx reaches the client, as a function's does."""
    from aiohttp import web

    async def refuse(state: MessagesState) -> None:
        raise web.HTTPForbidden(text="not for you")

    with pytest.raises(Refused, match="not for you"):
        await (await serve_graph(line(a=refuse).compile())).answer(HELLO)


async def test_a_node_that_raises(serve_graph: ServeGraph) -> None:
    """What a node raises is passed on as it is, for the pipeline to log."""

    async def fail(state: MessagesState) -> None:
        raise ValueError("a secret")

    with pytest.raises(ValueError, match="a secret"):
        await (await serve_graph(line(a=fail).compile())).answer(HELLO)


@pytest.mark.parametrize("way", ["answer", "stream"])
async def test_cancellation_reaches_the_node(serve_graph: ServeGraph, way: str) -> None:
    """When the client leaves, the node that is being waited for is cancelled."""
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait(state: MessagesState) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    graph = await serve_graph(line(a=wait).compile())

    async def ask() -> None:
        if way == "answer":
            await graph.answer(HELLO)
        else:
            assert [each async for each in graph.stream(HELLO)]

    task = asyncio.create_task(ask())
    async with settled(task):
        await began.wait()
    assert task.cancelled()
    assert ended.is_set()


async def test_declared_deterministic(serve_graph: ServeGraph) -> None:
    """Only a setting makes a graph deterministic; then its version is that of its code."""
    assert (await serve_graph(line(echo=echo).compile())).version == ""
    graph = await serve_graph(line(echo=echo).compile(), deterministic=True)
    assert (graph.deterministic, len(graph.version)) == (True, 16)
