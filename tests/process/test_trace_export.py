"""A trace of the real process, sent to a receiver that reads the real protobuf; and a receiver that is no good."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.otlp import Receiver, attributes, receiving

from .conftest import WAIT, Gate, Process, Start

LATER: Final = "600000"
"""Milliseconds until a batch is sent, where the test is to end before."""
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED: Final = f"00-{TRACE}-00f067aa0ba902b7-01"
CODE: Final = """
from opentelemetry import trace
def answer(text):
    with trace.get_tracer("mine").start_as_current_span("thinking"):
        return text.upper()
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a receiver."""
    async with receiving() as made:
        yield made


def to(url: str, *, delay: str = LATER, **more: str) -> dict[str, str]:
    """Return the variables that send traces there; a proxy of this machine's is not asked."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": delay, "NO_PROXY": "127.0.0.1", **more}


async def ready(start: Start, *arguments: str, **variables: str) -> Process:
    """Start a process, and wait until it answers."""
    askd = await start(*arguments, **variables)
    await askd.event("ready")
    return askd


async def test_spans_arrive(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    """A question in a client's trace arrives as spans below the client's, the code's own among them."""
    (tmp_path / "main.py").write_text(CODE)
    askd = await ready(start, "serve", "main.py:answer", **to(receiver.url, delay="50", OTEL_SERVICE_NAME="answers"))
    assert (await askd.get("/ask?q=abc", headers={"traceparent": SAMPLED, "X-Request-Id": "mine"})).status == 200
    spans = await receiver.until(4)
    (server,) = receiver.named("GET /ask")
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {span.name for span in spans if span.parent_span_id == server.span_id} == {"queue", "code", "thinking"}
    assert attributes(server.attributes)["http.response.status_code"] == 200
    assert receiver.resource["service.name"] == "answers"
    line = await askd.event("exchange", id="mine")
    assert (line["trace_id"], line["span_id"]) == (TRACE, server.span_id.hex())
    assert receiver.requests[0].path == "/v1/traces"
    assert await askd.stop() == 0


async def test_the_drain_sends_the_last(start: Start, receiver: Receiver, tmp_path: Path, gate: Gate) -> None:
    """Spans that wait for their batch at SIGTERM are sent, those of exchanges that end in the drain as well."""
    (tmp_path / "main.py").write_text(WAIT + "\ndef answer(text):\n    wait('asked')\n    return text\n")
    askd = await ready(start, "serve", "main.py:answer", **to(receiver.url))
    asking = asyncio.create_task(askd.get("/ask?q=abc"))
    await askd.event("asked")
    await askd.get("/docs")
    ending = asyncio.create_task(askd.stop())
    await askd.event("draining")
    assert receiver.spans == []
    gate.open()
    assert (await asking).status == 200
    assert await ending == 0
    assert {span.name for span in receiver.spans} == {"GET /docs", "GET /ask", "queue", "code"}
    assert not askd.events("traces were left unsent")


async def test_the_switch_and_the_sampler(start: Start, receiver: Receiver) -> None:
    """The SDK's own switch turns it off, and its sampler takes only what a parent has taken."""
    off = await ready(start, **to(receiver.url, OTEL_SDK_DISABLED="true"))
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    on = await ready(start, **to(receiver.url, **sampled))
    for askd in (off, on):
        for headers in ({}, {"traceparent": SAMPLED}):
            assert (await askd.get("/ask?q=hello", headers=headers)).status == 200
        assert await askd.stop() == 0
    assert [span.trace_id.hex() for span in receiver.spans] == [TRACE]


async def test_a_receiver_that_is_down(start: Start, unused_tcp_port: int) -> None:
    """Nobody listens: answers come, the log has one line, and the process ends in its time with 0."""
    variables = to(f"http://127.0.0.1:{unused_tcp_port}", delay="20", ASKD_FLUSH_TIMEOUT="300ms")
    askd = await ready(start, **variables)
    for _ in range(50):
        assert (await askd.get("/ask?q=hello")).status == 200
    await askd.event("traces are not sent")
    assert await askd.stop() == 0
    assert len(askd.events("traces are not sent")) == 1
    assert "Traceback" not in askd.output


async def test_a_receiver_that_hangs(start: Start, receiver: Receiver) -> None:
    """It takes and never answers: exchanges notice nothing, and the end does not wait beyond the flush time-out."""
    receiver.hangs = True
    askd = await ready(start, **to(receiver.url, delay="20", ASKD_FLUSH_TIMEOUT="300ms"))
    await askd.get("/ask?q=hello")
    await receiver.asked()
    replies = [await askd.get("/ask?q=hello") for _ in range(100)]
    assert {reply.status for reply in replies} == {200}
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await askd.stop() == 0
    assert loop.time() - began < 8.0  # the exporter's own patience is 10 s
    assert askd.events("traces were left unsent")


async def test_a_receiver_that_refuses(start: Start, receiver: Receiver) -> None:
    """A status that says no is one line, and answers come all the same."""
    receiver.status = 400
    askd = await ready(start, **to(receiver.url, delay="20"))
    assert (await askd.get("/ask?q=hello")).status == 200
    assert "400" in (await askd.event("traces are not sent"))["cause"]
    assert await askd.stop() == 0
