"""Interrupts: a graph waits for input, and the next question is the reply."""

import dataclasses
from collections.abc import Awaitable
from datetime import date
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from askd.answerers.graph import GraphAnswerer
from askd.answerers.graph.results import to_json_value
from askd.api import request_values
from askd.errors import BadQuestion, Interrupted
from askd.models import Answer, Question
from tests.support.langgraph_graphs import LoadGraph, collect_stream, model_node, sequential_graph


def interrupting_node(value: Any = "sure?") -> Any:
    """Return a node that interrupts the graph, then answers with the reply."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"you said {interrupt(value)!r}")]}

    return node


async def catch_interrupt(
    graph: GraphAnswerer, text: str = "hello", *, method: str = "answer", **options: Any
) -> Interrupted:
    """Return the Interrupted that a question raises."""
    run: Awaitable[Any] = (
        graph.answer(Question(text=text, **options)) if method == "answer" else collect_stream(graph, text, **options)
    )
    with pytest.raises(Interrupted) as caught:
        await run
    return caught.value


@pytest.mark.parametrize("method", ["answer", "stream"])
@pytest.mark.parametrize("nested", [False, True])
async def test_interrupt_reaches_the_client(serve_graph: LoadGraph, method: str, nested: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An interrupt is a 409 with the value, at any depth of the graph."""
    builder = (
        sequential_graph(ask=sequential_graph(ask=interrupting_node({"sure": [1, 2]})).compile())
        if nested
        else sequential_graph(ask=interrupting_node({"sure": [1, 2]}))
    )
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver()))
    problem = await catch_interrupt(graph, method=method, thread_id="a")
    assert (problem.status, problem.extensions) == (409, {"interrupt": {"sure": [1, 2]}})
    assert "same thread" in problem.detail


@pytest.mark.parametrize("nested", [False, True])
async def test_next_question_in_the_thread_is_the_reply(serve_graph: LoadGraph, nested: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The text of the next question resumes the graph; later questions are questions again."""
    builder = (
        sequential_graph(ask=sequential_graph(ask=interrupting_node()).compile())
        if nested
        else sequential_graph(ask=interrupting_node())
    )
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver()))
    for _ in range(2):
        await catch_interrupt(graph, thread_id="a")
        assert await graph.answer(Question(text="yes", thread_id="a")) == Answer("you said 'yes'")


async def test_reply_may_be_json(serve_graph: LoadGraph) -> None:
    """A reply in a JSON body may be an object, which `interrupt()` returns."""
    graph = await serve_graph(sequential_graph(ask=interrupting_node()).compile(InMemorySaver()))
    await catch_interrupt(graph, thread_id="a")
    text, _ = request_values.parse_json(b'{"q": {"sure": [true]}}', graph.contract.question)
    assert await graph.answer(Question(text=text, thread_id="a")) == Answer("you said {'sure': [True]}")


async def test_temporary_thread_lives_until_its_reply(serve_graph: LoadGraph) -> None:
    """A thread that no client has named is deleted after the answer, but not while it waits for a reply."""
    checkpointer = InMemorySaver()
    builder = sequential_graph(ask=interrupting_node())
    graph = await serve_graph(builder.compile(checkpointer=checkpointer))
    await catch_interrupt(graph, thread_id="a", thread_is_temporary=True)
    assert list(checkpointer.storage) == ["a"]
    question = Question(text="yes", thread_id="a", thread_is_temporary=True)
    assert await graph.answer(question) == Answer("you said 'yes'")
    await graph.close()
    assert not checkpointer.storage


async def test_replies_are_streamed(serve_graph: LoadGraph) -> None:
    """Tokens of a model after the reply are streamed."""
    graph = await serve_graph(
        sequential_graph(ask=interrupting_node(), say=model_node("one two")).compile(checkpointer=InMemorySaver())
    )
    await catch_interrupt(graph, thread_id="a", method="stream")
    assert await collect_stream(graph, "yes", thread_id="a") == ["one", " ", "two", Answer("one two")]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ('{"type": "approve"}', {"type": "approve"}),
        ('["a"]', ["a"]),
        ("{oops", "{oops"),
        ("7", "7"),
        ("true", "true"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
async def test_replies_in_json(serve_graph: LoadGraph, text: str, reply: Any) -> None:
    """A JSON object or list reaches the graph as such, any other reply as text."""
    graph = await serve_graph(sequential_graph(ask=interrupting_node()).compile(checkpointer=InMemorySaver()))
    await catch_interrupt(graph, thread_id="a")
    assert await graph.answer(Question(text=text, thread_id="a")) == Answer(f"you said {reply!r}")


async def test_several_interrupts(serve_graph: LoadGraph) -> None:
    """The client gets the values of all interrupts; each reply resumes the first one that is left."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    for name in ("left", "right"):
        builder.add_node(name, interrupting_node(name))
        builder.add_edge(START, name)
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver()))
    assert (await catch_interrupt(graph, thread_id="a")).extensions == {"interrupt": ["left", "right"]}
    assert (await catch_interrupt(graph, "one", thread_id="a")).extensions == {"interrupt": "right"}
    assert (await graph.answer(Question(text="two", thread_id="a"))).text == "you said 'two'"


@pytest.mark.parametrize("checkpointer", [None, InMemorySaver()])
async def test_interrupt_without_a_thread(serve_graph: LoadGraph, checkpointer: Any) -> None:
    """The problem explains that a reply requires a thread; the temporary thread is deleted."""
    graph = await serve_graph(sequential_graph(ask=interrupting_node()).compile(checkpointer=checkpointer))
    assert "Ask with a `thread`" in (await catch_interrupt(graph)).detail
    await graph.close()
    assert checkpointer is None or not checkpointer.storage


async def test_breakpoints(serve_graph: LoadGraph) -> None:
    """A graph that stops at a breakpoint does not answer, even if it has messages."""
    builder = sequential_graph(say=model_node("let me see", "let me see"), act=model_node("done"))
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver(), interrupt_before=["act"]))
    for method in ("answer", "stream"):
        problem = await catch_interrupt(graph, thread_id=method, method=method)
        assert problem.extensions == {"interrupt": {"before": ["act"]}}


class GraphInterrupt(Exception):
    """An exception with the name of LangGraph's own, which LangGraph itself catches."""


async def test_raised_interrupt(serve_graph: LoadGraph) -> None:
    """An exception with the name of LangGraph's is an interrupt too."""

    class Raising:
        async def ainvoke(self, graph_input: Any, config: Any = None) -> Any:
            raise GraphInterrupt([{"value": "sure?"}])

    assert (await catch_interrupt(await serve_graph(Raising()))).extensions == {"interrupt": "sure?"}


@dataclasses.dataclass
class Request:
    """A dataclass of the graph's author."""

    when: date


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        (Request(date(2026, 1, 2)), {"when": "2026-01-02"}),
        (LOOP, "[[...]]"),
        (1 + 2j, "(1+2j)"),
        (None, None),
    ],
)
def test_json_values(value: Any, json_value: Any) -> None:
    """Dataclasses are JSON objects; values that JSON cannot represent are their text."""
    assert to_json_value(value) == json_value


def test_nested_pydantic_models() -> None:
    """Pydantic models in a mapping are JSON objects."""
    assert to_json_value({"draft": AIMessage("x", id="1")})["draft"]["content"] == "x"


def picky_node(errors: list[Exception] | None = None) -> Any:
    """Return a node that needs a mapping as the reply, and then raises the errors, one for each run."""

    async def node(state: MessagesState) -> dict[str, Any]:
        reply = interrupt({"approve": "bool"})
        text = f"approved: {reply['approve']}"
        if errors:
            raise errors.pop()
        return {"messages": [AIMessage(text)]}

    return node


def nested_graph(node: Any) -> Any:
    """Return a graph with the node in a subgraph."""
    return sequential_graph(inner=sequential_graph(ask=node).compile())


def flat_graph(node: Any) -> Any:
    """Return a graph with the node."""
    return sequential_graph(ask=node)


@pytest.mark.parametrize("make_graph", [flat_graph, nested_graph])
@pytest.mark.parametrize("method", ["answer", "stream"])
async def test_reply_that_the_graph_cannot_use(serve_graph: LoadGraph, make_graph: Any, method: str) -> None:
    """A reply of the wrong shape is a BadQuestion with what the graph asked for, and the thread waits for another."""
    graph = await serve_graph(make_graph(picky_node()).compile(checkpointer=InMemorySaver()))
    await catch_interrupt(graph, thread_id="a")
    for reply in ("yes", "[1]", "no"):
        question = Question(text=reply, thread_id="a")
        with pytest.raises(BadQuestion, match="cannot use this reply") as caught:
            await graph.answer(question) if method == "answer" else await collect_stream(graph, reply, thread_id="a")
        assert caught.value.extensions == {"parameter": "q", "interrupt": {"approve": "bool"}}
    assert await graph.answer(Question(text='{"approve": true}', thread_id="a")) == Answer("approved: True")
    await catch_interrupt(graph, thread_id="a")


@pytest.mark.parametrize("make_graph", [flat_graph, nested_graph])
async def test_failure_after_a_reply(serve_graph: LoadGraph, make_graph: Any) -> None:
    """Another failure of the node that got the reply is not the reply's, and the thread waits for a reply again."""
    graph = await serve_graph(make_graph(picky_node([OSError("no model")])).compile(checkpointer=InMemorySaver()))
    await catch_interrupt(graph, thread_id="a")
    with pytest.raises(OSError, match="no model"):
        await graph.answer(Question(text='{"approve": 1}', thread_id="a"))
    assert await graph.answer(Question(text='{"approve": 2}', thread_id="a")) == Answer("approved: 2")


async def test_earlier_replies_of_the_same_node_are_kept(serve_graph: LoadGraph) -> None:
    """If a node asks twice, a bad second reply does not remove the first one."""

    async def node(state: MessagesState) -> dict[str, Any]:
        name = interrupt("name?")
        return {"messages": [AIMessage(f"{name} is {int(interrupt('age?'))}")]}

    graph = await serve_graph(sequential_graph(ask=node).compile(checkpointer=InMemorySaver()))
    await catch_interrupt(graph, thread_id="a")
    assert (await catch_interrupt(graph, "Ada", thread_id="a")).extensions["interrupt"] == "age?"
    with pytest.raises(BadQuestion) as caught:
        await graph.answer(Question(text="old", thread_id="a"))
    assert caught.value.extensions["interrupt"] == "age?"
    assert await graph.answer(Question(text="36", thread_id="a")) == Answer("Ada is 36")


async def test_bad_reply_to_one_of_several_interrupts(serve_graph: LoadGraph) -> None:
    """A bad reply to the first of several interrupts leaves the others open, and the replies go on in their order."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    for name in ("a", "b"):
        builder.add_node(name, picky_node())
        builder.add_edge(START, name)
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver()))
    await catch_interrupt(graph, thread_id="a")
    with pytest.raises(BadQuestion) as caught:
        await graph.answer(Question(text="bad", thread_id="a"))
    assert caught.value.extensions["interrupt"] == [{"approve": "bool"}] * 2
    await catch_interrupt(graph, '{"approve": 1}', thread_id="a")
    assert await graph.answer(Question(text='{"approve": 2}', thread_id="a")) == Answer("approved: 2")
