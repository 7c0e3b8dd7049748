"""OpenAI's chat completions: completions, streams, models, history, parameters and errors."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from askd.app import METRICS
from askd.errors import Interrupted, Refused
from askd.models import Answer, Answerer, Contract, Parameter, Question, QuestionForm
from tests.support.app_fixtures import Client, Log, ServeApp
from tests.support.fakes import ScriptedAnswerer, UppercaseAnswerer, cancelled_on_exit
from tests.support.request_metrics import request_count

PATH = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


async def complete(client: Client, **body: Any) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Send a request; return status, JSON body and headers of the response."""
    response = await client.post(PATH, json={"messages": HI, **body})
    return response.status, await response.json(), response.headers


async def read_chunks(client: Client, **body: Any) -> list[Any]:
    """Request a stream; return the data of its events."""
    response = await client.post(PATH, json={"messages": HI, "stream": True, **body})
    assert (response.status, response.content_type) == (200, "text/event-stream")
    blocks = [block for block in (await response.text()).split("\n\n") if block]
    data = [block.removeprefix("data: ") for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


async def test_completion_has_the_answer(serve: ServeApp, log: Log) -> None:
    """The last message is the question; usage is present, and zero because it is unknown."""
    client = await serve()
    status, body, headers = await complete(client, model="upper", temperature=0.5, max_tokens=5)
    assert (status, body["object"], body["model"]) == (200, "chat.completion", "upper")
    assert body["id"] == f"chatcmpl-{headers['X-Request-Id']}"
    choice = body["choices"][0]
    assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", "HI")
    assert (choice["finish_reason"], len(body["choices"])) == ("stop", 1)
    assert body["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert log.lines("request")[-1]["http.route"] == PATH
    assert request_count(client.app[METRICS].registry, route=PATH, method="POST", status=200) == 1


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 3, "completion_tokens": 4}, {"input_tokens": 3, "output_tokens": 4, "cost": "x"}]
)
async def test_usage_of_the_answer_is_reported(serve: ServeApp, usage: dict[str, Any]) -> None:
    """Code may report the tokens of its model in the field `usage`."""
    client = await serve(ScriptedAnswerer(Answer("one", {"usage": usage})))
    _, body, _ = await complete(client)
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


async def test_stream_has_chunks_and_an_end(serve: ServeApp) -> None:
    """Each delta is a chunk; the first one has the role, and the last one the reason of the end."""
    chunks = await read_chunks(await serve(ScriptedAnswerer("one ", "two", Answer("one two"))))
    assert chunks[-1] == "[DONE]"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas == [{"role": "assistant", "content": "one "}, {"content": "two"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, "stop"]
    assert {chunk["object"] for chunk in chunks[:-1]} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks[:-1]}) == 1


async def test_stream_of_other_code_has_one_delta(serve: ServeApp) -> None:
    """Code that does not stream is one chunk, and so is an immediate answer."""
    client = await serve()
    for text, answer in (("one", "ONE"), ("hello", "Hi")):
        chunks = await read_chunks(client, messages=[{"role": "user", "content": text}])
        assert chunks[0]["choices"][0]["delta"]["content"] == answer


async def test_stream_may_end_with_usage(serve: ServeApp) -> None:
    """`stream_options.include_usage` adds a chunk without choices."""
    chunks = await read_chunks(await serve(), stream_options={"include_usage": True})
    assert (chunks[-2]["choices"], chunks[-2]["usage"]["total_tokens"]) == ([], 0)


async def test_rest_of_the_text_is_sent(serve: ServeApp) -> None:
    """The complete text counts: what the deltas lack of it follows."""
    chunks = await read_chunks(await serve(ScriptedAnswerer("one", Answer("one two"))))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == "one two"


async def test_stream_may_end_with_an_error(serve: ServeApp, log: Log) -> None:
    """A failure after the first chunk is an event with OpenAI's error; before it, a status."""
    client = await serve(ScriptedAnswerer("one ", ValueError("a secret of the code")))
    chunks = await read_chunks(client)
    assert (chunks[-1]["error"]["type"], "secret" in str(chunks)) == ("server_error", False)
    assert log.lines("request")[-1]["http.response.status_code"] == 500
    client = await serve(ScriptedAnswerer(Refused(422, "No.")))
    assert (await complete(client, stream=True))[0] == 422


async def test_models_are_the_answerers(serve: ServeApp) -> None:
    """The list has the name that requests send as `model`."""
    body = await (await (await serve()).get("/v1/models")).json()
    assert body["object"] == "list"
    assert [(model["id"], model["object"], model["owned_by"]) for model in body["data"]] == [("upper", "model", "askd")]


async def test_unknown_model_is_404(serve: ServeApp) -> None:
    """The error names the served model; a request without a model gets it."""
    client = await serve()
    status, body, _ = await complete(client, model="gpt-4o")
    assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")
    assert body["error"]["message"] == "The model 'gpt-4o' does not exist. Use one of upper."
    assert (await complete(client))[0] == 200


UNSUPPORTED: dict[str, Any] = {
    "tools": [{"type": "function"}],
    "functions": [{}],
    "tool_choice": "required",
    "n": 2,
    "logprobs": True,
    "response_format": {"type": "json_object"},
    "modalities": ["audio"],
    "audio": {"voice": "x"},
}


@pytest.mark.parametrize(("name", "value"), UNSUPPORTED.items())
async def test_unsupported_parameter_is_400(serve: ServeApp, name: str, value: Any) -> None:
    """A parameter that cannot be honoured is an error that names it."""
    status, body, _ = await complete(await serve(), **{name: value})
    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "invalid_request_error", name)
    assert f"`{name}` is not supported" in body["error"]["message"]


async def test_harmless_values_are_accepted(serve: ServeApp) -> None:
    """Clients send defaults and null."""
    harmless = {"tools": [], "tool_choice": "auto", "n": 1, "logprobs": False, "audio": None, "stream_options": None}
    assert (await complete(await serve(), **harmless, response_format={"type": "text"}))[0] == 200


INVALID: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "body"),
    "no object": (b"[]", "body"),
    "surrogate": (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "messages"),
    "no messages": (b"{}", "body"),
    "empty messages": (b'{"messages": []}', "messages"),
    "text for messages": (b'{"messages": "hi"}', "messages"),
    "last is not the user's": (b'{"messages": [{"role": "assistant", "content": "hi"}]}', "messages"),
    "unknown role": (b'{"messages": [{"role": "tool", "content": "hi"}]}', "messages[0].role"),
    "image": (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "messages[0].content"),
    "number": (b'{"messages": [{"role": "user", "content": 5}]}', "messages[0].content"),
    "blank": (b'{"messages": [{"role": "user", "content": " "}]}', "q"),
}


@pytest.mark.parametrize(("body", "parameter"), INVALID.values(), ids=INVALID)
async def test_invalid_request_is_400(serve: ServeApp, body: bytes, parameter: str) -> None:
    """The error names the invalid part in OpenAI's format."""
    response = await (await serve()).post(PATH, data=body, headers={"Content-Type": "application/json"})
    error = (await response.json())["error"]
    assert (response.status, error["type"], error["param"]) == (400, "invalid_request_error", parameter)


async def test_other_media_types_are_rejected(serve: ServeApp) -> None:
    """The body must be JSON."""
    response = await (await serve()).post(PATH, data=b"{}", headers={"Content-Type": "text/plain"})
    assert (response.status, (await response.json())["error"]["code"]) == (415, "unsupported_media_type")


CONVERSATION = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": None},
    {"role": "user", "content": [{"type": "text", "text": "tw"}, {"type": "text", "text": "o"}]},
]
HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": ""},
]


async def test_earlier_messages_are_the_history(serve: ServeApp) -> None:
    """Code sees the conversation; a question with a history is not cached."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer)
    for _ in range(2):
        _, body, _ = await complete(client, messages=CONVERSATION)
        assert body["choices"][0]["message"]["content"] == "TWO"
    assert [question.history for question in answerer.questions] == [HISTORY, HISTORY]
    for _ in range(2):
        await complete(client)
    assert len(answerer.questions) == 3


class Sampling(Answerer):
    """Echoes the parameters that it has declared."""

    kind, name = "fake", "sampling"
    contract = Contract(
        question=QuestionForm(name="prompt"),
        parameters=[Parameter(name=name, schema={}) for name in ("temperature", "history", "model")],
    )

    def parse_parameters(self, values: Mapping[str, Any], *, from_strings: bool) -> Mapping[str, Any]:
        return values

    async def answer(self, question: Question) -> Answer:
        return Answer(question.text, value=dict(question.parameters))


async def test_declared_parameters_are_passed(serve: ServeApp) -> None:
    """A parameter of the code gets the value of that name, others are ignored; `history` gets the conversation."""
    client = await serve(Sampling())
    _, body, _ = await complete(client, messages=CONVERSATION, temperature=0.2, top_p=0.1, model="sampling")
    assert body["choices"][0]["message"]["content"] == "two"
    response = await client.post("/ask", json={"q": "x", "temperature": 0.2})
    assert (await response.json())["answer"] == {"temperature": 0.2}


async def test_missing_answer_suggests_questions(serve: ServeApp) -> None:
    """A chat client shows the message of the error, so it has the suggestions."""
    status, body, _ = await complete(await serve(), messages=[{"role": "user", "content": "nothing"}])
    assert (status, body["error"]["code"]) == (404, "no_answer")
    assert body["error"]["message"].endswith("Questions that have one: hello")


async def test_overload_keeps_status_and_retry_after(serve: ServeApp) -> None:
    """The official clients retry after the time in the header."""
    answerer = UppercaseAnswerer(deterministic=False)
    client = await serve(answerer, concurrency="1", queue_size="0")
    waiting = complete(client, messages=[{"role": "user", "content": "wait"}])
    async with cancelled_on_exit(asyncio.create_task(waiting)):
        await answerer.wait_started.wait()
        status, body, headers = await complete(client)
    assert (status, body["error"]["type"], "Retry-After" in headers) == (503, "server_error", True)


async def test_key_is_the_token(serve: ServeApp, tmp_path: Path) -> None:
    """Without the token, neither completions nor models are answered."""
    token = "askd_" + "a" * 43
    (tmp_path / "tokens").write_text(f"alice: {hashlib.sha256(token.encode()).hexdigest()}\n")
    client = await serve(tokens_file=str(tmp_path / "tokens"))
    status, body, _ = await complete(client)
    assert (status, body["error"]["type"]) == (401, "authentication_error")
    assert (await client.get("/v1/models")).status == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.post(PATH, json={"messages": HI}, headers=headers)).status == 200


class Waiting(Answerer):
    """Waits for a reply in a thread."""

    kind, name = "fake", "waiting"
    supports_threads = True

    async def answer(self, question: Question) -> Answer:
        if question.thread_id == "a":
            return Answer(f"{len(question.history)} messages")
        raise Interrupted("The graph waits for input.", interrupt="sure?")


async def test_interrupt_is_409_and_a_thread_continues(serve: ServeApp) -> None:
    """The format has no interrupts; a client may name a thread, which then remembers the conversation itself."""
    client = await serve(Waiting())
    status, body, _ = await complete(client)
    assert (status, body["error"]["code"]) == (409, "interrupted")
    _, body, _ = await complete(client, messages=CONVERSATION, thread="a")
    assert body["choices"][0]["message"]["content"] == "0 messages"


async def test_disabled_format_is_404(serve: ServeApp) -> None:
    """Only the formats of the setting are served."""
    client = await serve(formats="ask,mcp")
    assert [(await client.get("/v1/models")).status, (await complete(client))[0]] == [404, 404]


async def test_wrong_method_has_the_format_of_openai(serve: ServeApp) -> None:
    """405 as everywhere, in the shape that clients read."""
    response = await (await serve()).get(PATH)
    assert (response.status, (await response.json())["error"]["code"]) == (405, "method_not_allowed")
