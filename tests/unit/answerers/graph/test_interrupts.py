"""Interrupts: a graph that asks something before it can go on, and the reply that reaches it."""

import dataclasses
from datetime import date
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from service.answerers.graph import Graph
from service.answerers.graph.outcome import plain
from service.errors import Interrupted
from service.models import Answer, Question
from tests.answerers.graph.graphs import ServeGraph, line, says, streamed


def asks(value: Any = "sure?") -> Any:
    """A node that asks, and then says what the reply was."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"you said {interrupt(value)!r}")]}

    return node


async def interrupted(graph: Graph, text: str = "hello", *, way: str = "answer", **more: Any) -> Interrupted:
    """The interrupt that a question ends with."""
    with pytest.raises(Interrupted) as caught:
        await graph.answer(Question(text=text, **more)) if way == "answer" else await streamed(graph, text, **more)
    return caught.value


@pytest.mark.parametrize("way", ["answer", "stream"])
@pytest.mark.parametrize("deep", [False, True])
async def test_what_the_graph_asks_reaches_the_client(serve_graph: ServeGraph, way: str, deep: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An interrupt is a conflict that carries what is asked, from however deep in the graph."""
    builder = line(ask=line(ask=asks({"sure": [1, 2]})).compile()) if deep else line(ask=asks({"sure": [1, 2]}))
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver()))
    problem = await interrupted(graph, way=way, thread="a")
    assert (problem.status, problem.members) == (409, {"interrupt": {"sure": [1, 2]}})
    assert "same thread" in problem.detail


@pytest.mark.parametrize("deep", [False, True])
async def test_the_next_question_in_the_thread_is_the_reply(serve_graph: ServeGraph, deep: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The graph goes on with the text where it stopped; after that questions are questions again."""
    builder = line(ask=line(ask=asks()).compile()) if deep else line(ask=asks())
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver()))
    for _ in range(2):
        await interrupted(graph, thread="a")
        assert await graph.answer(Question(text="yes", thread="a")) == Answer("you said 'yes'")


async def test_replies_are_streamed(serve_graph: ServeGraph) -> None:
    """What a model says after the reply is told as it comes."""
    graph = await serve_graph(line(ask=asks(), say=says("one two")).compile(checkpointer=InMemorySaver()))
    await interrupted(graph, thread="a", way="stream")
    assert await streamed(graph, "yes", thread="a") == ["one", " ", "two", Answer("one two")]


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
async def test_replies_in_json(serve_graph: ServeGraph, text: str, reply: Any) -> None:
    """An object or a list reaches the graph as such, anything else as text."""
    graph = await serve_graph(line(ask=asks()).compile(checkpointer=InMemorySaver()))
    await interrupted(graph, thread="a")
    assert await graph.answer(Question(text=text, thread="a")) == Answer(f"you said {reply!r}")


async def test_several_at_once(serve_graph: ServeGraph) -> None:
    """Where several nodes ask, all of it is told; each reply answers the first that is left."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    for name in ("left", "right"):
        builder.add_node(name, asks(name))
        builder.add_edge(START, name)
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver()))
    assert (await interrupted(graph, thread="a")).members == {"interrupt": ["left", "right"]}
    assert (await interrupted(graph, "one", thread="a")).members == {"interrupt": "right"}
    assert (await graph.answer(Question(text="two", thread="a"))).text == "you said 'two'"


@pytest.mark.parametrize("memory", [None, InMemorySaver()])
async def test_without_a_thread_nobody_can_reply(serve_graph: ServeGraph, memory: Any) -> None:
    """The problem says that a thread is needed; what was remembered for the question is gone."""
    graph = await serve_graph(line(ask=asks()).compile(checkpointer=memory))
    assert "Ask with a `thread`" in (await interrupted(graph)).detail
    await graph.close()
    assert memory is None or not memory.storage


async def test_breakpoints_of_the_author(serve_graph: ServeGraph) -> None:
    """A graph that was compiled to stop before a node has no answer there, though it has said something."""
    builder = line(say=says("let me see", "let me see"), act=says("done"))
    graph = await serve_graph(builder.compile(checkpointer=InMemorySaver(), interrupt_before=["act"]))
    for way in ("answer", "stream"):
        problem = await interrupted(graph, thread=way, way=way)
        assert problem.members == {"interrupt": {"before": ["act"]}}


class GraphInterrupt(Exception):
    """As LangGraph's own, which it does not let out of a graph, but others might."""


async def test_an_interrupt_that_is_raised(serve_graph: ServeGraph) -> None:
    """An exception of LangGraph's name is an interrupt as well."""

    class Raising:
        async def ainvoke(self, given: Any, config: Any = None) -> Any:
            """Ask."""
            raise GraphInterrupt([{"value": "sure?"}])

    assert (await interrupted(await serve_graph(Raising()))).members == {"interrupt": "sure?"}


@dataclasses.dataclass
class Asked:
    """Something of the author's own."""

    when: date


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Asked(date(2026, 1, 2)), {"when": "2026-01-02"}),
        (LOOP, "[[...]]"),
        (1 + 2j, "(1+2j)"),
        (None, None),
    ],
)
def test_whatever_is_asked_has_a_form_in_json(value: Any, shown: Any) -> None:
    """Dataclasses as objects, all others as their text."""
    assert plain(value) == shown


def test_a_message_that_is_asked_about() -> None:
    """Pydantic's models keep their members, within mappings too."""
    assert plain({"draft": AIMessage("x", id="1")})["draft"]["content"] == "x"
