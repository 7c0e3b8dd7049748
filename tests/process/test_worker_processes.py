"""Code in worker processes behind a running server: signals, reload, traces and several functions."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.test_trace_export import CODE as TRACING_CODE
from tests.process.test_trace_export import TRACE_ID, TRACEPARENT, exporter_variables
from tests.support.askd_process import WAITING_CODE, AskdProcess, NamedPipeGate, StartAskd
from tests.support.otlp_receiver import running_receiver
from tests.support.reload_helpers import code_answering, save_atomically
from tests.support.worker_process_fixtures import eventually

CODE = (
    WAITING_CODE
    + """
import os

def startup():
    logging.getLogger("code").warning("started", extra={"pid": os.getpid()})

def shutdown():
    logging.getLogger("code").warning("closed")

def answer(text):
    if text == "wait":
        wait("asked")
    return str(os.getpid())
"""
)


async def start_workers(start: StartAskd, folder: Path, **variables: str) -> tuple[AskdProcess, list[int]]:
    """Start a server with two worker processes. Returns it and their process ids."""
    (folder / "main.py").write_text(CODE)
    process = await start("serve", "main.py:answer", "--processes", "2", **variables)
    await process.wait_for_event("ready")
    return process, [event["pid"] for event in process.events("started")]


def is_running(pid: int) -> bool:
    """Return whether a process exists."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_requests_in_flight_are_finished(start: StartAskd, tmp_path: Path, gate: NamedPipeGate) -> None:
    """At SIGTERM, a call in a worker process is answered, then each worker runs its shutdown hook and ends."""
    process, pids = await start_workers(start, tmp_path)
    pending = asyncio.create_task(process.get("/ask?q=wait"))
    await process.wait_for_event("asked")
    process.send_signal(signal.SIGTERM)
    await process.wait_for_event("draining")
    gate.release()
    assert (await pending).status == 200
    assert await process.wait_for_exit() == 0
    assert len(process.events("closed")) == 2
    assert not any(map(is_running, pids))


@pytest.mark.slow
async def test_workers_end_with_a_killed_server(start: StartAskd, tmp_path: Path) -> None:
    """After SIGKILL of the server, its worker processes end, also one whose code never returns."""
    process, pids = await start_workers(start, tmp_path)
    pending = asyncio.create_task(process.get("/ask?q=wait"))
    await process.wait_for_event("asked")
    process.send_signal(signal.SIGKILL)
    await eventually(lambda: not any(map(is_running, pids)))
    with contextlib.suppress(OSError):
        await pending


@pytest.mark.slow
async def test_workers_ignore_signals_for_the_server(start: StartAskd, tmp_path: Path) -> None:
    """A signal to a worker alone, as a service manager sends it to all processes, does not end it."""
    process, pids = await start_workers(start, tmp_path)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    answers = {(await process.get("/ask?q=pid")).text for _ in range(4)}
    assert answers == {f'{{"answer":"{pid}"}}' for pid in pids}
    assert not process.events("worker_replaced")
    assert await process.stop() == 0


@pytest.mark.slow
async def test_saved_code_is_served(start: StartAskd, tmp_path: Path) -> None:
    """With --reload, saved code is loaded by new worker processes, also of a module in another folder."""
    library = tmp_path / "library"
    library.mkdir()
    project = tmp_path / "project"
    project.mkdir()
    save_atomically(library / "words.py", "WORD = 'old'\n")
    code = f"import sys\nsys.path.insert(0, {str(library)!r})\nfrom words import WORD\ndef answer(q): return WORD\n"
    (project / "main.py").write_text(code)
    process = await start("serve", "project/main.py:answer", "--reload", ASKD_PROCESSES="2")
    await process.wait_for_event("ready")
    assert (await process.get("/ask?q=x")).text == '{"answer":"old"}'
    save_atomically(library / "words.py", "WORD = 'new'\n")
    await process.wait_for_event("code_reloaded")
    assert (await process.get("/ask?q=x")).text == '{"answer":"new"}'
    save_atomically(project / "main.py", code_answering("own"))
    await process.wait_for_event("code_reloaded", nth=2)
    assert (await process.get("/ask?q=x")).text.startswith('{"answer":"own')
    assert await process.stop() == 0


@pytest.mark.slow
async def test_spans_of_the_code_are_below_the_request(start: StartAskd, tmp_path: Path) -> None:
    """A span of the code in a worker process is in the trace of the request, below its span."""
    (tmp_path / "main.py").write_text(TRACING_CODE)
    async with running_receiver() as receiver:
        variables = exporter_variables(receiver.url, delay="50")
        process = await start("serve", "main.py:answer", ASKD_PROCESSES="1", **variables)
        await process.wait_for_event("ready")
        assert (await process.get("/ask?q=abc", headers={"traceparent": TRACEPARENT})).status == 200
        spans = await receiver.wait_for_spans(4)
        (server,) = receiver.spans_named("GET /ask")
        (thinking,) = receiver.spans_named("thinking")
        assert thinking.parent_span_id == server.span_id
        assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
        assert await process.stop() == 0


@pytest.mark.slow
async def test_functions_of_a_module_have_workers_of_their_own(start: StartAskd, tmp_path: Path) -> None:
    """`main.py:*` is listed by another process, and each function runs in its own worker."""
    (tmp_path / "main.py").write_text(
        "import os\nprint('imported by', os.getpid(), flush=True)\n"
        "def first(q): return os.getpid()\ndef second(q): return os.getpid()\n"
    )
    process = await start("serve", "main.py:*", ASKD_PROCESSES="1")
    await process.wait_for_event("ready")
    pids = {(await process.get(f"/ask/{name}?q=x")).text for name in ("first", "second")}
    assert len(pids) == 2
    assert f"imported by {process.pid}" not in process.output
    assert await process.stop() == 0


@pytest.mark.slow
async def test_code_that_cannot_be_loaded_ends_the_start(start: StartAskd, tmp_path: Path) -> None:
    """The start fails with the usual message and exit code if the code cannot be imported."""
    (tmp_path / "main.py").write_text("import missing_module_x\ndef answer(q): ...\n")
    process = await start("serve", "main.py:answer", ASKD_PROCESSES="2")
    assert await process.wait_for_exit() == 2
    (event,) = process.events("answerer_load_failed")
    assert "ModuleNotFoundError: No module named 'missing_module_x'" in event["error"]


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["main.py:answer", "main.py:*"])
def test_output_of_the_code_is_not_in_the_document(tmp_path: Path, spec: str) -> None:
    """`askd openapi` prints only the document, although the code in worker processes prints as well."""
    (tmp_path / "main.py").write_text("print('noise', flush=True)\ndef answer(q: str): ...\ndef other(q: str): ...\n")
    command = [sys.executable, "-m", "askd", "openapi", spec, "--processes", "1"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["openapi"] == "3.1.0"
    assert "noise" in result.stderr
