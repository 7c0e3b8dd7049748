"""The answer of a graph: its message, other state keys, and errors."""

import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from askd.errors import AnswererFailed, LoadError, NoAnswer, RecursionLimit, Refused
from askd.models import Answer, Question
from tests.support.fakes import cancelled_on_exit
from tests.support.langgraph_graphs import LoadGraph, constant_node, echo_last_message, model_node, sequential_graph

HELLO = Question(text="hello")


class TypedDictState(TypedDict):
    """A state with other keys than `messages`."""

    question: str
    reply: str


class PydanticState(BaseModel):
    """The same state as a pydantic model."""

    question: str
    reply: str = ""


@dataclass
class DataclassState:
    """The same state as a dataclass."""

    question: str
    reply: str = ""


def reply_graph(state_type: Any, reply: Any) -> Any:
    """Return a graph that sets `reply` in a state of this type."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(state_type)
    builder.add_node("reply", lambda state: {"reply": reply})
    builder.add_edge(START, "reply")
    return builder.compile()


async def test_question_is_a_user_message(serve_graph: LoadGraph) -> None:
    """The input is a user message, and the answer is the AI message after it."""
    graph = await serve_graph(sequential_graph(echo=echo_last_message).compile())
    assert await graph.answer(HELLO) == Answer("hello")
    assert (graph.kind, graph.deterministic, graph.supports_threads) == ("graph", False, False)


async def test_last_ai_message_is_the_answer(serve_graph: LoadGraph) -> None:
    """The answer is the last AI message, whatever messages follow it."""

    def note(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage("a note")]}

    graph = await serve_graph(sequential_graph(a=model_node("first"), b=model_node("second"), c=note).compile())
    assert await graph.answer(HELLO) == Answer("second")


async def test_text_blocks_are_joined(serve_graph: LoadGraph) -> None:
    """The answer is the joined text blocks, without thinking blocks, images and tool calls."""
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert await (await serve_graph(sequential_graph(a=constant_node(blocks)).compile())).answer(HELLO) == Answer(
        "one two"
    )


@pytest.mark.parametrize("state_type", [TypedDictState, PydanticState, DataclassState])
async def test_other_state_keys(serve_graph: LoadGraph, state_type: Any) -> None:
    """With other state keys, the input is the bare text under one, and the answer is the text under the other."""
    graph = await serve_graph(reply_graph(state_type, "it is"), input_key="question", output_key="reply")
    assert await graph.answer(HELLO) == Answer("it is")


async def test_state_that_is_not_a_mapping(serve_graph: LoadGraph) -> None:
    """The return value of LangGraph's functional API is the answer itself."""

    @entrypoint()
    async def shout(graph_input: dict[str, Any]) -> str:
        return str(graph_input["messages"][0]["content"]).upper()

    assert await (await serve_graph(shout)).answer(HELLO) == Answer("HELLO")


async def test_unknown_state_keys(serve_graph: LoadGraph) -> None:
    """A configured state key that is missing is a LoadError that lists the keys and names the setting."""
    graph = reply_graph(TypedDictState, "it is")
    for key, setting in (("input_key", "ASKD_GRAPH_INPUT_KEY"), ("output_key", "ASKD_GRAPH_OUTPUT_KEY")):
        message = rf"does not contain 'answer' \(question, reply\): set {setting} to the key"
        with pytest.raises(LoadError, match=message):
            await serve_graph(graph, **{key: "answer"})


class ConstantGraph:
    """A graph with `ainvoke` only, which returns a constant."""

    def __init__(self, returned: Any) -> None:
        self.returned = returned
        self.graph_input: Any = None

    async def ainvoke(self, graph_input: Any, config: Any = None) -> Any:
        """Return the constant."""
        self.graph_input = graph_input
        return self.returned


async def test_any_object_with_ainvoke(serve_graph: LoadGraph) -> None:
    """An object with `ainvoke` is a graph: messages may be mappings, and without `astream` it does not stream."""
    fake = ConstantGraph({"messages": [{"type": "human", "content": "hello"}, {"type": "ai", "content": "Hi"}]})
    graph = await serve_graph(fake)
    assert await graph.answer(HELLO) == Answer("Hi")
    assert fake.graph_input == {"messages": [{"role": "user", "content": "hello"}]}
    assert not graph.supports_streaming
    assert [event async for event in graph.stream(HELLO)] == ["Hi", Answer("Hi")]


async def test_missing_key_in_the_final_state(serve_graph: LoadGraph) -> None:
    """If the keys were unknown at load, the question fails and the log has the keys."""
    graph = await serve_graph(ConstantGraph({"question": "hello", "reply": "it is"}))
    with pytest.raises(AnswererFailed) as caught:
        await graph.answer(HELLO)
    assert "does not contain 'messages' (question, reply)" in str(caught.value.__cause__)
    assert "reply" not in caught.value.detail


@pytest.mark.parametrize("value", [None, [], [{"type": "ai", "content": ""}], [{"type": "human", "content": "x"}]])
async def test_no_message_is_no_answer(serve_graph: LoadGraph, value: Any) -> None:
    """A graph without an AI message raises NoAnswer."""
    with pytest.raises(NoAnswer):
        await (await serve_graph(ConstantGraph({"messages": value}))).answer(HELLO)


VALUES = [
    (7, Answer("7", {}, 7)),
    (["a", "b"], Answer('["a", "b"]', {}, ["a", "b"])),
    ({"name": "Ada", "age": 36}, Answer('{"name": "Ada", "age": 36}', *[{"name": "Ada", "age": 36}] * 2)),
    ({"answer": "Ada", "age": 36}, Answer("Ada", {"age": 36})),
    (
        DataclassState("who?", "Ada"),
        Answer('{"question": "who?", "reply": "Ada"}', *[{"question": "who?", "reply": "Ada"}] * 2),
    ),
    (
        PydanticState(question="who?"),
        Answer('{"question": "who?", "reply": ""}', *[{"question": "who?", "reply": ""}] * 2),
    ),
]


@pytest.mark.parametrize(("value", "answer"), VALUES)
async def test_value_that_is_not_text(serve_graph: LoadGraph, value: Any, answer: Answer) -> None:
    """The fields of a mapping or an object become fields of the answer; other values are JSON."""
    graph = await serve_graph(ConstantGraph({"reply": value}), output_key="reply")
    assert await graph.answer(HELLO) == answer


async def test_structured_response_of_an_agent(serve_graph: LoadGraph) -> None:
    """The structured output of an agent is a field beside its last message, or the answer if there is no message."""
    structured = {"name": "Ada"}
    message = {"type": "ai", "content": "She is Ada."}
    graph = await serve_graph(ConstantGraph({"messages": [message], "structured_response": structured}))
    assert await graph.answer(HELLO) == Answer("She is Ada.", {"structured_response": structured})
    graph = await serve_graph(ConstantGraph({"messages": [], "structured_response": structured}))
    assert await graph.answer(HELLO) == Answer('{"name": "Ada"}', structured, structured)


async def test_earlier_messages_are_not_answers(serve_graph: LoadGraph) -> None:
    """Messages before the question are not its answer."""
    past = [{"type": "ai", "content": "old"}, {"type": "human", "content": "hello"}]
    with pytest.raises(NoAnswer):
        await (await serve_graph(ConstantGraph({"messages": past}))).answer(HELLO)


@pytest.mark.parametrize("method", ["answer", "stream"])
async def test_recursion_limit(serve_graph: LoadGraph, method: str) -> None:
    """A graph that reaches its recursion limit is a problem with its own code."""
    builder = sequential_graph(a=lambda state: {}, b=lambda state: {})
    builder.add_edge("b", "a")
    graph = await serve_graph(builder.compile().with_config(recursion_limit=5))
    with pytest.raises(RecursionLimit, match="reached its recursion limit") as caught:
        await graph.answer(HELLO) if method == "answer" else [event async for event in graph.stream(HELLO)]
    assert (caught.value.code, caught.value.status) == ("recursion-limit", 500)
    assert "recursion_limit" in str(caught.value.__cause__)


async def test_http_exception_in_a_node(serve_graph: LoadGraph) -> None:
    """A 4xx exception of a web framework reaches the client, as in a function."""
    from aiohttp import web

    async def refuse(state: MessagesState) -> None:
        raise web.HTTPForbidden(text="not for you")

    with pytest.raises(Refused, match="not for you"):
        await (await serve_graph(sequential_graph(a=refuse).compile())).answer(HELLO)


async def test_exception_in_a_node(serve_graph: LoadGraph) -> None:
    """An exception of a node is raised unchanged, for the pipeline to log."""

    async def fail(state: MessagesState) -> None:
        raise ValueError("a secret")

    with pytest.raises(ValueError, match="a secret"):
        await (await serve_graph(sequential_graph(a=fail).compile())).answer(HELLO)


@pytest.mark.parametrize("method", ["answer", "stream"])
async def test_cancellation_reaches_the_node(serve_graph: LoadGraph, method: str) -> None:
    """Cancelling the request cancels the running node."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait(state: MessagesState) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    graph = await serve_graph(sequential_graph(a=wait).compile())

    async def ask() -> None:
        if method == "answer":
            await graph.answer(HELLO)
        else:
            assert [event async for event in graph.stream(HELLO)]

    task = asyncio.create_task(ask())
    async with cancelled_on_exit(task):
        await started.wait()
    assert task.cancelled()
    assert ended.is_set()


async def test_deterministic_setting(serve_graph: LoadGraph) -> None:
    """Only the setting makes a graph deterministic; its version is the fingerprint of its code."""
    assert (await serve_graph(sequential_graph(echo=echo_last_message).compile())).version == ""
    graph = await serve_graph(sequential_graph(echo=echo_last_message).compile(), deterministic=True)
    assert (graph.deterministic, len(graph.version)) == (True, 16)
