"""What hangs says where: by a signal, by the ops port, by itself; and what failed has the client's id."""

import asyncio
import signal
from pathlib import Path

import aiohttp

from .conftest import Gate, Start

STUCK = """
import ctypes, os

WITH_THE_LOCK = ctypes.PyDLL(None)  # calls without giving the interpreter's lock up, as many extensions do

async def answer(q):
    if q == "block":
        with open("gate", "rb", buffering=0) as gate:
            gate.read(1)
    if q == "hold":
        pipe = os.open("gate", os.O_RDONLY)
        WITH_THE_LOCK.read(pipe, ctypes.create_string_buffer(1), 1)
        os.close(pipe)
    if q == "boom":
        raise ValueError("why")
    return q
"""


async def test_a_signal_logs_the_stacks(start: Start, tmp_path: Path) -> None:
    """SIGUSR1 logs all threads and tasks, and the server goes on."""
    process = await start("serve")
    await process.event("ready")
    process.send(signal.SIGUSR1)
    await process.event("stacks", reason="SIGUSR1")
    await process.event("stack of a thread", thread="MainThread")
    await process.event("stack of a task")
    assert (await process.get("/ask?q=hello")).status == 200


async def test_a_stall_logs_its_place_by_itself(start: Start, tmp_path: Path, gate: Gate) -> None:
    """Code that blocks the loop is found in the log, once, though nobody asks, while the process lives on."""
    (tmp_path / "main.py").write_text(STUCK)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_STALL_DUMP="500ms")
    await process.event("ready")
    asked = asyncio.create_task(process.get("/ask?q=block"))
    main = await process.event("stack of a thread", thread="MainThread")
    assert "gate.read(1)" in main["stack"]
    assert (await process.get("/livez", ops=True)).status == 200
    gate.open()
    assert (await asked).status == 200
    assert len(process.events("stacks")) == 1


async def test_each_stall_is_logged_and_a_signal_is_heeded_in_it(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A stall is told once however long it lasts, the next one again; SIGUSR1 logs the stacks while it lasts."""
    (tmp_path / "main.py").write_text(STUCK)
    process = await start("serve", "main.py:answer", ASKD_STALL_DUMP="1s")
    await process.event("ready")
    for number in (1, 2):
        asked = asyncio.create_task(process.get("/ask?q=block"))
        await process.event("stack of a thread", nth=2 * number - 1, thread="MainThread")
        process.send(signal.SIGUSR1)
        await process.event("stacks", nth=number, reason="SIGUSR1")
        main = await process.event("stack of a thread", nth=2 * number, thread="MainThread")
        assert "gate.read(1)" in main["stack"]
        gate.open()
        assert (await asked).status == 200
        assert (await process.get("/ask?q=on")).status == 200
    reasons = [event["reason"].partition(" for ")[0] for event in process.events("stacks")]
    assert reasons == ["the main loop has not moved", "SIGUSR1"] * 2


async def test_code_that_holds_the_lock_is_found_too(start: Start, tmp_path: Path, gate: Gate) -> None:
    """No thread of Python's runs then: the stacks come as plain text, one line of the log says so, and that is all."""
    (tmp_path / "main.py").write_text(STUCK)
    process = await start("serve", "main.py:answer", "--ops-port", "0", ASKD_STALL_DUMP="1s")
    await process.event("ready")
    asked = asyncio.create_task(process.get("/ask?q=hold"))
    place = STUCK.partition("WITH_THE_LOCK.read")[0].count("\n") + 1
    await process.line(f'  File "{tmp_path}/main.py", line {place} in answer')
    assert not process.events("stacks")
    gate.open()
    assert (await asked).status == 200
    told = await process.event("stacks as plain text")
    assert told["reason"].startswith("the interpreter's lock was held for ")
    assert (await process.get("/livez", ops=True)).status == 200
    process.send(signal.SIGUSR1)
    await process.event("stacks", reason="SIGUSR1")
    assert (len(process.events("stacks")), process.output.count("Timeout (")) == (1, 1)


async def test_the_ops_port_logs_stacks_where_it_may(start: Start) -> None:
    """With --debug a POST logs them and says how many; neither a GET, nor the other port, nor without --debug."""
    on = await start("serve", "--ops-port", "0", ASKD_DEBUG="on")
    off = await start("serve", "--ops-port", "0")
    await on.event("ready")
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{await on.url(ops=True)}/debug/stacks") as reply:
            assert reply.status == 200
            assert (await reply.json())["threads"] >= 2
        for url in (await on.url(), await off.url(ops=True)):
            async with client.post(f"{url}/debug/stacks") as reply:
                assert reply.status == 404
        async with client.get(f"{await on.url(ops=True)}/debug/stacks") as reply:
            assert reply.status == 405
    await on.event("stacks", reason="POST /debug/stacks")


async def test_an_uncaught_error_has_the_clients_id(start: Start, tmp_path: Path) -> None:
    """The log's traceback stands under the id that the client was given."""
    (tmp_path / "main.py").write_text(STUCK)
    process = await start("serve", "main.py:answer")
    await process.event("ready")
    reply = await process.get("/ask?q=boom")
    failed = await process.event("the answerer failed", id=reply.headers["X-Request-Id"])
    assert "ValueError: why" in failed["exception"]
