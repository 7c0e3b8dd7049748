"""An answer from a LangGraph server as it is made."""

import asyncio
from contextlib import aclosing

import pytest

from service.errors import Interrupted, NoAnswer, UpstreamFailed
from service.models import Answer

from .conftest import Load
from .fakes import FakeLangGraph, ai, asked, event, human, state

METADATA = event("metadata", {"run_id": "01", "attempt": 1})
FACTS = {"langgraph_node": "say"}


def chunk(content: object, id: str = "1") -> bytes:
    """A piece of a message, as a chat model says it."""
    return event("messages", [{"type": "AIMessageChunk", "content": content, "id": id}, FACTS])


def whole(message: object) -> bytes:
    """A message that comes in one piece, as from a node that calls no model."""
    return event("messages", [message, FACTS])


def values(*messages: object, **more: object) -> bytes:
    """The whole state."""
    return event("values", {"messages": list(messages), **more})


STREAMS = {
    "tokens": (
        [
            values(human("hi")),
            chunk("Hel"),
            b": heartbeat\n\n",
            chunk([{"type": "text", "text": "lo"}]),
            values(ai("Hello")),
        ],
        ["Hel", "lo", Answer("Hello")],
    ),
    "no model": ([values(human("hi")), values(human("hi"), ai("Hello"))], ["Hello", Answer("Hello")]),
    "whole message": ([whole(ai("Hello", id="1")), values(ai("Hello", id="1"))], ["Hello", Answer("Hello")]),
    "tokens, then the same whole": (
        [chunk("Hel"), chunk("lo"), whole(ai("Hello", id="1")), values(ai("Hello", id="1"))],
        ["Hel", "lo", Answer("Hello")],
    ),
    "a rest that came as no token": ([chunk("Hel"), values(ai("Hello!"))], ["Hel", "lo!", Answer("Hello!")]),
    "words that are not the answer": ([chunk("route: a"), values(ai("Hello"))], ["route: a", Answer("Hello")]),
    "other messages": (
        [whole(human("hi")), whole({"type": "tool", "content": "42"}), chunk(""), values(ai("Hello"))],
        ["Hello", Answer("Hello")],
    ),
    "subgraphs": ([event("values|sub:1", {"messages": [ai("no")]}), values(ai("Hello"))], ["Hello", Answer("Hello")]),
    "oddities": (
        [event("messages", []), event("messages", "x"), event("updates", None), values(ai("Hello"))],
        ["Hello", Answer("Hello")],
    ),
    "an event at the end": ([values(ai("Hello")), event("end", None), values(ai("never"))], ["Hello", Answer("Hello")]),
}


@pytest.mark.parametrize(("events", "expected"), STREAMS.values(), ids=STREAMS)
async def test_streams(fake: FakeLangGraph, load: Load, events: list[bytes], expected: list[object]) -> None:
    """The model's words come as deltas, what they lack of the answer follows, and the answer is the final state's."""
    fake.stream(METADATA, *events)
    answerer = await load()
    assert [item async for item in answerer.stream(asked())] == expected
    assert fake.paths == ["/runs/stream"]
    assert fake.bodies[0]["stream_mode"] == ["messages-tuple", "values"]
    assert (fake.requests[0]["Accept"], fake.requests[0]["Accept-Encoding"]) == ("text/event-stream", "identity")


FAILURES = {
    "failed": ([chunk("Hel"), event("error", {"error": "ValueError", "message": "secret"})], UpstreamFailed),
    "failed with words": ([event("error", "secret")], UpstreamFailed),
    "no state": ([chunk("Hel")], UpstreamFailed),
    "nothing": ([], UpstreamFailed),
    "no JSON": ([b"event: values\ndata: {secret\n\n"], UpstreamFailed),
    "silent": ([values(human("hi"))], NoAnswer),
    "asks": ([values(human("hi"), __interrupt__=[{"value": "sure?"}])], Interrupted),
    "asks in an update": ([event("updates", {"__interrupt__": [{"value": "sure?"}]})], Interrupted),
}


@pytest.mark.parametrize(("events", "problem"), FAILURES.values(), ids=FAILURES)
async def test_failures(fake: FakeLangGraph, load: Load, events: list[bytes], problem: type[Exception]) -> None:
    """A run that fails, asks or says nothing ends the stream with the problem that it is."""
    fake.stream(METADATA, *events)
    answerer = await load()
    with pytest.raises(problem) as caught:
        assert [item async for item in answerer.stream(asked()) if item != "Hel"] == []
    assert "secret" not in str(caught.value)


async def test_no_stream(fake: FakeLangGraph, load: Load) -> None:
    """A reply of another media type is no stream, whatever its status."""
    fake.headers, fake.parts = {"Content-Type": "text/html"}, [values(ai("Hello"))]
    with pytest.raises(UpstreamFailed):
        await anext(aiter((await load()).stream(asked())))


async def test_cut_off(fake: FakeLangGraph, load: Load) -> None:
    """A stream that is cut is 502 after the deltas that came; what was said until then is no answer."""
    fake.stream(chunk("Hel"))
    fake.abort = True
    events = (await load()).stream(asked())
    assert await anext(events) == "Hel"
    with pytest.raises(UpstreamFailed, match="broke off"):
        await anext(events)


async def test_deltas_are_not_held_back(fake: FakeLangGraph, load: Load) -> None:
    """A delta is there before the next one is said, and leaving closes the connection."""
    fake.stream(chunk("Hel"))
    fake.hold.clear()
    async with aclosing((await load()).stream(asked())) as events:
        assert await anext(events) == "Hel"
        assert not fake.left.is_set()
    await asyncio.wait_for(fake.left.wait(), 30)


async def test_json_instead_of_a_stream(fake: FakeLangGraph, load: Load) -> None:
    """The final state as JSON is no stream either: some proxies answer so."""
    fake.parts = [state(ai("Hello"))]
    with pytest.raises(UpstreamFailed):
        await anext(aiter((await load()).stream(asked())))


def said(node: str, content: str) -> bytes:
    """A piece of what the model of a node says."""
    return event("messages", [{"type": "AIMessageChunk", "content": content, "id": node}, {"langgraph_node": node}])


async def test_voices(fake: FakeLangGraph, load: Load) -> None:
    """Messages are set apart; a node whose words were not the answer is silent from the second question on."""
    fake.stream(said("plan", "search"), values(human("hi")), said("say", "Hel"), said("say", "lo"), values(ai("Hello")))
    answerer = await load()
    first, second = [[item async for item in answerer.stream(asked())] for _ in range(2)]
    assert first == ["search", "\n\nHel", "lo", Answer("Hello")]
    assert second == ["Hel", "lo", Answer("Hello")]


async def test_voices_at_once(fake: FakeLangGraph, load: Load) -> None:
    """Of two models that speak at the same time one is told; their words are never mixed."""
    fake.stream(said("a", "One"), said("b", "Two"), said("a", " one"), said("b", " two"), values(ai("One one")))
    assert [item async for item in (await load()).stream(asked())] == ["One", " one", Answer("One one")]
