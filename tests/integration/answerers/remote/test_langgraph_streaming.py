"""Tests of streamed answers from a LangGraph server."""

import asyncio
import time
from contextlib import aclosing

import pytest

from askd.answerers.remote.response import EVENT_STREAM_MEDIA_TYPE
from askd.errors import Interrupted, NoAnswer, UpstreamFailed
from askd.models import Answer
from tests.integration.answerers.remote.conftest import LoadAnswerer
from tests.support.fake_langgraph_server import (
    FakeLangGraph,
    ai_message,
    final_state,
    human_message,
    make_question,
    sse_event,
)

METADATA = sse_event("metadata", {"run_id": "01", "attempt": 1})
MESSAGE_METADATA = {"langgraph_node": "say"}


def chunk(content: object, id: str = "1") -> bytes:
    """Return an event with a chunk of a message."""
    return sse_event("messages", [{"type": "AIMessageChunk", "content": content, "id": id}, MESSAGE_METADATA])


def complete_message(message: object) -> bytes:
    """Return an event with a complete message, as from a node that does not call a model."""
    return sse_event("messages", [message, MESSAGE_METADATA])


def state_event(*messages: object, **values: object) -> bytes:
    """Return an event with the state."""
    return sse_event("values", {"messages": list(messages), **values})


STREAMS = {
    "tokens": (
        [
            state_event(human_message("hi")),
            chunk("Hel"),
            b": heartbeat\n\n",
            chunk([{"type": "text", "text": "lo"}]),
            state_event(ai_message("Hello")),
        ],
        ["Hel", "lo", Answer("Hello")],
    ),
    "no chunks": (
        [state_event(human_message("hi")), state_event(human_message("hi"), ai_message("Hello"))],
        ["Hello", Answer("Hello")],
    ),
    "complete message": (
        [complete_message(ai_message("Hello", id="1")), state_event(ai_message("Hello", id="1"))],
        ["Hello", Answer("Hello")],
    ),
    "chunks, then the same message": (
        [
            chunk("Hel"),
            chunk("lo"),
            complete_message(ai_message("Hello", id="1")),
            state_event(ai_message("Hello", id="1")),
        ],
        ["Hel", "lo", Answer("Hello")],
    ),
    "rest of the answer": ([chunk("Hel"), state_event(ai_message("Hello!"))], ["Hel", "lo!", Answer("Hello!")]),
    "chunks of another message": ([chunk("route: a"), state_event(ai_message("Hello"))], ["route: a", Answer("Hello")]),
    "other messages": (
        [
            complete_message(human_message("hi")),
            complete_message({"type": "tool", "content": "42"}),
            chunk(""),
            state_event(ai_message("Hello")),
        ],
        ["Hello", Answer("Hello")],
    ),
    "subgraphs": (
        [sse_event("values|sub:1", {"messages": [ai_message("no")]}), state_event(ai_message("Hello"))],
        ["Hello", Answer("Hello")],
    ),
    "invalid events": (
        [
            sse_event("messages", []),
            sse_event("messages", "x"),
            sse_event("updates", None),
            state_event(ai_message("Hello")),
        ],
        ["Hello", Answer("Hello")],
    ),
    "end event": (
        [state_event(ai_message("Hello")), sse_event("end", None), state_event(ai_message("never"))],
        ["Hello", Answer("Hello")],
    ),
}


@pytest.mark.parametrize(("events", "expected"), STREAMS.values(), ids=STREAMS)
async def test_streams(fake: FakeLangGraph, load: LoadAnswerer, events: list[bytes], expected: list[object]) -> None:
    """Chunks are yielded as deltas, then the rest of the answer, then the answer from the final state."""
    fake.respond_with_events(METADATA, *events)
    answerer = await load()
    assert [item async for item in answerer.stream(make_question())] == expected
    assert fake.paths == ["/runs/stream"]
    assert fake.bodies[0]["stream_mode"] == ["messages-tuple", "values"]
    assert (fake.request_headers[0]["Accept"], fake.request_headers[0]["Accept-Encoding"]) == (
        "text/event-stream",
        "identity",
    )


FAILURES = {
    "failed": ([chunk("Hel"), sse_event("error", {"error": "ValueError", "message": "secret"})], UpstreamFailed),
    "failed with text": ([sse_event("error", "secret")], UpstreamFailed),
    "no state": ([chunk("Hel")], UpstreamFailed),
    "no events": ([], UpstreamFailed),
    "no JSON": ([b"event: state_event\ndata: {secret\n\n"], UpstreamFailed),
    "no answer": ([state_event(human_message("hi"))], NoAnswer),
    "interrupted": ([state_event(human_message("hi"), __interrupt__=[{"value": "sure?"}])], Interrupted),
    "interrupted in an update": ([sse_event("updates", {"__interrupt__": [{"value": "sure?"}]})], Interrupted),
}


@pytest.mark.parametrize(("events", "problem"), FAILURES.values(), ids=FAILURES)
async def test_failures(fake: FakeLangGraph, load: LoadAnswerer, events: list[bytes], problem: type[Exception]) -> None:
    """A failed, interrupted or empty run raises the matching problem, without the server's message."""
    fake.respond_with_events(METADATA, *events)
    answerer = await load()
    with pytest.raises(problem) as caught:
        assert [item async for item in answerer.stream(make_question()) if item != "Hel"] == []
    assert "secret" not in str(caught.value)


async def test_wrong_media_type(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A response with another media type raises UpstreamFailed."""
    fake.headers, fake.body_parts = {"Content-Type": "text/html"}, [state_event(ai_message("Hello"))]
    with pytest.raises(UpstreamFailed):
        await anext(aiter((await load()).stream(make_question())))


async def test_aborted_stream(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """An aborted stream raises UpstreamFailed after the deltas that were received."""
    fake.respond_with_events(chunk("Hel"))
    fake.abort_connection = True
    events = (await load()).stream(make_question())
    assert await anext(events) == "Hel"
    with pytest.raises(UpstreamFailed, match="closed the connection"):
        await anext(events)


async def test_deltas_are_yielded_immediately(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A delta is yielded before the next event arrives; closing the iterator closes the connection."""
    fake.respond_with_events(chunk("Hel"))
    fake.finish_body.clear()
    async with aclosing((await load()).stream(make_question())) as events:
        assert await anext(events) == "Hel"
        assert not fake.client_disconnected.is_set()
    await asyncio.wait_for(fake.client_disconnected.wait(), 30)


async def test_json_response(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A JSON response raises UpstreamFailed, although its media type is accepted when the stream starts."""
    fake.body_parts = [final_state(ai_message("Hello"))]
    with pytest.raises(UpstreamFailed):
        await anext(aiter((await load()).stream(make_question())))


def node_chunk(node: str, content: str) -> bytes:
    """Return an event with a chunk of a message of this node."""
    return sse_event("messages", [{"type": "AIMessageChunk", "content": content, "id": node}, {"langgraph_node": node}])


async def test_several_nodes(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Messages of different nodes are separated; nodes that did not give the answer are not streamed again."""
    fake.respond_with_events(
        node_chunk("plan", "search"),
        state_event(human_message("hi")),
        node_chunk("say", "Hel"),
        node_chunk("say", "lo"),
        state_event(ai_message("Hello")),
    )
    answerer = await load()
    first, second = [[item async for item in answerer.stream(make_question())] for _ in range(2)]
    assert first == ["search", "\n\nHel", "lo", Answer("Hello")]
    assert second == ["Hel", "lo", Answer("Hello")]


async def test_concurrent_nodes(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """If two nodes stream at the same time, only one of them is yielded."""
    fake.respond_with_events(
        node_chunk("a", "One"),
        node_chunk("b", "Two"),
        node_chunk("a", " one"),
        node_chunk("b", " two"),
        state_event(ai_message("One one")),
    )
    assert [item async for item in (await load()).stream(make_question())] == ["One", " one", Answer("One one")]


async def test_stream_deadline_moves_with_events(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Each event of a stream moves its deadline."""
    answerer = await load(deadline=30.0)
    fake.respond_with_events(sse_event("a", 1), sse_event("b", 2))
    deadline_at = answerer.upstream.deadline_for(make_question())
    deadlines = []
    send = answerer.upstream.send(
        "POST",
        "/runs/stream",
        question=make_question(),
        accept=EVENT_STREAM_MEDIA_TYPE,
        deadline_at=deadline_at,
        json={},
    )
    async with await send as response:
        async for _ in response.iter_events():
            deadlines.append(response._deadline_at)  # noqa: PERF401 - the deadline changes during the loop
    assert deadlines[0] == deadline_at < deadlines[1]
    assert answerer.upstream.deadline_for(make_question(deadline=time.monotonic() + 100.0)) > deadline_at + 60.0


async def test_stream_timeout(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A stream whose next event does not arrive in time raises UpstreamFailed."""
    answerer = await load(deadline=0.1)
    fake.respond_with_events(sse_event("metadata", {}))
    fake.finish_body.clear()
    with pytest.raises(UpstreamFailed, match="too long"):
        await anext(aiter(answerer.stream(make_question())))
