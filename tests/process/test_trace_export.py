"""Traces of the process, sent to an OTLP receiver that decodes protobuf, and failing receivers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.askd_process import WAITING_CODE, AskdProcess, NamedPipeGate, StartAskd
from tests.support.otlp_receiver import OtlpReceiver, attributes, running_receiver

pytestmark = pytest.mark.slow

NO_BATCH: Final = "600000"
"""Milliseconds until a batch is sent: longer than any test."""
TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT: Final = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
CODE: Final = """
from opentelemetry import trace
def answer(text):
    with trace.get_tracer("mine").start_as_current_span("thinking"):
        return text.upper()
"""


@pytest.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    """A running receiver."""
    async with running_receiver() as otlp_receiver:
        yield otlp_receiver


def exporter_variables(url: str, *, delay: str = NO_BATCH, **variables: str) -> dict[str, str]:
    """Return the variables that send traces to a URL, without a proxy."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": delay, "NO_PROXY": "127.0.0.1", **variables}


async def start_askd(start: StartAskd, *arguments: str, **variables: str) -> AskdProcess:
    """Start a process, and wait until it is ready."""
    askd = await start(*arguments, **variables)
    await askd.wait_for_event("ready")
    return askd


async def test_spans_are_exported(start: StartAskd, receiver: OtlpReceiver, tmp_path: Path) -> None:
    """A request within a client's trace is exported as spans below the client's, including a span of the code."""
    (tmp_path / "main.py").write_text(CODE)
    askd = await start_askd(
        start, "serve", "main.py:answer", **exporter_variables(receiver.url, delay="50", OTEL_SERVICE_NAME="answers")
    )
    assert (await askd.get("/ask?q=abc", headers={"traceparent": TRACEPARENT, "X-Request-Id": "mine"})).status == 200
    spans = await receiver.wait_for_spans(4)
    (server,) = receiver.spans_named("GET /ask")
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    assert {span.name for span in spans if span.parent_span_id == server.span_id} == {"queue", "answerer", "thinking"}
    assert attributes(server.attributes)["http.response.status_code"] == 200
    assert receiver.resource["service.name"] == "answers"
    line = await askd.wait_for_event("request", request_id="mine")
    assert (line["trace_id"], line["span_id"]) == (TRACE_ID, server.span_id.hex())
    assert receiver.requests[0].path == "/v1/traces"
    assert await askd.stop() == 0


async def test_shutdown_flushes_spans(
    start: StartAskd, receiver: OtlpReceiver, tmp_path: Path, gate: NamedPipeGate
) -> None:
    """Spans in the batch at SIGTERM are sent, and those of requests that end during the shutdown."""
    (tmp_path / "main.py").write_text(WAITING_CODE + "\ndef answer(text):\n    wait('asked')\n    return text\n")
    askd = await start_askd(start, "serve", "main.py:answer", **exporter_variables(receiver.url))
    pending = asyncio.create_task(askd.get("/ask?q=abc"))
    await askd.wait_for_event("asked")
    await askd.get("/docs")
    stopping = asyncio.create_task(askd.stop())
    await askd.wait_for_event("draining")
    assert receiver.spans == []
    gate.release()
    assert (await pending).status == 200
    assert await stopping == 0
    assert {span.name for span in receiver.spans} == {"GET /docs", "GET /ask", "queue", "answerer"}
    assert not askd.events("trace_flush_timeout")


async def test_sdk_switch_and_sampler(start: StartAskd, receiver: OtlpReceiver) -> None:
    """OTEL_SDK_DISABLED disables tracing, and a parent-based sampler only samples requests of sampled traces."""
    disabled = await start_askd(start, **exporter_variables(receiver.url, OTEL_SDK_DISABLED="true"))
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    enabled = await start_askd(start, **exporter_variables(receiver.url, **sampler))
    for askd in (disabled, enabled):
        for headers in ({}, {"traceparent": TRACEPARENT}):
            assert (await askd.get("/ask?q=hello", headers=headers)).status == 200
        assert await askd.stop() == 0
    assert [span.trace_id.hex() for span in receiver.spans] == [TRACE_ID]


async def test_receiver_is_down(start: StartAskd, unused_tcp_port: int) -> None:
    """If nothing listens, requests are answered, one line is logged, and the process exits with 0 in time."""
    variables = exporter_variables(f"http://127.0.0.1:{unused_tcp_port}", delay="20", ASKD_FLUSH_TIMEOUT="300ms")
    askd = await start_askd(start, **variables)
    for _ in range(50):
        assert (await askd.get("/ask?q=hello")).status == 200
    await askd.wait_for_event("trace_export_failed")
    assert await askd.stop() == 0
    assert len(askd.events("trace_export_failed")) == 1
    assert "Traceback" not in askd.output


async def test_receiver_hangs(start: StartAskd, receiver: OtlpReceiver) -> None:
    """If the receiver never responds, requests are answered, and the shutdown respects the flush time-out."""
    receiver.hangs = True
    askd = await start_askd(start, **exporter_variables(receiver.url, delay="20", ASKD_FLUSH_TIMEOUT="300ms"))
    await askd.get("/ask?q=hello")
    await receiver.wait_for_requests()
    responses = [await askd.get("/ask?q=hello") for _ in range(100)]
    assert {response.status for response in responses} == {200}
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await askd.stop() == 0
    assert loop.time() - started < 8.0  # the exporter's time-out is 10 s
    assert askd.events("trace_flush_timeout")


async def test_receiver_rejects(start: StartAskd, receiver: OtlpReceiver) -> None:
    """If the receiver rejects spans, one line is logged, and requests are answered."""
    receiver.status = 400
    askd = await start_askd(start, **exporter_variables(receiver.url, delay="20"))
    assert (await askd.get("/ask?q=hello")).status == 200
    assert "400" in (await askd.wait_for_event("trace_export_failed"))["error"]
    assert await askd.stop() == 0
