"""How the process ends: gracefully at the first signal, at once at the second."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from .conftest import WAIT, Gate, Process, Start

BRIEF = dict.fromkeys(("ASKD_DEADLINE", "ASKD_DRAIN_TIMEOUT", "ASKD_SHUTDOWN_TIMEOUT"), "100ms")
ENDLESS = """
import asyncio, logging

async def answer(text):
    logging.getLogger("code").warning("asked")
    while True:
        yield "a"
        await asyncio.sleep(0.005)
"""
SLOW = WAIT + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"


async def with_a_question_in_flight(start: Start, folder: Path) -> tuple[Process, asyncio.Task[tuple[int, str]]]:
    """Start a process, ask it something that waits for the gate, and return when the code has it."""
    (folder / "main.py").write_text(SLOW)
    process = await start("serve", "main.py:answer", "--ops-port", "0")
    await process.event("ready")

    async def ask() -> tuple[int, str]:
        reply = await process.get("/ask?q=x")
        return reply.status, reply.text

    asked = asyncio.create_task(ask())
    await process.event("asked")
    return process, asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_in_flight_is_answered(start: Start, tmp_path: Path, gate: Gate, number: signal.Signals) -> None:
    """After a signal the question in flight still gets its answer, then the process ends with 0."""
    process, asked = await with_a_question_in_flight(start, tmp_path)
    process.send(number)
    await process.event("draining")
    gate.open()
    assert await asked == (200, '{"answer":"late"}')
    assert await process.ended() == 0
    assert process.events("stopped")


async def test_draining_is_not_ready_and_alive(start: Start, tmp_path: Path, gate: Gate) -> None:
    """While it drains, readiness is 503 and liveness 200, on the ops port, until the last answer is out."""
    process, asked = await with_a_question_in_flight(start, tmp_path)
    process.send(signal.SIGTERM)
    await process.event("draining")
    assert (await process.get("/readyz", ops=True)).status == 503
    assert (await process.get("/livez", ops=True)).status == 200
    gate.open()
    assert (await asked)[0] == 200
    assert await process.ended() == 0


async def test_the_second_signal_ends_it_at_once(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A second Ctrl-C waits for nothing: the question in flight is lost, and the exit code says so."""
    process, asked = await with_a_question_in_flight(start, tmp_path)
    process.send(signal.SIGINT)
    await process.event("draining")
    assert await process.stop(signal.SIGINT) == 128 + signal.SIGINT
    with pytest.raises(aiohttp.ClientError):
        await asked


async def test_a_stream_in_flight_runs_to_its_end(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A stream that began before the signal still gets its last delta and the whole answer."""
    (tmp_path / "main.py").write_text(WAIT + "\ndef answer(text):\n    yield 'a'\n    wait('asked')\n    yield 'b'\n")
    process = await start("serve", "main.py:answer")
    await process.event("ready")
    asked = asyncio.create_task(process.get("/ask?q=x", headers={"Accept": "text/event-stream"}))
    await process.event("asked")
    process.send(signal.SIGTERM)
    await process.event("draining")
    gate.open()
    reply = await asked
    assert reply.status == 200
    assert 'event: answer\ndata: {"answer":"ab"}' in reply.text
    assert await process.ended() == 0


async def test_an_idle_connection_does_not_hold_up_the_drain(start: Start) -> None:
    """A client that keeps its connection and asks nothing is not waited for, however long the drain may take."""
    process = await start(ASKD_DRAIN_TIMEOUT="1h")
    await process.event("ready")
    async with aiohttp.ClientSession() as client:
        async with client.get(await process.url() + "/ask?q=hello") as reply:
            await reply.read()
        assert await process.stop() == 0


async def test_code_that_never_returns_does_not_keep_it(start: Start, tmp_path: Path, gate: Gate) -> None:
    """What outlasts the drain time-out gets no more time: the process ends, although a thread still hangs."""
    (tmp_path / "main.py").write_text(SLOW)
    process = await start("serve", "main.py:answer", **BRIEF)
    await process.event("ready")
    asked = asyncio.create_task(process.get("/ask?q=x"))
    await process.event("asked")
    assert await process.stop() == 0
    assert (await asked).status in {503, 504}


async def test_a_stream_that_outlasts_the_drain_is_told_so(start: Start, tmp_path: Path) -> None:
    """At the drain time-out a stream gets an event `error` with a 503, and the log says how many there were."""
    (tmp_path / "main.py").write_text(ENDLESS)
    process = await start("serve", "main.py:answer", **BRIEF)
    await process.event("ready")
    asked = asyncio.create_task(process.get("/ask?q=x", headers={"Accept": "text/event-stream"}))
    await process.event("asked")
    assert await process.stop() == 0
    reply = await asked
    assert (reply.status, reply.text.count("event: error"), '"status":503' in reply.text) == (200, 1, True)
    assert process.events("ended at the drain time-out", exchanges=1)
    assert process.events("exchange", status=503)


async def test_a_thread_of_the_code_does_not_keep_it(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A thread that the code started itself, and that never ends, is named in the log and does not hold the exit up."""
    start_one = "threading.Thread(target=wait, args=['asked'], name='mine', daemon=False).start()"
    code = f"\nimport threading\n\ndef answer(text):\n    {start_one}\n    return 'x'\n"
    (tmp_path / "main.py").write_text(WAIT + code)
    process = await start("serve", "main.py:answer", ASKD_FLUSH_TIMEOUT="100ms")
    await process.event("ready")
    assert (await process.get("/ask?q=x")).status == 200
    await process.event("asked")
    assert await process.stop() == 0
    assert process.events("threads still run", names=["mine"])


async def test_during_the_drain_delay_it_keeps_answering(start: Start) -> None:
    """Within the drain delay new questions are answered, on connections that close after them."""
    process = await start("--drain-delay", "10m", "--ops-port", "0")
    await process.event("ready")
    process.send(signal.SIGTERM)
    await process.event("draining")
    reply = await process.get("/ask?q=hello")
    assert (reply.status, reply.headers["Connection"]) == (200, "close")
    assert await process.stop(signal.SIGTERM) == 128 + signal.SIGTERM


async def test_after_the_end_the_port_is_free(start: Start) -> None:
    """A server that has ended leaves nothing behind: the next one takes the same port at once."""
    first = await start()
    await first.event("ready")
    await first.get("/ask?q=hello")
    port = (await first.url()).rpartition(":")[2]
    assert await first.stop() == 0
    second = await start("--port", port)
    await second.event("ready")
    assert (await second.get("/ask?q=hello")).status == 200
