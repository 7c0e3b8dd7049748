"""MCP calls that wait for the user: the request for input, its signed state, and the thread."""

from collections.abc import AsyncIterator
from time import time
from typing import Any

import pytest

from askd.api.formats import mcp_interrupts
from askd.errors import BadQuestion, Interrupted
from askd.models import Answer, Answerer, Question
from tests.integration.api.formats.mcp_client import (
    ELICITATION,
    call,
    post,
    post_legacy,
    read_stream,
    request_body,
)
from tests.support.app_fixtures import ServeApp


class Booking(Answerer):
    """Asks before it books: a conversation with an interrupt, as a graph has it."""

    kind, name = "fake", "booking"
    supports_threads = supports_temporary_threads = True

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.questions: list[Question] = []

    async def answer(self, question: Question) -> Answer:
        self.questions.append(question)
        thread = question.thread_id or ""
        if thread not in self.waiting:
            self.waiting.add(thread)
            raise Interrupted("The graph waits for input.", interrupt={"question": f"Book {question.text}?"})
        if question.text == "perhaps":
            raise BadQuestion("q", "The graph cannot use this reply.")
        self.waiting.remove(thread)
        return Answer(f"booked: {question.text}")


def reply(action: str = "accept", text: Any = "yes") -> dict[str, Any]:
    return {"reply": {"action": action, "content": {"reply": text}}}


async def test_interrupt_asks_the_user(serve: ServeApp) -> None:
    """The client shows a form, and sends the reply with the state; the thread exists only for the call."""
    answerer = Booking()
    client = await serve(answerer)
    first = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION)
    assert (first["resultType"], "content" in first) == ("input_required", False)
    form = first["inputRequests"]["reply"]
    assert (form["method"], form["params"]["message"]) == ("elicitation/create", "Book a room?")
    params = {"requestState": first["requestState"], "inputResponses": reply()}
    result = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION, params=params)
    assert result["structuredContent"] == {"answer": "booked: yes"}
    assert [question.thread_is_temporary for question in answerer.questions] == [True, True]
    assert len({question.thread_id for question in answerer.questions}) == 1


async def test_thread_of_the_client_outlives_the_call(serve: ServeApp) -> None:
    """A conversation that the client has named stays after the interrupt, also if a reply was incomplete."""
    answerer = Booking()
    client = await serve(answerer)
    arguments = {"q": "a room", "thread": "mine"}
    first = await call(client, "booking", arguments, capabilities=ELICITATION)
    params = {"requestState": first["requestState"], "inputResponses": {}}
    second = await call(client, "booking", arguments, capabilities=ELICITATION, params=params)
    params = {"requestState": second["requestState"], "inputResponses": reply()}
    result = await call(client, "booking", arguments, capabilities=ELICITATION, params=params)
    assert result["structuredContent"] == {"answer": "booked: yes"}
    assert [(question.thread_id, question.thread_is_temporary) for question in answerer.questions] == [
        ("mine", False),
        ("mine", False),
    ]


@pytest.mark.parametrize("responses", [{}, {"other": {}}, {"reply": 5}, reply(text=5), reply("perhaps")])
async def test_missing_reply_asks_again(serve: ServeApp, responses: dict[str, Any]) -> None:
    """An incomplete reply does not reach the answerer."""
    answerer = Booking()
    client = await serve(answerer)
    first = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION)
    params = {"requestState": first["requestState"], "inputResponses": responses}
    second = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION, params=params)
    assert second["inputRequests"] == first["inputRequests"]
    assert len(answerer.questions) == 1


async def test_reply_that_does_not_fit_asks_again(serve: ServeApp) -> None:
    """The user can correct a reply that the graph cannot use."""
    client = await serve(Booking())
    first = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION)
    params = {"requestState": first["requestState"], "inputResponses": reply(text="perhaps")}
    second = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION, params=params)
    assert second["resultType"] == "input_required"
    params = {"requestState": second["requestState"], "inputResponses": reply()}
    result = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION, params=params)
    assert result["structuredContent"] == {"answer": "booked: yes"}


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_declined_reply_is_a_result(serve: ServeApp, action: str) -> None:
    """The model learns that its user does not want to reply."""
    client = await serve(Booking())
    first = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION)
    params = {"requestState": first["requestState"], "inputResponses": reply(action)}
    result = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION, params=params)
    assert (result["isError"], action in result["content"][0]["text"]) == (True, True)


@pytest.mark.parametrize("forged", ["{}-TAMPERED", "{}A", "", "ü", "A" * 100])
async def test_state_cannot_be_forged(serve: ServeApp, forged: str) -> None:
    """A changed state is an error, and nothing is called."""
    answerer = Booking()
    client = await serve(answerer)
    first = await call(client, "booking", {"q": "a room"}, capabilities=ELICITATION)
    state = forged.format(first["requestState"])
    params = {"name": "booking", "requestState": state, "inputResponses": reply()}
    status, body, _ = await post(client, request_body("tools/call", params, capabilities=ELICITATION))
    assert (status, body["error"]["code"], len(answerer.questions)) == (400, -32602, 1)


@pytest.mark.parametrize(("keys", "status"), [(("k", "k"), 200), (("k", "other"), 400), ((None, None), 400)])
async def test_replicas_need_the_same_key(serve: ServeApp, keys: tuple[str | None, str | None], status: int) -> None:
    """Another process accepts the state if the setting is the same."""
    settings = [{} if key is None else {"mcp_secret": key} for key in keys]
    answerer = Booking()
    clients = [await serve(answerer, **values) for values in settings]
    first = await call(clients[0], "booking", {"q": "a room"}, capabilities=ELICITATION)
    params = {"name": "booking", "requestState": first["requestState"], "inputResponses": reply()}
    assert (await post(clients[1], request_body("tools/call", params, capabilities=ELICITATION)))[0] == status


async def test_state_belongs_to_its_caller_and_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another caller nor another tool can use it, nor anyone after an hour."""
    signer = mcp_interrupts.StateSigner(None)
    state = signer.sign("booking", "alice", "t", "m", thread_is_temporary=True)
    assert signer.verify(state, "booking", "alice") is not None
    assert signer.verify(state, "booking", "bob") is None
    assert signer.verify(state, "other", "alice") is None
    expired_at = time() + mcp_interrupts.STATE_LIFETIME + 1
    monkeypatch.setattr(mcp_interrupts, "time", lambda: expired_at)
    assert signer.verify(state, "booking", "alice") is None


async def test_clients_without_forms_get_the_thread(serve: ServeApp) -> None:
    """A model that can ask its user itself continues by naming the thread, in every revision."""
    answerer = Booking()
    client = await serve(answerer)
    result = await call(client, "booking", {"q": "a room"})
    thread = result["structuredContent"]["thread"]
    assert result["structuredContent"]["interrupt"] == {"question": "Book a room?"}
    assert f"thread={thread!r}" in result["content"][0]["text"]
    params = {"name": "booking", "arguments": {"q": "yes", "thread": thread}}
    status, body = await post_legacy(client, "tools/call", params)
    assert (status, body["result"]["structuredContent"]) == (200, {"answer": "booked: yes"})
    assert answerer.questions[-1].thread_is_temporary is False


class Streaming(Booking):
    """As Booking, but streams."""

    supports_streaming = True
    name = "scripted"

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        yield "thinking"
        yield await self.answer(question)


async def test_interrupted_stream_names_the_thread(serve: ServeApp) -> None:
    """An interrupt after the first delta is the result of the stream."""
    _, messages = await read_stream(await serve(Streaming()), "a room")
    assert messages[-1]["result"]["structuredContent"]["interrupt"] == {"question": "Book a room?"}
