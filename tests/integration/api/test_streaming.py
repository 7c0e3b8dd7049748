"""Answers as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest

from askd.api.streaming import StreamResponder, StreamTimeouts, with_heartbeats
from askd.app import INSTRUMENTATION, METRICS
from askd.errors import NoAnswer, Refused
from askd.models import Answer, Answerer, Question
from tests.support.app_fixtures import Client, Log, ServeApp
from tests.support.fakes import ScriptedAnswerer, UppercaseAnswerer, wait_until

ACCEPT = {"Accept": "text/event-stream"}


async def read_events(client: Client, query: str, **headers: str) -> list[tuple[str, object]]:
    """Request a stream and read it to the end; return names and data."""
    response = await client.get(f"/ask?q={query}", headers={**ACCEPT, **headers})
    assert (response.status, response.content_type) == (200, "text/event-stream")
    return parse_events(await response.text())


def parse_events(text: str) -> list[tuple[str, object]]:
    """Parse server-sent events with one `event` and one `data` line each."""
    events = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        assert (name.startswith("event: "), data.startswith("data: ")) == (True, True)
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def test_deltas_precede_the_answer(serve: ServeApp) -> None:
    """A stream has `delta` events, whose joined texts are the answer, and a final `answer` event."""
    received = await read_events(await serve(UppercaseAnswerer(supports_streaming=True)), "one+two+three")
    assert [name for name, _ in received] == ["delta", "delta", "delta", "answer"]
    assert "".join(str(data) for _, data in received[:-1]) == "one two three "
    assert received[-1][1] == {"answer": "one two three "}


async def test_deltas_are_not_buffered(serve: ServeApp) -> None:
    """A delta reaches the client while the answerer works on the next one."""
    answerer = UppercaseAnswerer(supports_streaming=True)
    response = await (await serve(answerer)).get("/ask?q=one+wait", headers=ACCEPT)
    assert await response.content.readuntil(b"\n\n") == b'event: delta\ndata: "one "\n\n'
    assert not answerer.release.is_set()
    answerer.release.set()
    assert (await response.text()).endswith('data: {"answer":"one wait "}\n\n')


async def test_non_streaming_answerer_sends_one_delta(serve: ServeApp) -> None:
    """Answers that are not streamed, and immediate answers, are one delta and the answer."""
    client = await serve()
    assert await read_events(client, "field") == [("delta", "FIELD"), ("answer", {"answer": "FIELD", "more": 1})]
    assert await read_events(client, "hello") == [("delta", "Hi"), ("answer", {"answer": "Hi"})]


async def test_cached_answer_is_streamed(serve: ServeApp) -> None:
    """A cached deterministic answer is streamed without calling the answerer."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer)
    assert await (await client.get("/ask?q=abc")).json() == {"answer": "ABC"}
    assert await read_events(client, "abc") == [("delta", "ABC"), ("answer", {"answer": "ABC"})]
    assert await read_events(client, "def") == await read_events(client, "def")
    assert [question.text for question in answerer.questions] == ["abc", "def"]


async def test_line_breaks_are_escaped(serve: ServeApp) -> None:
    """Line breaks in an answer cannot start a new line of the event."""
    text = "a\nb\r\nc\rd\n\nevent: answer\ndata: 1\u2028"
    received = await read_events(await serve(ScriptedAnswerer(text, Answer(text))), "x")
    assert received == [("delta", text), ("answer", {"answer": text})]


async def test_stream_headers(serve: ServeApp) -> None:
    """A stream must not be stored, nor buffered by proxies."""
    response = await (await serve()).get("/ask?q=abc", headers=ACCEPT)
    expected = {"X-Accel-Buffering": "no", "Cache-Control": "no-store", "Vary": "Accept"}
    assert expected.items() <= dict(response.headers).items()
    assert (len(response.headers["X-Request-Id"]), "total;dur=" in response.headers["Server-Timing"]) == (32, True)


ERRORS_BEFORE_FIRST_EVENT = {
    "no answer": (NoAnswer(["hello"]), 404, "no-answer"),
    "failed": (ValueError("a secret"), 500, "answerer-failed"),
    "refused": (Refused(402, "Pay first."), 402, "refused"),
    "cannot be sent": ("\ud800", 500, "answerer-failed"),
    "cannot be rendered": (Answer("a", {"x": object()}), 500, "answerer-failed"),
}


@pytest.mark.parametrize(("event", "status", "code"), ERRORS_BEFORE_FIRST_EVENT.values(), ids=ERRORS_BEFORE_FIRST_EVENT)
async def test_error_before_first_event_has_its_status(
    serve: ServeApp, event: str | Answer | Exception, status: int, code: str
) -> None:
    """Until the first event is sent, an error is an ordinary error response."""
    response = await (await serve(ScriptedAnswerer(event))).get("/ask?q=x", headers=ACCEPT)
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["type"], "secret" in str(problem)) == (status, f"/docs#{code}", False)


async def test_empty_stream_is_an_error(serve: ServeApp) -> None:
    """A stream that ends without an event is a 500."""
    assert (await (await serve(ScriptedAnswerer())).get("/ask?q=x", headers=ACCEPT)).status == 500


ERRORS_AFTER_FIRST_EVENT = {
    "no answer": (NoAnswer(), 404, "no-answer"),
    "failed": (ValueError("a secret"), 500, "answerer-failed"),
    "ended early": ("more", 500, "answerer-failed"),
    "cannot be rendered": (Answer("a", {"x": object()}), 500, "answerer-failed"),
}


@pytest.mark.parametrize(("event", "status", "code"), ERRORS_AFTER_FIRST_EVENT.values(), ids=ERRORS_AFTER_FIRST_EVENT)
async def test_error_after_first_event_is_an_event(
    serve: ServeApp, log: Log, event: str | Answer | Exception, status: int, code: str
) -> None:
    """After the first event, a failure is an `error` event; the log and metrics have its status."""
    client = await serve(ScriptedAnswerer("one", event))
    received = await read_events(client, "x", **{"X-Request-Id": "mine"})
    assert (received[0], received[-1][0]) == (("delta", "one"), "error")
    problem = received[-1][1]
    assert isinstance(problem, dict)
    assert (problem["status"], problem["type"], problem["request_id"]) == (status, f"/docs#{code}", "mine")
    assert "secret" not in str(problem)
    assert [line["http.response.status_code"] for line in log.lines("request")] == [status]
    assert len([line for line in log.lines() if "exception" in line]) == (status == 500)
    labels = {"http_route": "/ask", "http_request_method": "GET", "http_response_status_code": str(status)}
    assert client.app[METRICS].registry.get_sample_value("http_server_request_duration_seconds_count", labels) == 1


async def test_heartbeats(serve: ServeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments are sent while the answerer is silent, also before the first event."""
    monkeypatch.setattr(StreamResponder.__init__, "__kwdefaults__", {"heartbeat_interval": 0.001})
    answerer = UppercaseAnswerer(supports_streaming=True)
    response = await (await serve(answerer)).get("/ask?q=wait", headers=ACCEPT)
    for _ in range(3):
        assert await response.content.readuntil(b"\n\n") == b": heartbeat\n\n"
    answerer.release.set()
    rest = (await response.text()).replace(": heartbeat\n\n", "")
    assert parse_events(rest) == [("delta", "wait "), ("answer", {"answer": "wait "})]


@pytest.mark.parametrize("query", ["wait", "one+wait"])
async def test_client_disconnect_cancels_the_answerer(
    serve: ServeApp, log: Log, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """The answerer is cancelled if the client disconnects, and nothing stays in flight."""
    monkeypatch.setattr(StreamResponder.__init__, "__kwdefaults__", {"heartbeat_interval": 0.001})
    answerer = UppercaseAnswerer(supports_streaming=True)
    client = await serve(answerer)
    response = await client.get(f"/ask?q={query}", headers=ACCEPT)
    await asyncio.wait_for(answerer.wait_started.wait(), 5)
    response.close()
    await asyncio.wait_for(answerer.cancelled.wait(), 5)
    await wait_until(lambda: log.lines("request"))
    assert (log.lines()[-1]["http.response.status_code"], client.app[INSTRUMENTATION].in_flight) == (499, 0)


class SpanningAnswerer(Answerer):
    """Keeps a timeout, a task group and a context variable open across yields, as clients of model APIs do."""

    supports_streaming = True
    kind = name = "spanning"
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def answer(self, question: Question) -> Answer:
        """Not called."""
        raise NotImplementedError

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield inside of all three."""
        token = self.variable.set("set")
        try:
            async with asyncio.timeout(0.02 if question.text == "late" else 60), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
                yield self.variable.get()
                if question.text == "late":
                    await asyncio.Event().wait()
                yield "!"
        finally:
            self.variable.reset(token)
        yield Answer("set!")


async def test_contexts_span_yields(serve: ServeApp) -> None:
    """Timeouts, task groups and context variables work across the yields of a streaming generator."""
    client = await serve(SpanningAnswerer())
    assert await read_events(client, "x") == [("delta", "set"), ("delta", "!"), ("answer", {"answer": "set!"})]
    assert [name for name, _ in await read_events(client, "late")] == ["delta", "error"]


async def test_backpressure() -> None:
    """The answerer is at most one event ahead of the client."""
    produced: list[int] = []

    async def numbers() -> AsyncIterator[str]:
        for number in range(100):
            produced.append(number)
            yield str(number)

    events = with_heartbeats(numbers(), StreamTimeouts(60))
    assert [await anext(events), await anext(events)] == ["0", "1"]
    for _ in range(10):
        await asyncio.sleep(0)
    assert produced == [0, 1]
    await events.aclose()  # type: ignore[attr-defined] # a generator


async def test_heartbeats_do_not_lose_events() -> None:
    """Every event arrives once and in order, however many heartbeats are between them."""
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "a"
        await gate.wait()
        yield "b"

    received = []
    async for event in with_heartbeats(slow(), StreamTimeouts(0)):
        received.append(event)
        if len(received) == 5:
            gate.set()
    assert [event for event in received if event] == ["a", "b"]
    assert len(received) > 5


async def test_closing_waits_for_cleanup() -> None:
    """Closing the stream waits until the answerer's cleanup has finished, even if it fails."""
    cleanups = []

    async def generate() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleanups.append(1)
            raise ValueError

    events = with_heartbeats(generate(), StreamTimeouts(60))
    assert await anext(events) == "a"
    await events.aclose()  # type: ignore[attr-defined] # a generator
    assert cleanups == [1]
