"""`--reload`: a save is served, and nothing that was accepted is lost."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from .conftest import WAIT, Gate, Start
from .reloads import answer, reloading, save, says


async def test_a_save_is_served(start: Start, tmp_path: Path) -> None:
    """A save of the code is answered from by another worker, below the same supervisor, at the same address."""
    process = await reloading(start, tmp_path)
    before = await answer(process)
    save(tmp_path / "main.py", says("new"))
    assert (await process.event("reloading"))["changed"] == ["main.py"]
    await process.event("reloaded")
    word, pid = (await answer(process)).split()
    assert word == "new"
    assert pid not in {before.split()[1], str(process.pid)}
    assert await process.stop() == 0


async def test_without_it_nothing_reloads(start: Start, tmp_path: Path) -> None:
    """Without --reload one process serves, and knows no supervisor."""
    (tmp_path / "main.py").write_text(says("old"))
    process = await start("serve", "main.py:answer")
    await process.event("ready")
    assert await answer(process) == f"old {process.pid}"


async def test_of_many_saves_the_last_is_served(start: Start, tmp_path: Path) -> None:
    """Saves that come while an earlier one is loading supersede it."""
    process = await reloading(start, tmp_path)
    for number in range(20):
        save(tmp_path / "main.py", says(f"save-{number}"))
        await asyncio.sleep(0)
    reloads = 0
    while not (await answer(process)).startswith("save-19 "):
        reloads += 1
        await process.event("reloaded", nth=reloads)


async def test_imported_folders_are_watched(start: Start, tmp_path: Path) -> None:
    """Code that is imported from elsewhere, installed packages aside, reloads as the spec's own does."""
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    (elsewhere / "helper.py").write_text("WORD = 'old'\n")
    (here / "main.py").write_text("import helper\n\ndef answer(text):\n    return helper.WORD\n")
    paths = os.pathsep.join([str(elsewhere), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = await start("serve", "here/main.py", "--reload", PYTHONPATH=paths)
    await process.event("ready")
    assert await answer(process) == "old"
    save(elsewhere / "helper.py", "WORD = 'other'\n")
    await process.event("reloaded")
    assert await answer(process) == "other"


async def test_a_book_is_served_too(start: Start) -> None:
    """A book, which watches itself, may be served with --reload."""
    process = await start("--reload")
    await process.event("ready")
    assert await answer(process, "/ask?q=hello") == "Hi"
    assert await process.stop(signal.SIGINT) == 0


async def test_nothing_is_lost(start: Start, tmp_path: Path) -> None:
    """Through ten reloads every request on new and on kept connections is answered."""
    process = await reloading(start, tmp_path)
    host, port = (await process.url()).removeprefix("http://").split(":")
    over, answered = asyncio.Event(), []

    async def ask(*, keep: bool) -> None:
        """Ask again and again; a connection is left when the server says so, and never asked on twice otherwise."""
        while not over.is_set():
            reader, writer = await asyncio.open_connection(host, int(port))
            closed = False
            while not closed and not over.is_set():
                close = "" if keep else "Connection: close\r\n"
                writer.write(f"GET /ask?q=x HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                answered.append((head.split()[1], keep))
                closed = b"connection: close" in head
            writer.close()

    async with asyncio.TaskGroup() as clients:
        for number in range(6):
            clients.create_task(ask(keep=number % 2 == 0))
        for number in range(1, 11):
            save(tmp_path / "main.py", says(f"save-{number}"))
            await process.event("reloaded", nth=number)
        over.set()
    assert set(answered) == {(b"200", True), (b"200", False)}
    assert (await answer(process)).startswith("save-10 ")


async def test_a_stream_goes_on_where_it_began(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A stream that began before the save runs to its end, while new questions get the new code."""
    streams = WAIT + "\ndef answer(text):\n    yield 'a'\n    wait('asked')\n    yield 'b'\n"
    process = await reloading(start, tmp_path, streams)
    asked = asyncio.create_task(process.get("/ask?q=x", headers={"Accept": "text/event-stream"}))
    await process.event("asked")
    save(tmp_path / "main.py", says("new"))
    await process.event("reloaded")
    assert (await answer(process)).startswith("new ")
    gate.open()
    assert 'event: answer\ndata: {"answer":"ab"}' in (await asked).text
    await process.event("replaced")
    assert await process.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_are_passed_on(start: Start, tmp_path: Path, gate: Gate, number: signal.Signals) -> None:
    """A signal to the supervisor lets the worker answer what is in flight, then both end with 0."""
    process = await reloading(start, tmp_path, WAIT + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n")
    asked = asyncio.create_task(process.get("/ask?q=x"))
    await process.event("asked")
    process.send(number)
    await process.event("draining", signal=number.name)
    gate.open()
    assert (await asked).text == '{"answer":"late"}'
    assert await process.ended() == 0


async def test_the_second_signal_ends_it_at_once(start: Start, tmp_path: Path, gate: Gate) -> None:
    """A second signal waits for nothing."""
    process = await reloading(start, tmp_path, WAIT + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n")
    asked = asyncio.create_task(process.get("/ask?q=x"))
    await process.event("asked")
    process.send(signal.SIGINT)
    await process.event("draining")
    assert await process.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    with pytest.raises(aiohttp.ClientError):
        await asked
    gate.open()


async def test_the_terminals_ctrl_c_reaches_the_worker_once(start: Start, tmp_path: Path) -> None:
    """A Ctrl-C that the terminal sends to the worker too is left to the supervisor."""
    process = await reloading(start, tmp_path)
    os.kill(int((await answer(process)).split()[1]), signal.SIGINT)
    assert (await answer(process)).startswith("old ")
    assert await process.stop(signal.SIGINT) == 0
    assert not process.events("worker ended")


async def test_without_a_supervisor_the_worker_ends(start: Start, tmp_path: Path) -> None:
    """A worker whose supervisor was killed does not hold the port: it drains and ends."""
    process = await reloading(start, tmp_path)
    assert await process.stop(signal.SIGKILL) == -signal.SIGKILL  # read until the log ends, and the worker holds it too
    assert process.events("stopped")


async def test_a_supervisor_that_dies_with_words_unread_is_missed_too(start: Start, tmp_path: Path, gate: Gate) -> None:
    """What the worker said and nobody read makes the link's end a reset, and not an end of file: the worker leaves."""
    (tmp_path / "main.py").write_text(WAIT + "wait('importing')\n\ndef answer(text):\n    return text\n")
    process = await start("serve", "main.py:answer", "--reload")
    await process.event("importing")
    process.send(signal.SIGSTOP)
    gate.open()
    await process.event("ready")
    assert (await process.get("/ask?q=x")).status == 200  # by now it has told the supervisor all that it has to tell
    assert await process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert process.events("stopped")
    assert not process.events("uncaught error in the event loop")
