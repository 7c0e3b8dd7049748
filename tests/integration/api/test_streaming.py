"""Streams: answers as server-sent events, while they are made."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest

from service.app import METRICS, OBSERVER
from service.errors import NoAnswer, Refused
from service.models import Answer, Answerer, Question
from service.web.stream import Pace, Streams, with_pauses
from tests.fakes import Scripted, Upper, until
from tests.web.conftest import Client, Log, Serve

ACCEPT = {"Accept": "text/event-stream"}


async def events(client: Client, query: str, **headers: str) -> list[tuple[str, object]]:
    """Ask for a stream and read it to its end: names and data."""
    response = await client.get(f"/ask?q={query}", headers={**ACCEPT, **headers})
    assert (response.status, response.content_type) == (200, "text/event-stream")
    return parsed(await response.text())


def parsed(text: str) -> list[tuple[str, object]]:
    """Read server-sent events, each of one `event` and one `data` line."""
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        assert (name.startswith("event: "), data.startswith("data: ")) == (True, True)
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def test_deltas_come_before_the_answer(serve: Serve) -> None:
    """A stream is `delta` events, whose texts joined are the answer's, then `answer` with the whole."""
    found = await events(await serve(Upper(streams=True)), "one+two+three")
    assert [name for name, _ in found] == ["delta", "delta", "delta", "answer"]
    assert "".join(str(data) for _, data in found[:-1]) == "one two three "
    assert found[-1][1] == {"answer": "one two three "}


async def test_each_delta_is_sent_at_once(serve: Serve) -> None:
    """A delta reaches the client while the code still works on the next."""
    fake = Upper(streams=True)
    response = await (await serve(fake)).get("/ask?q=one+wait", headers=ACCEPT)
    assert await response.content.readuntil(b"\n\n") == b'event: delta\ndata: "one "\n\n'
    assert not fake.release.is_set()
    fake.release.set()
    assert (await response.text()).endswith('data: {"answer":"one wait "}\n\n')


async def test_an_answerer_that_does_not_stream_has_one_delta(serve: Serve) -> None:
    """Code without pieces, and an answer at hand, are one delta and the answer."""
    client = await serve()
    assert await events(client, "field") == [("delta", "FIELD"), ("answer", {"answer": "FIELD", "more": 1})]
    assert await events(client, "hello") == [("delta", "Hi"), ("answer", {"answer": "Hi"})]


async def test_a_kept_answer_streams_without_the_code(serve: Serve) -> None:
    """A deterministic answer that was streamed or given before is not made again."""
    fake = Upper()
    client = await serve(fake)
    assert await (await client.get("/ask?q=abc")).json() == {"answer": "ABC"}
    assert await events(client, "abc") == [("delta", "ABC"), ("answer", {"answer": "ABC"})]
    assert await events(client, "def") == await events(client, "def")
    assert [question.text for question in fake.asked] == ["abc", "def"]


async def test_line_breaks_stay_within_the_data(serve: Serve) -> None:
    """No line break, of any kind, that the code gives reaches the event's own lines."""
    text = "a\nb\r\nc\rd\n\nevent: answer\ndata: 1\u2028"
    found = await events(await serve(Scripted(text, Answer(text))), "x")
    assert found == [("delta", text), ("answer", {"answer": text})]


async def test_headers_keep_proxies_from_buffering(serve: Serve) -> None:
    """A stream is stored nowhere, and no proxy is to hold it back."""
    response = await (await serve()).get("/ask?q=abc", headers=ACCEPT)
    wanted = {"X-Accel-Buffering": "no", "Cache-Control": "no-store", "Vary": "Accept"}
    assert wanted.items() <= dict(response.headers).items()
    assert (len(response.headers["X-Request-Id"]), "total;dur=" in response.headers["Server-Timing"]) == (32, True)


BEFORE = {
    "no answer": (NoAnswer(["hello"]), 404, "no-answer"),
    "failed": (ValueError("a secret"), 500, "answerer-failed"),
    "refused": (Refused(402, "Pay first."), 402, "refused"),
    "cannot be sent": ("\ud800", 500, "answerer-failed"),
    "cannot be rendered": (Answer("a", {"x": object()}), 500, "answerer-failed"),
}


@pytest.mark.parametrize(("event", "status", "code"), BEFORE.values(), ids=BEFORE)
async def test_a_failure_before_the_first_event_has_its_status(
    serve: Serve, event: str | Answer | Exception, status: int, code: str
) -> None:
    """As long as nothing is sent, a failure is an ordinary one."""
    response = await (await serve(Scripted(event))).get("/ask?q=x", headers=ACCEPT)
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["type"], "secret" in str(problem)) == (status, f"/docs#{code}", False)


async def test_a_stream_of_nothing_is_a_failure(serve: Serve) -> None:
    """Code that ends its stream without a word has failed: 500, not an empty success."""
    assert (await (await serve(Scripted())).get("/ask?q=x", headers=ACCEPT)).status == 500


AFTER = {
    "no answer": (NoAnswer(), 404, "no-answer"),
    "failed": (ValueError("a secret"), 500, "answerer-failed"),
    "ended early": ("more", 500, "answerer-failed"),
    "cannot be rendered": (Answer("a", {"x": object()}), 500, "answerer-failed"),
}


@pytest.mark.parametrize(("event", "status", "code"), AFTER.values(), ids=AFTER)
async def test_a_failure_after_the_first_event_is_an_event(
    serve: Serve, log: Log, event: str | Answer | Exception, status: int, code: str
) -> None:
    """Once the status is out, a failure is an `error` event with the problem; log and metrics have its true status."""
    client = await serve(Scripted("one", event))
    found = await events(client, "x", **{"X-Request-Id": "mine"})
    assert (found[0], found[-1][0]) == (("delta", "one"), "error")
    problem = found[-1][1]
    assert isinstance(problem, dict)
    assert (problem["status"], problem["type"], problem["request_id"]) == (status, f"/docs#{code}", "mine")
    assert "secret" not in str(problem)
    assert [line["status"] for line in log.lines("exchange")] == [status]
    assert len([line for line in log.lines() if "exception" in line]) == (status == 500)
    labels = {"route": "/ask", "method": "GET", "code": str(status)}
    assert client.app[METRICS].registry.get_sample_value("askd_requests_total", labels) == 1


async def test_a_silent_stream_is_kept_alive(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the code is silent, comments come, before the first event too; the answer follows."""
    monkeypatch.setattr(Streams.__init__, "__kwdefaults__", {"heartbeat": 0.001})
    fake = Upper(streams=True)
    response = await (await serve(fake)).get("/ask?q=wait", headers=ACCEPT)
    for _ in range(3):
        assert await response.content.readuntil(b"\n\n") == b": still here\n\n"
    fake.release.set()
    rest = (await response.text()).replace(": still here\n\n", "")
    assert parsed(rest) == [("delta", "wait "), ("answer", {"answer": "wait "})]


@pytest.mark.parametrize("query", ["wait", "one+wait"])
async def test_a_client_that_leaves_stops_the_stream(
    serve: Serve, log: Log, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """The code is cancelled when its client goes; nothing stays in flight."""
    monkeypatch.setattr(Streams.__init__, "__kwdefaults__", {"heartbeat": 0.001})
    fake = Upper(streams=True)
    client = await serve(fake)
    response = await client.get(f"/ask?q={query}", headers=ACCEPT)
    await asyncio.wait_for(fake.waiting.wait(), 5)
    response.close()
    await asyncio.wait_for(fake.stopped.wait(), 5)
    await until(lambda: log.lines("exchange"))
    assert (log.lines()[-1]["status"], client.app[OBSERVER].in_flight) == (499, 0)


class Spanning(Answerer):
    """Holds a time-out, a task group and a context variable open over its yields, as clients of model APIs do."""

    streams = True
    kind = name = "spanning"
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def answer(self, question: Question) -> Answer:
        """Is not asked."""
        raise NotImplementedError

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield from within all three."""
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


async def test_what_spans_a_yield_holds(serve: Serve) -> None:
    """Time-outs, task groups and context variables work across the yields of a streaming generator."""
    client = await serve(Spanning())
    assert await events(client, "x") == [("delta", "set"), ("delta", "!"), ("answer", {"answer": "set!"})]
    assert [name for name, _ in await events(client, "late")] == ["delta", "error"]


async def test_the_code_is_one_event_ahead_at_most() -> None:
    """What the client has not been sent holds the code up: a slow client does not fill the memory."""
    made: list[int] = []

    async def numbers() -> AsyncIterator[str]:
        for number in range(100):
            made.append(number)
            yield str(number)

    found = with_pauses(numbers(), Pace(60))
    assert [await anext(found), await anext(found)] == ["0", "1"]
    for _ in range(10):
        await asyncio.sleep(0)
    assert made == [0, 1]
    await found.aclose()  # type: ignore[attr-defined] # a generator


async def test_pauses_do_not_lose_events() -> None:
    """However often nothing came in time, every event comes once, in order, and the end is the end."""
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "a"
        await gate.wait()
        yield "b"

    found = []
    async for event in with_pauses(slow(), Pace(0)):
        found.append(event)
        if len(found) == 5:
            gate.set()
    assert [event for event in found if event] == ["a", "b"]
    assert len(found) > 5


async def test_closing_waits_for_the_code_to_end() -> None:
    """Closing returns when the code's own clean-up is over, also one that fails."""
    ended = []

    async def code() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(1)
            raise ValueError

    found = with_pauses(code(), Pace(60))
    assert await anext(found) == "a"
    await found.aclose()  # type: ignore[attr-defined] # a generator
    assert ended == [1]
