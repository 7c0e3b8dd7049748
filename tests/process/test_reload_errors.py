"""`--reload` while something is wrong: it is shown, and the next good save serves."""

import asyncio
import json
from pathlib import Path

from .conftest import Start
from .reloads import answer, reloading, save, says


async def test_a_broken_save_is_shown(start: Start, tmp_path: Path) -> None:
    """Code that cannot be imported is 503 with one line, its traceback is in the log; the next good save serves."""
    process = await reloading(start, tmp_path, says("old"), "--ops-port", "0")
    save(tmp_path / "main.py", "import os\n\ndef answer(text)\n")
    await process.event("broken")
    for path, ops in (("/ask?q=x", False), ("/readyz", True), ("/startupz", True)):
        reply = await process.get(path, ops=ops)
        assert (reply.status, reply.headers["Content-Type"]) == (503, "application/problem+json")
        assert "main.py:3: SyntaxError: " in json.loads(reply.text)["detail"]
    assert (await process.get("/livez", ops=True)).status == 200
    assert "Traceback" in (await process.event("traceback"))["exception"]
    save(tmp_path / "main.py", says("mended"))
    await process.event("reloaded")
    assert (await answer(process)).startswith("mended ")
    assert (await process.get("/readyz", ops=True)).status == 200


async def test_it_may_start_broken(start: Start, tmp_path: Path) -> None:
    """Code that is broken from the start does not end the process either."""
    (tmp_path / "main.py").write_text("import nosuchmodule\n")
    process = await start("serve", "main.py:answer", "--reload")
    await process.event("broken")
    reply = await process.get("/ask?q=x")
    assert (reply.status, json.loads(reply.text)["detail"]) == (
        503,
        "main.py:1: ModuleNotFoundError: No module named 'nosuchmodule'",
    )
    save(tmp_path / "main.py", says("mended"))
    await process.event("ready")
    assert (await answer(process)).startswith("mended ")


async def test_a_spec_that_leads_nowhere_ends_it(start: Start) -> None:
    """A slip on the command line ends the start as ever, for there is nothing to watch."""
    process = await start("serve", "absent.py:answer", "--reload")
    assert await process.ended() == 2
    assert "there is no absent.py" in process.output
    assert "Traceback" not in process.output


async def test_a_file_that_is_gone_and_comes_back(start: Start, tmp_path: Path) -> None:
    """A removed file is shown as such; it is served again once it is back."""
    process = await reloading(start, tmp_path)
    (tmp_path / "main.py").unlink()
    await process.event("broken")
    assert "there is no main.py" in (await process.get("/ask?q=x")).text
    save(tmp_path / "main.py", says("back"))
    await process.event("reloaded")
    assert (await answer(process)).startswith("back ")


DIES = "import os\n\ndef answer(text):\n    os._exit(7)\n"
ENDED = "The worker ended itself with exit code 7. The next save starts another."


async def test_a_worker_that_dies_is_shown(start: Start, tmp_path: Path) -> None:
    """Code that ends the process costs its worker: what ended it is shown until the next save."""
    process = await reloading(start, tmp_path, DIES)
    dying = asyncio.create_task(process.get("/ask?q=x"))  # lost, or asked again by the client
    await process.event("worker ended", fault=ENDED)
    await asyncio.wait({dying})
    await process.event("broken")  # until then the one that stands in is still being loaded
    reply = await process.get("/ask?q=x")
    assert (reply.status, json.loads(reply.text)["detail"]) == (503, ENDED)
    save(tmp_path / "main.py", says("mended"))
    await process.event("reloaded")
    assert (await answer(process)).startswith("mended ")


async def test_an_import_that_ends_the_process_is_shown(start: Start, tmp_path: Path) -> None:
    """A save whose import ends the worker is shown in place of what served until then."""
    process = await reloading(start, tmp_path)
    save(tmp_path / "main.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert "SIGKILL" in (await process.event("broken"))["fault"]
    assert (await process.get("/ask?q=x")).status == 503


async def test_variables_reload_it_too(start: Start, tmp_path: Path) -> None:
    """A change of --env-file reaches settings and code; a faulty line is shown; addresses stay as they are."""
    (tmp_path / "main.py").write_text("import os\n\ndef answer(text):\n    return os.environ['CITY']\n")
    save(tmp_path / "vars", "ASKD_ANSWERER=main.py:answer\nCITY=Ulm\n")
    process = await start("--reload", "--env-file", "vars")
    await process.event("ready")
    assert await answer(process) == "Ulm"
    save(tmp_path / "vars", "ASKD_ANSWERER=main.py:answer\nASKD_HOST=::1\nCITY=Bonn\n")
    await process.event("reloaded")
    assert await answer(process) == "Bonn"
    assert process.events("changed addresses need a restart")
    save(tmp_path / "vars", "ASKD_THREADS=0\n")
    assert (await process.event("broken"))["fault"].startswith("ASKD_THREADS='0': give ")
    assert (await process.get("/ask?q=x")).status == 503
