"""Tests of answers from a LangGraph server: requests, final states, interrupts and failures."""

import asyncio
import json
import time

import pytest

from askd.answerers.remote.langgraph import derive_thread_uuid
from askd.errors import Interrupted, NoAnswer, Problem, RecursionLimit, Unavailable, UpstreamFailed
from tests.integration.answerers.remote.conftest import LoadAnswerer
from tests.support.fake_langgraph_server import (
    FakeLangGraph,
    ai_message,
    final_state,
    human_message,
    make_question,
    sse_event,
)


async def test_answer(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """The last AI message of the final state is the answer; the request sets all options explicitly."""
    answerer = await load()
    assert (await answerer.answer(make_question("hi"))).text == "Hi"
    assert fake.paths == ["/runs/wait"]
    assert fake.bodies == [
        {
            "assistant_id": fake.assistants[0]["assistant_id"],
            "input": {"messages": [{"role": "user", "content": "hi"}]},
            "on_disconnect": "cancel",
            "on_completion": "delete",
        }
    ]


async def test_leading_newlines_are_ignored(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Whitespace before the JSON, sent as a keep-alive, is ignored, however the body is split."""
    body = final_state(human_message("hi"), ai_message("Grüße"))
    fake.body_parts = [b"\n", b"\n\n", *(body[index : index + 1] for index in range(len(body)))]
    assert (await (await load()).answer(make_question())).text == "Grüße"


BLOCKS = [{"type": "text", "text": "a"}, "b", {"type": "image_url", "image_url": "x"}, {"type": "text", "text": "c"}]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([human_message("hi"), ai_message(BLOCKS)], "abc"),
        ([human_message("hi"), ai_message("Hi"), {"type": "tool", "content": "42"}], "Hi"),
        ([human_message("hi"), ai_message("Hi"), ai_message("", tool_calls=[{"name": "look"}])], "Hi"),
        ([human_message("hi"), ai_message("old"), human_message("hi"), ai_message("new")], "new"),
        ([ai_message("only")], "only"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hi"}], "Hi"),
    ],
)
async def test_messages(fake: FakeLangGraph, load: LoadAnswerer, messages: list[object], text: str) -> None:
    """The answer is the last AI message with text; text blocks are joined."""
    fake.body_parts = [final_state(*messages)]
    assert (await (await load()).answer(make_question())).text == text


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [human_message("hi")],
        [human_message("hi"), ai_message("")],
        [human_message("before"), ai_message("old"), human_message("hi")],
    ],
)
async def test_no_answer(fake: FakeLangGraph, load: LoadAnswerer, messages: list[object]) -> None:
    """A graph without an AI message after the question raises NoAnswer."""
    fake.body_parts = [final_state(*messages)]
    with pytest.raises(NoAnswer):
        await (await load()).answer(make_question())


async def test_state_keys(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """The question and the answer can have other keys in the state."""
    answerer = await load(input_key="question", output_key="reply")
    fake.body_parts = [b'{"question": "hi", "reply": "Hi"}']
    assert (await answerer.answer(make_question())).text == "Hi"
    assert fake.bodies[0]["input"] == {"question": "hi"}


async def test_structured_answer(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A mapping without text is an answer in JSON, as from a graph inside askd."""
    fake.body_parts = [b'{"messages": {"a": 1}}']
    answer = await (await load()).answer(make_question())
    assert (answer.value, answer.text) == ({"a": 1}, '{"a": 1}')


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"",
        b"\n\n",
        b"<html>",
        b"[1]",
        b'{"other": 1}',
        b"[" * 100_000,
        b'{"__error__": {"error": "ValueError", "message": "secret"}}',
        b'\n{"__error__": "secret"}',
    ],
    ids=str,
)
async def test_failures_with_status_200(fake: FakeLangGraph, load: LoadAnswerer, body: bytes) -> None:
    """Failed runs and invalid states with status 200 raise UpstreamFailed, without the server's message."""
    fake.body_parts = [body]
    with pytest.raises(UpstreamFailed) as caught:
        await (await load()).answer(make_question())
    assert "secret" not in caught.value.detail
    assert caught.value.extensions == {}


async def test_recursion_limit(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """A run that reached the recursion limit raises RecursionLimit, as for a graph inside askd."""
    fake.body_parts = [b'{"__error__": {"error": "GraphRecursionError", "message": "secret"}}']
    with pytest.raises(RecursionLimit):
        await (await load()).answer(make_question())


@pytest.mark.parametrize(
    ("values", "interrupt"), [([{"sure": "?"}], {"sure": "?"}), (["a", "b"], ["a", "b"]), ([None], None)]
)
async def test_interrupt(fake: FakeLangGraph, load: LoadAnswerer, values: list[object], interrupt: object) -> None:
    """An interrupted graph raises Interrupted with the value, or with a list of several values."""
    fake.body_parts = [
        final_state(human_message("hi"), __interrupt__=[{"value": value, "id": "x"} for value in values])
    ]
    with pytest.raises(Interrupted) as caught:
        await (await load()).answer(make_question())
    assert caught.value.extensions == {"interrupt": interrupt}
    assert "`thread`" in caught.value.detail


async def test_thread(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """The thread has a UUID derived from its name, and is created if needed; concurrent runs are enqueued."""
    answerer = await load()
    await answerer.answer(make_question(thread_id="Ada"))
    path = f"/threads/{derive_thread_uuid('Ada')}"
    assert fake.paths == [path, f"{path}/runs/wait"]
    body = fake.bodies[0]
    assert (body["if_not_exists"], body["multitask_strategy"]) == ("create", "enqueue")
    assert "on_completion" not in body
    assert derive_thread_uuid("a").version == 5
    assert derive_thread_uuid("a") != derive_thread_uuid("b")


async def test_reply_to_an_interrupt(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """If the graph waits for a reply in the thread, the question resumes it; otherwise it is input."""
    answerer = await load()
    fake.thread = {"status": "interrupted", "interrupts": {"task": [{"value": "sure?"}]}}
    await answerer.answer(make_question("yes", thread_id="t"))
    fake.thread = {"status": "interrupted", "interrupts": {}}  # after a cancelled run
    await answerer.answer(make_question("hello", thread_id="t"))
    assert fake.bodies[0]["command"] == {"resume": "yes"}
    assert "input" not in fake.bodies[0]
    assert "command" not in fake.bodies[1]


REPLIES = [
    ('[{"type": "accept"}]', ["1"], [{"type": "accept"}]),
    ('{"approve": true}', ["1"], {"1": {"approve": True}}),
    ("yes", ["1", "2"], {"1": "yes"}),
    ("7", ["1"], "7"),
]


@pytest.mark.parametrize(("text", "ids", "resume"), REPLIES)
async def test_structured_reply(
    fake: FakeLangGraph, load: LoadAnswerer, text: str, ids: list[str], resume: object
) -> None:
    """A JSON object or list in the text is sent as such; an object, and one of several replies, with an id."""
    fake.thread = {"interrupts": {f"task-{number}": [{"id": number, "value": "sure?"}] for number in ids}}
    await (await load()).answer(make_question(text, thread_id="t"))
    assert fake.bodies[0]["command"] == {"resume": resume}


@pytest.mark.parametrize(
    ("response", "problem", "retry_after"),
    [
        ((401, {}), UpstreamFailed, None),
        ((403, {}), UpstreamFailed, None),
        ((404, {}), UpstreamFailed, None),
        ((409, {}), Unavailable, 1),
        ((422, {}), UpstreamFailed, None),
        ((429, {"Retry-After": "7"}), Unavailable, 7),
        ((429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), Unavailable, 1),
        ((503, {"Retry-After": "999999"}), Unavailable, 300),
        ((503, {}), Unavailable, 1),
        ((500, {}), UpstreamFailed, None),
        ((307, {"Location": "http://elsewhere.invalid/"}), UpstreamFailed, None),
        ((204, {}), UpstreamFailed, None),
    ],
)
async def test_statuses(
    fake: FakeLangGraph,
    load: LoadAnswerer,
    response: tuple[int, dict[str, str]],
    problem: type[Problem],
    retry_after: int | None,
) -> None:
    """Error statuses raise Unavailable with `retry_after` if a retry may help, otherwise UpstreamFailed."""
    answerer = await load()
    fake.status, fake.headers = response[0], {"Content-Type": "application/json", **response[1]}
    fake.body_parts = [] if fake.status == 204 else [json.dumps({"detail": "secret"}).encode()]
    with pytest.raises(problem) as caught:
        await answerer.answer(make_question())
    assert type(caught.value) is problem
    assert caught.value.retry_after == retry_after
    assert "secret" not in caught.value.detail
    assert len(fake.bodies) == 1


async def test_aborted_response(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """An aborted response raises UpstreamFailed, the question is not repeated, and readiness reports the error."""
    answerer = await load()
    fake.body_parts, fake.abort_connection = [b'{"messages": ['], True
    with pytest.raises(UpstreamFailed, match="closed the connection"):
        await answerer.answer(make_question())
    assert len(fake.bodies) == 1
    assert (await answerer.ready())[1].startswith("The upstream server closed the connection")
    fake.body_parts, fake.abort_connection = [final_state(ai_message("Hi"))], False
    await answerer.answer(make_question())
    assert await answerer.ready() == (True, "")


async def test_deadline(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Keep-alives do not extend the deadline; when it passes, the connection is closed."""
    answerer = await load(deadline=0.2)
    fake.finish_body.clear()
    fake.body_parts = [b"\n"]
    with pytest.raises(UpstreamFailed, match="too long"):
        await answerer.answer(make_question())
    await asyncio.wait_for(fake.client_disconnected.wait(), 30)


async def test_client_disconnect(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """Cancelling a question closes the connection, so that the server cancels the run."""
    answerer = await load()
    fake.finish_body.clear()
    fake.body_parts = [b"\n"]
    asking = asyncio.create_task(answerer.answer(make_question()))
    await asyncio.wait_for(fake.body_started.wait(), 30)
    asking.cancel()
    await asyncio.wait_for(fake.client_disconnected.wait(), 30)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_too_large(fake: FakeLangGraph, load: LoadAnswerer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response over the maximum size is not read further and the connection is closed."""
    answerer = await load()
    monkeypatch.setattr("askd.answerers.remote.response.MAX_RESPONSE_SIZE", 10)
    fake.finish_body.clear()
    with pytest.raises(UpstreamFailed, match="invalid response"):
        await answerer.answer(make_question())
    await asyncio.wait_for(fake.client_disconnected.wait(), 30)


async def test_deadline_is_forwarded(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """The time left, or else the default deadline, is sent to the server, except for streams."""
    answerer = await load(deadline=30.0)
    await answerer.answer(make_question(deadline=time.monotonic() + 5.0))
    await answerer.answer(make_question())
    fake.respond_with_events(sse_event("values", {"messages": [{"type": "ai", "content": "Hi"}]}))
    assert [item async for item in answerer.stream(make_question())]
    timeouts = [headers.get("X-Request-Timeout") for headers in fake.request_headers]
    assert 4.0 < float(timeouts[0] or 0) <= 5.0
    assert timeouts[1:] == ["30.000", None]
