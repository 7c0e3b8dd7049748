"""One question to a LangGraph server, one answer: what is sent, and every trap of what comes back."""

import asyncio
import json

import pytest

from service.answerers.remote.langgraph import thread_id
from service.errors import Interrupted, NoAnswer, Problem, RecursionLimit, Unavailable, UpstreamFailed

from .conftest import Load
from .fakes import FakeLangGraph, ai, asked, human, state


async def test_answer(fake: FakeLangGraph, load: Load) -> None:
    """The last AI message of the final state is the answer; the run is begun with all that servers differ in."""
    answerer = await load()
    assert (await answerer.answer(asked("hi"))).text == "Hi"
    assert fake.paths == ["/runs/wait"]
    assert fake.bodies == [
        {
            "assistant_id": fake.assistants[0]["assistant_id"],
            "input": {"messages": [{"role": "user", "content": "hi"}]},
            "on_disconnect": "cancel",
            "on_completion": "delete",
        }
    ]


async def test_newlines_keep_the_connection_alive(fake: FakeLangGraph, load: Load) -> None:
    """White space before the JSON is passed over, in however many pieces all of it comes."""
    whole = state(human("hi"), ai("Grüße"))
    fake.parts = [b"\n", b"\n\n", *(whole[at : at + 1] for at in range(len(whole)))]
    assert (await (await load()).answer(asked())).text == "Grüße"


BLOCKS = [{"type": "text", "text": "a"}, "b", {"type": "image_url", "image_url": "x"}, {"type": "text", "text": "c"}]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([human("hi"), ai(BLOCKS)], "abc"),
        ([human("hi"), ai("Hi"), {"type": "tool", "content": "42"}], "Hi"),
        ([human("hi"), ai("Hi"), ai("", tool_calls=[{"name": "look"}])], "Hi"),
        ([human("hi"), ai("old"), human("hi"), ai("new")], "new"),
        ([ai("only")], "only"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hi"}], "Hi"),
    ],
)
async def test_messages(fake: FakeLangGraph, load: Load, messages: list[object], text: str) -> None:
    """The answer is the last AI message that has text; blocks of type text are joined."""
    fake.parts = [state(*messages)]
    assert (await (await load()).answer(asked())).text == text


@pytest.mark.parametrize(
    "messages", [[], [human("hi")], [human("hi"), ai("")], [human("before"), ai("old"), human("hi")]]
)
async def test_silence(fake: FakeLangGraph, load: Load, messages: list[object]) -> None:
    """A graph that says nothing has no answer; what it said before the question does not count."""
    fake.parts = [state(*messages)]
    with pytest.raises(NoAnswer):
        await (await load()).answer(asked())


async def test_keys(fake: FakeLangGraph, load: Load) -> None:
    """The settings name other keys of the state, for the question and for the answer."""
    answerer = await load(input_key="question", output_key="reply")
    fake.parts = [b'{"question": "hi", "reply": "Hi"}']
    assert (await answerer.answer(asked())).text == "Hi"
    assert fake.bodies[0]["input"] == {"question": "hi"}


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"",
        b"\n\n",
        b"<html>",
        b"[1]",
        b'{"other": 1}',
        b'{"messages": {"a": 1}}',
        b"[" * 100_000,
        b'{"__error__": {"error": "ValueError", "message": "secret"}}',
        b'\n{"__error__": "secret"}',
    ],
    ids=str,
)
async def test_failures_that_come_as_success(fake: FakeLangGraph, load: Load, body: bytes) -> None:
    """A failed run, no state, no JSON and a state without an answer are 502 without a word of the server's."""
    fake.parts = [body]
    with pytest.raises(UpstreamFailed) as caught:
        await (await load()).answer(asked())
    assert "secret" not in caught.value.detail
    assert caught.value.members == {}


async def test_recursion_limit(fake: FakeLangGraph, load: Load) -> None:
    """A graph that came to no end says so as one within askd does."""
    fake.parts = [b'{"__error__": {"error": "GraphRecursionError", "message": "secret"}}']
    with pytest.raises(RecursionLimit):
        await (await load()).answer(asked())


@pytest.mark.parametrize(
    ("values", "asked_for"), [([{"sure": "?"}], {"sure": "?"}), (["a", "b"], ["a", "b"]), ([None], None)]
)
async def test_interrupt(fake: FakeLangGraph, load: Load, values: list[object], asked_for: object) -> None:
    """A graph that asks something is 409 with what it asks: one value, or a list of several."""
    fake.parts = [state(human("hi"), __interrupt__=[{"value": value, "id": "x"} for value in values])]
    with pytest.raises(Interrupted) as caught:
        await (await load()).answer(asked())
    assert caught.value.members == {"interrupt": asked_for}
    assert "`thread`" in caught.value.detail


async def test_thread(fake: FakeLangGraph, load: Load) -> None:
    """A thread is a UUID derived from its name, made when it is not there; a second question waits for the first."""
    answerer = await load()
    await answerer.answer(asked(thread="Ada"))
    path = f"/threads/{thread_id('Ada')}"
    assert fake.paths == [path, f"{path}/runs/wait"]
    body = fake.bodies[0]
    assert (body["if_not_exists"], body["multitask_strategy"]) == ("create", "enqueue")
    assert "on_completion" not in body
    assert thread_id("a").version == 5
    assert thread_id("a") != thread_id("b")


async def test_reply_to_an_interrupt(fake: FakeLangGraph, load: Load) -> None:
    """Where the graph waits for a reply in the thread, the question is that reply; else it is input."""
    answerer = await load()
    fake.thread = {"status": "interrupted", "interrupts": {"task": [{"value": "sure?"}]}}
    await answerer.answer(asked("yes", thread="t"))
    fake.thread = {"status": "interrupted", "interrupts": {}}  # a run that was cancelled
    await answerer.answer(asked("hello", thread="t"))
    assert fake.bodies[0]["command"] == {"resume": "yes"}
    assert "input" not in fake.bodies[0]
    assert "command" not in fake.bodies[1]


@pytest.mark.parametrize(
    ("sent", "problem", "retry"),
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
    fake: FakeLangGraph, load: Load, sent: tuple[int, dict[str, str]], problem: type[Problem], retry: int | None
) -> None:
    """Each real HTTP error is a problem of our own: 503 with Retry-After where asking again helps, else 502."""
    answerer = await load()
    fake.status, fake.headers = sent[0], {"Content-Type": "application/json", **sent[1]}
    fake.parts = [] if sent[0] == 204 else [json.dumps({"detail": "secret"}).encode()]
    with pytest.raises(problem) as caught:
        await answerer.answer(asked())
    assert type(caught.value) is problem
    assert caught.value.retry_after == retry
    assert "secret" not in caught.value.detail
    assert len(fake.bodies) == 1


async def test_cut_off(fake: FakeLangGraph, load: Load) -> None:
    """A connection that is cut within the answer is 502, and the question is not sent again."""
    answerer = await load()
    fake.parts, fake.abort = [b'{"messages": ['], True
    with pytest.raises(UpstreamFailed, match="broke off"):
        await answerer.answer(asked())
    assert len(fake.bodies) == 1
    assert (await answerer.ready())[1].startswith("The server that answers broke off")
    fake.parts, fake.abort = [state(ai("Hi"))], False
    await answerer.answer(asked())
    assert await answerer.ready() == (True, "")


async def test_deadline(fake: FakeLangGraph, load: Load) -> None:
    """The deadline is total: keep-alives do not prolong it; past it the answer is 502 and the run is left."""
    answerer = await load(deadline=0.2)
    fake.hold.clear()
    fake.parts = [b"\n"]
    with pytest.raises(UpstreamFailed, match="too long"):
        await answerer.answer(asked())
    await asyncio.wait_for(fake.left.wait(), 30)


async def test_client_leaves(fake: FakeLangGraph, load: Load) -> None:
    """A question that is cancelled closes its connection, by which the server cancels the run."""
    answerer = await load()
    fake.hold.clear()
    fake.parts = [b"\n"]
    asking = asyncio.create_task(answerer.answer(asked()))
    await asyncio.wait_for(fake.begun.wait(), 30)
    asking.cancel()
    await asyncio.wait_for(fake.left.wait(), 30)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_too_large(fake: FakeLangGraph, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is read up to a limit, no further: the server sees that nobody reads on."""
    answerer = await load()
    monkeypatch.setattr("service.answerers.remote.reply.LARGEST", 10)
    fake.hold.clear()
    with pytest.raises(UpstreamFailed, match="no answer"):
        await answerer.answer(asked())
    await asyncio.wait_for(fake.left.wait(), 30)
