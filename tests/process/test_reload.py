"""`--reload`: saved code is served, and no request is lost."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.support.askd_process import WAITING_CODE, NamedPipeGate, StartAskd
from tests.support.reload_helpers import ask_answer, code_answering, save_atomically, start_with_reload


async def test_saved_code_is_served(start: StartAskd, tmp_path: Path) -> None:
    """Saved code is served by a new worker of the same supervisor, at the same address."""
    process = await start_with_reload(start, tmp_path)
    before = await ask_answer(process)
    save_atomically(tmp_path / "main.py", code_answering("new"))
    assert (await process.wait_for_event("code_reloading"))["paths"] == ["main.py"]
    await process.wait_for_event("code_reloaded")
    word, pid = (await ask_answer(process)).split()
    assert word == "new"
    assert pid not in {before.split()[1], str(process.pid)}
    assert await process.stop() == 0


async def test_code_of_equal_size_saved_in_the_same_second(
    start: StartAskd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would take the bytecode of the code before for that of such code; it is served all the same."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    process = await start_with_reload(start, tmp_path)
    saved_at = (tmp_path / "main.py").stat().st_mtime_ns
    (tmp_path / "new").write_text(code_answering("new"))
    os.utime(tmp_path / "new", ns=(saved_at, saved_at))
    (tmp_path / "new").replace(tmp_path / "main.py")
    await process.wait_for_event("code_reloaded")
    assert (await ask_answer(process)).startswith("new ")


async def test_request_during_a_reload_waits_for_the_new_code(
    start: StartAskd, tmp_path: Path, gate: NamedPipeGate
) -> None:
    """A request that arrives while the new code is loading is answered by the new code."""
    process = await start_with_reload(start, tmp_path)
    waiting_code = WAITING_CODE + "\nwait('importing')\n"
    save_atomically(tmp_path / "main.py", waiting_code + code_answering("new"))
    await process.wait_for_event("importing")
    pending = asyncio.create_task(ask_answer(process))
    gate.release()
    assert (await pending).startswith("new ")


@pytest.mark.slow
async def test_without_reload_there_is_no_supervisor(start: StartAskd, tmp_path: Path) -> None:
    """Without --reload, the process itself serves."""
    (tmp_path / "main.py").write_text(code_answering("old"))
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    assert await ask_answer(process) == f"old {process.pid}"


@pytest.mark.slow
async def test_last_of_many_saves_is_served(start: StartAskd, tmp_path: Path) -> None:
    """Saves supersede an earlier save that is still loading."""
    process = await start_with_reload(start, tmp_path)
    for number in range(20):
        save_atomically(tmp_path / "main.py", code_answering(f"save-{number}"))
        await asyncio.sleep(0)
    reloads = 0
    while not (await ask_answer(process)).startswith("save-19 "):
        reloads += 1
        await process.wait_for_event("code_reloaded", nth=reloads)


@pytest.mark.slow
async def test_imported_folders_are_watched(start: StartAskd, tmp_path: Path) -> None:
    """A save of imported code in another folder reloads as well, except in installed packages."""
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    (elsewhere / "helper.py").write_text("WORD = 'old'\n")
    (here / "main.py").write_text("import helper\n\ndef answer(text):\n    return helper.WORD\n")
    paths = os.pathsep.join([str(elsewhere), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = await start("serve", "here/main.py", "--reload", PYTHONPATH=paths, ASKD_LOG_LEVEL="debug")
    await process.wait_for_event("folders_watched")
    assert await ask_answer(process) == "old"
    save_atomically(elsewhere / "helper.py", "WORD = 'other'\n")
    await process.wait_for_event("code_reloaded")
    assert await ask_answer(process) == "other"


@pytest.mark.slow
async def test_book_is_served(start: StartAskd) -> None:
    """A book, which watches its files itself, can be served with --reload."""
    process = await start("--reload")
    await process.wait_for_event("ready")
    assert await ask_answer(process, "/ask?q=hello") == "Hi"
    assert await process.stop(signal.SIGINT) == 0


@pytest.mark.slow
async def test_no_request_is_lost(start: StartAskd, tmp_path: Path) -> None:
    """During ten reloads, every request is answered, on new and on kept-alive connections."""
    process = await start_with_reload(start, tmp_path)
    host, port = (await process.url()).removeprefix("http://").split(":")
    finished, statuses = asyncio.Event(), []

    async def send_requests(*, keep_alive: bool) -> None:
        """Send requests until finished. A connection is left only if the server closes it."""
        while not finished.is_set():
            reader, writer = await asyncio.open_connection(host, int(port))
            closed = False
            while not closed and not finished.is_set():
                close = "" if keep_alive else "Connection: close\r\n"
                writer.write(f"GET /ask?q=x HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                statuses.append((head.split()[1], keep_alive))
                closed = b"connection: close" in head
            writer.close()

    async with asyncio.TaskGroup() as clients:
        for number in range(6):
            clients.create_task(send_requests(keep_alive=number % 2 == 0))
        for number in range(1, 11):
            save_atomically(tmp_path / "main.py", code_answering(f"save-{number}"))
            await process.wait_for_event("code_reloaded", nth=number)
        finished.set()
    assert set(statuses) == {(b"200", True), (b"200", False)}
    assert (await ask_answer(process)).startswith("save-10 ")


@pytest.mark.slow
async def test_stream_is_finished_by_the_old_worker(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """A stream that began before the save is completed, while new questions are answered by the new code."""
    streams = WAITING_CODE + "\ndef answer(text):\n    yield 'a'\n    wait('asked')\n    yield 'b'\n"
    process = await start_with_reload(start, tmp_path, streams)
    pending = asyncio.create_task(process.get("/ask?q=x", headers={"Accept": "text/event-stream"}))
    await process.wait_for_event("asked")
    save_atomically(tmp_path / "main.py", code_answering("new"))
    await process.wait_for_event("code_reloaded")
    assert (await ask_answer(process)).startswith("new ")
    gate.release()
    assert 'event: answer\ndata: {"answer":"ab"}' in (await pending).text
    await process.wait_for_event("worker_stopped")
    assert await process.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
async def test_signals_are_passed_on(
    start: StartAskd, tmp_path: Path, gate: NamedPipeGate, number: signal.Signals
) -> None:
    """After a signal to the supervisor, the worker finishes requests in flight, then both exit with 0."""
    process = await start_with_reload(
        start, tmp_path, WAITING_CODE + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"
    )
    pending = asyncio.create_task(process.get("/ask?q=x"))
    await process.wait_for_event("asked")
    process.send_signal(number)
    await process.wait_for_event("draining", signal=number.name)
    gate.release()
    assert (await pending).text == '{"answer":"late"}'
    assert await process.wait_for_exit() == 0


@pytest.mark.slow
async def test_second_signal_kills_the_worker(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """A second signal ends the process at once."""
    process = await start_with_reload(
        start, tmp_path, WAITING_CODE + "\ndef answer(text):\n    wait('asked')\n    return 'late'\n"
    )
    pending = asyncio.create_task(process.get("/ask?q=x"))
    await process.wait_for_event("asked")
    process.send_signal(signal.SIGINT)
    await process.wait_for_event("draining")
    assert await process.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    with pytest.raises(aiohttp.ClientError):
        await pending
    gate.release()


@pytest.mark.slow
async def test_worker_ignores_sigint(start: StartAskd, tmp_path: Path) -> None:
    """The worker ignores SIGINT, which a terminal sends to both processes, because the supervisor handles it."""
    process = await start_with_reload(start, tmp_path)
    os.kill(int((await ask_answer(process)).split()[1]), signal.SIGINT)
    assert (await ask_answer(process)).startswith("old ")
    assert await process.stop(signal.SIGINT) == 0
    assert not process.events("worker_exited")


@pytest.mark.slow
async def test_worker_exits_with_its_supervisor(start: StartAskd, tmp_path: Path) -> None:
    """If the supervisor is killed, the worker shuts down and releases the port."""
    process = await start_with_reload(start, tmp_path)
    assert await process.stop(signal.SIGKILL) == -signal.SIGKILL  # until the worker closes the log as well
    assert process.events("worker_stopped")


@pytest.mark.slow
async def test_worker_exits_if_its_report_was_not_read(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """If the supervisor is killed before it has read the worker's report, the worker shuts down."""
    (tmp_path / "main.py").write_text(WAITING_CODE + "wait('importing')\n\ndef answer(text):\n    return text\n")
    process = await start("serve", "main.py:answer", "--reload")
    await process.wait_for_event("importing")
    process.send_signal(signal.SIGSTOP)
    gate.release()
    await process.wait_for_event("ready")
    assert (await process.get("/ask?q=x")).status == 200  # by now, the worker has sent its report
    assert await process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert process.events("worker_stopped")
    assert not process.events("uncaught_event_loop_exception")
