"""Stack dumps of a blocked process: on SIGUSR1, on request and by the watchdog; request ids in tracebacks."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.support.askd_process import NamedPipeGate, StartAskd

pytestmark = pytest.mark.slow

BLOCKING_CODE = """
import ctypes, os

HOLDS_GIL = ctypes.PyDLL(None)  # calls functions without releasing the GIL, as many extensions do

async def answer(q):
    if q == "block":
        with open("gate", "rb", buffering=0) as gate:
            gate.read(1)
    if q == "hold":
        pipe = os.open("gate", os.O_RDONLY)
        HOLDS_GIL.read(pipe, ctypes.create_string_buffer(1), 1)
        os.close(pipe)
    if q == "boom":
        raise ValueError("why")
    return q
"""


async def test_signal_dumps_the_stacks(start: StartAskd, tmp_path: Path) -> None:
    """SIGUSR1 logs the stacks of all threads and tasks, and the server continues."""
    process = await start("serve")
    await process.wait_for_event("ready")
    process.send_signal(signal.SIGUSR1)
    await process.wait_for_event("stack_dump", reason="SIGUSR1")
    await process.wait_for_event("thread_stack", thread="MainThread")
    await process.wait_for_event("task_stack")
    assert (await process.get("/ask?q=hello")).status == 200


async def test_stall_is_reported_by_the_watchdog(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """The stack of code that blocks the event loop is logged once, without a signal."""
    (tmp_path / "main.py").write_text(BLOCKING_CODE)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_STALL_DUMP_AFTER="500ms")
    await process.wait_for_event("ready")
    pending = asyncio.create_task(process.get("/ask?q=block"))
    main_thread = await process.wait_for_event("thread_stack", thread="MainThread")
    assert "gate.read(1)" in main_thread["stack"]
    assert (await process.get("/livez", ops=True)).status == 200
    gate.release()
    assert (await pending).status == 200
    assert len(process.events("stack_dump")) == 1


@pytest.mark.slow
async def test_signal_during_a_stall_dumps_the_stacks(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """Each stall is reported once, however long it lasts; SIGUSR1 dumps the stacks during the stall."""
    (tmp_path / "main.py").write_text(BLOCKING_CODE)
    process = await start("serve", "main.py:answer", ASKD_STALL_DUMP_AFTER="1s")
    await process.wait_for_event("ready")
    for number in (1, 2):
        pending = asyncio.create_task(process.get("/ask?q=block"))
        await process.wait_for_event("thread_stack", nth=2 * number - 1, thread="MainThread")
        process.send_signal(signal.SIGUSR1)
        await process.wait_for_event("stack_dump", nth=number, reason="SIGUSR1")
        main_thread = await process.wait_for_event("thread_stack", nth=2 * number, thread="MainThread")
        assert "gate.read(1)" in main_thread["stack"]
        gate.release()
        assert (await pending).status == 200
        assert (await process.get("/ask?q=on")).status == 200
    reasons = [event["reason"].partition(" for ")[0] for event in process.events("stack_dump")]
    assert reasons == ["the main loop has been stalled", "SIGUSR1"] * 2


@pytest.mark.slow
async def test_code_that_holds_the_gil_is_found(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """While no Python thread can run, the stacks are written once, as plain text, and a log line reports that later."""
    (tmp_path / "main.py").write_text(BLOCKING_CODE)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_STALL_DUMP_AFTER="1s")
    await process.wait_for_event("ready")
    pending = asyncio.create_task(process.get("/ask?q=hold"))
    line = BLOCKING_CODE.partition("HOLDS_GIL.read")[0].count("\n") + 1
    await process.wait_for_line(f'  File "{tmp_path}/main.py", line {line} in answer')
    assert not process.events("stack_dump")
    gate.release()
    assert (await pending).status == 200
    report = await process.wait_for_event("stack_dump_as_plain_text")
    assert report["reason"].startswith("the GIL was held for ")
    assert (await process.get("/livez", ops=True)).status == 200
    process.send_signal(signal.SIGUSR1)
    await process.wait_for_event("stack_dump", reason="SIGUSR1")
    assert (len(process.events("stack_dump")), process.output.count("Timeout (")) == (1, 1)


async def test_debug_endpoint_dumps_the_stacks(start: StartAskd) -> None:
    """With --debug, a POST to the ops port dumps the stacks and counts them; GET and the main port do not."""
    enabled = await start("serve", "--ops-port", "0", ASKD_DEBUG="on")
    disabled = await start("serve", "--ops-port", "0")
    await enabled.wait_for_event("ready")
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{await enabled.url(ops=True)}/debug/stacks") as response:
            assert response.status == 200
            assert (await response.json())["threads"] >= 2
        for url in (await enabled.url(), await disabled.url(ops=True)):
            async with client.post(f"{url}/debug/stacks") as response:
                assert response.status == 404
        async with client.get(f"{await enabled.url(ops=True)}/debug/stacks") as response:
            assert response.status == 405
    await enabled.wait_for_event("stack_dump", reason="POST /debug/stacks")


async def test_traceback_has_the_request_id(start: StartAskd, tmp_path: Path) -> None:
    """The traceback of an uncaught exception is logged with the request id that the client got."""
    (tmp_path / "main.py").write_text(BLOCKING_CODE)
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    response = await process.get("/ask?q=boom")
    failure = await process.wait_for_event("answerer_failed", request_id=response.headers["X-Request-Id"])
    assert "ValueError: why" in failure["exception"]
