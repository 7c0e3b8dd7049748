"""Shutdown: gracefully at the first signal, at once at the second."""

import asyncio
import json
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.support.askd_process import WAITING_CODE, AskdProcess, NamedPipeGate, StartAskd

SHORT_TIMEOUTS = dict.fromkeys(("ASKD_DEADLINE", "ASKD_DRAIN_TIMEOUT", "ASKD_SHUTDOWN_TIMEOUT"), "100ms")
ENDLESS_STREAM = """
import asyncio, logging

async def answer(text):
    logging.getLogger("code").warning("asked")
    while True:
        yield "a"
        await asyncio.sleep(0.005)
"""
WAITING_ANSWERER = WAITING_CODE + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"


async def start_with_request_in_flight(
    start: StartAskd, folder: Path
) -> tuple[AskdProcess, asyncio.Task[tuple[int, str]]]:
    """Start a process, and send a question that waits for the gate. Returns when the code has the question."""
    (folder / "main.py").write_text(WAITING_ANSWERER)
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.wait_for_event("ready")

    async def ask() -> tuple[int, str]:
        response = await process.get("/ask?q=x")
        return response.status, response.text

    pending = asyncio.create_task(ask())
    await process.wait_for_event("asked")
    return process, pending


SHUTDOWN_STEPS = [
    (1, "fail_readiness", 0),
    (2, "drain_delay", 10),
    (3, "stop_listening", 0),
    (4, "finish_requests", 20_000),
    (5, "close_answerer", 3_000),
    (6, "flush_telemetry", 1_000),
]


async def test_steps_are_logged_with_their_time_limits(start: StartAskd) -> None:
    """Each step of the shutdown is logged in order, with its time limit and its duration."""
    limits = {"DRAIN_DELAY": "10ms", "DRAIN_TIMEOUT": "20s", "SHUTDOWN_TIMEOUT": "3s", "FLUSH_TIMEOUT": "1s"}
    process = await start(**{f"ASKD_{name}": limit for name, limit in limits.items()})
    await process.wait_for_event("ready")
    assert await process.stop() == 0
    steps = process.events("shutdown_step")
    assert [(step["step"], step["name"], step["bound_ms"]) for step in steps] == SHUTDOWN_STEPS
    assert all(step["duration_ms"] >= 0 for step in steps)
    assert steps[1]["duration_ms"] >= 10
    assert json.loads(process.output.splitlines()[-1])["event"] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_requests_in_flight_are_finished(
    start: StartAskd, tmp_path: Path, gate: NamedPipeGate, number: signal.Signals
) -> None:
    """After a signal, requests in flight are answered, then the process exits with 0."""
    process, pending = await start_with_request_in_flight(start, tmp_path)
    process.send_signal(number)
    await process.wait_for_event("draining")
    gate.release()
    assert await pending == (200, '{"answer":"late"}')
    assert await process.wait_for_exit() == 0
    assert process.events("stopped")


async def test_probes_while_draining(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """While the process drains, readiness is 503 and liveness is 200 on the ops port."""
    process, pending = await start_with_request_in_flight(start, tmp_path)
    process.send_signal(signal.SIGTERM)
    await process.wait_for_event("draining")
    assert (await process.get("/readyz", ops=True)).status == 503
    assert (await process.get("/livez", ops=True)).status == 200
    gate.release()
    assert (await pending)[0] == 200
    assert await process.wait_for_exit() == 0


@pytest.mark.slow
async def test_second_signal_exits_at_once(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """A second signal ends the process without waiting, with an exit code that names the signal."""
    process, pending = await start_with_request_in_flight(start, tmp_path)
    process.send_signal(signal.SIGINT)
    await process.wait_for_event("draining")
    assert await process.stop(signal.SIGINT) == 128 + signal.SIGINT
    with pytest.raises(aiohttp.ClientError):
        await pending


async def test_stream_in_flight_is_finished(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """A stream that began before the signal gets its remaining deltas and the whole answer."""
    (tmp_path / "main.py").write_text(
        WAITING_CODE + "\ndef answer(text):\n    yield 'a'\n    wait('asked')\n    yield 'b'\n"
    )
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    pending = asyncio.create_task(process.get("/ask?q=x", headers={"Accept": "text/event-stream"}))
    await process.wait_for_event("asked")
    process.send_signal(signal.SIGTERM)
    await process.wait_for_event("draining")
    gate.release()
    response = await pending
    assert response.status == 200
    assert 'event: answer\ndata: {"answer":"ab"}' in response.text
    assert await process.wait_for_exit() == 0


@pytest.mark.slow
async def test_idle_connection_does_not_delay_the_shutdown(start: StartAskd) -> None:
    """The shutdown does not wait for idle keep-alive connections."""
    process = await start(ASKD_DRAIN_TIMEOUT="1h")
    await process.wait_for_event("ready")
    async with aiohttp.ClientSession() as client:
        async with client.get(await process.url() + "/ask?q=hello") as response:
            await response.read()
        assert await process.stop() == 0


@pytest.mark.slow
async def test_hanging_code_does_not_delay_the_exit(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """A request that exceeds the drain time-out is interrupted, and the process exits although a thread hangs."""
    (tmp_path / "main.py").write_text(WAITING_ANSWERER)
    process = await start("serve", "main.py:answer", **SHORT_TIMEOUTS)
    await process.wait_for_event("ready")
    pending = asyncio.create_task(process.get("/ask?q=x"))
    await process.wait_for_event("asked")
    assert await process.stop() == 0
    assert (await pending).status in {503, 504}


async def test_stream_is_interrupted_at_the_drain_timeout(start: StartAskd, tmp_path: Path) -> None:
    """At the drain time-out, a stream gets an event `error` with a 503, and the number of requests is logged."""
    (tmp_path / "main.py").write_text(ENDLESS_STREAM)
    process = await start("serve", "main.py:answer", **SHORT_TIMEOUTS)
    await process.wait_for_event("ready")
    pending = asyncio.create_task(process.get("/ask?q=x", headers={"Accept": "text/event-stream"}))
    await process.wait_for_event("asked")
    assert await process.stop() == 0
    response = await pending
    assert (response.status, response.text.count("event: error"), '"status":503' in response.text) == (200, 1, True)
    assert process.events("drain_timeout", requests=1)
    assert process.events("request", {"http.response.status_code": 503})


@pytest.mark.slow
async def test_thread_of_the_code_does_not_delay_the_exit(
    start: StartAskd, tmp_path: Path, gate: NamedPipeGate
) -> None:
    """A thread that the code has started and that never ends is named in the log and does not delay the exit."""
    start_thread = "threading.Thread(target=wait, args=['asked'], name='mine', daemon=False).start()"
    code = f"\nimport threading\n\ndef answer(text):\n    {start_thread}\n    return 'x'\n"
    (tmp_path / "main.py").write_text(WAITING_CODE + code)
    process = await start("serve", "main.py:answer", ASKD_FLUSH_TIMEOUT="100ms")
    await process.wait_for_event("ready")
    assert (await process.get("/ask?q=x")).status == 200
    await process.wait_for_event("asked")
    assert await process.stop() == 0
    assert process.events("threads_still_running", threads=["mine"])


async def test_requests_are_served_during_the_drain_delay(start: StartAskd) -> None:
    """During the drain delay, new requests are answered with `Connection: close`."""
    process = await start("--drain-delay", "10m", "--ops-port", "0")
    await process.wait_for_event("ready")
    process.send_signal(signal.SIGTERM)
    await process.wait_for_event("draining")
    response = await process.get("/ask?q=hello")
    assert (response.status, response.headers["Connection"]) == (200, "close")
    assert await process.stop(signal.SIGTERM) == 128 + signal.SIGTERM


@pytest.mark.slow
async def test_port_can_be_reused_after_the_exit(start: StartAskd) -> None:
    """After the exit, another server can use the same port at once."""
    first = await start()
    await first.wait_for_event("ready")
    await first.get("/ask?q=hello")
    port = (await first.url()).rpartition(":")[2]
    assert await first.stop() == 0
    second = await start("--port", port)
    await second.wait_for_event("ready")
    assert (await second.get("/ask?q=hello")).status == 200
