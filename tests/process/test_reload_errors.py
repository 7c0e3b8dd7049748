"""`--reload` with broken code: the error is served as 503, and the next good save is served."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.askd_process import StartAskd
from tests.support.reload_helpers import ask_answer, code_answering, save_atomically, start_with_reload

pytestmark = pytest.mark.slow


async def test_syntax_error_is_served_as_503(start: StartAskd, tmp_path: Path) -> None:
    """Code that cannot be imported is served as 503 with its error in one line, and its traceback is logged."""
    process = await start_with_reload(start, tmp_path, code_answering("old"), "--ops-port", "0")
    save_atomically(tmp_path / "main.py", "import os\n\ndef answer(text)\n")
    await process.wait_for_event("code_load_failed")
    for path, ops in (("/ask?q=x", False), ("/readyz", True), ("/startupz", True)):
        response = await process.get(path, ops=ops)
        assert (response.status, response.headers["Content-Type"]) == (503, "application/problem+json")
        assert "main.py:3: SyntaxError: " in json.loads(response.text)["detail"]
    assert (await process.get("/livez", ops=True)).status == 200
    assert "Traceback" in (await process.wait_for_event("code_load_traceback"))["exception"]
    save_atomically(tmp_path / "main.py", code_answering("fixed"))
    await process.wait_for_event("code_reloaded")
    assert (await ask_answer(process)).startswith("fixed ")
    assert (await process.get("/readyz", ops=True)).status == 200


async def test_start_with_broken_code(start: StartAskd, tmp_path: Path) -> None:
    """Code that is broken from the start does not end the process."""
    (tmp_path / "main.py").write_text("import nosuchmodule\n")
    process = await start("serve", "main.py:answer", "--reload")
    await process.wait_for_event("code_load_failed")
    response = await process.get("/ask?q=x")
    assert (response.status, json.loads(response.text)["detail"]) == (
        503,
        "main.py:1: ModuleNotFoundError: No module named 'nosuchmodule'",
    )
    save_atomically(tmp_path / "main.py", code_answering("fixed"))
    await process.wait_for_event("ready")
    assert (await ask_answer(process)).startswith("fixed ")


async def test_missing_file_ends_the_start(start: StartAskd) -> None:
    """A file that is missing at the start ends the process with 2, because there is nothing to watch."""
    process = await start("serve", "absent.py:answer", "--reload")
    assert await process.wait_for_exit() == 2
    assert "absent.py is not in " in process.output
    assert "Traceback" not in process.output


@pytest.mark.slow
async def test_removed_file_is_served_again_when_it_is_back(start: StartAskd, tmp_path: Path) -> None:
    """A removed file is served as 503 until it is back."""
    process = await start_with_reload(start, tmp_path)
    (tmp_path / "main.py").unlink()
    await process.wait_for_event("code_load_failed")
    text = (await process.get("/ask?q=x")).text
    assert "main.py is not in " in text
    assert str(tmp_path) not in text
    save_atomically(tmp_path / "main.py", code_answering("back"))
    await process.wait_for_event("code_reloaded")
    assert (await ask_answer(process)).startswith("back ")


EXITING_CODE = "import os\n\ndef answer(text):\n    os._exit(7)\n"
EXIT_ERROR = "The worker exited with code 7. Save a file to restart it."


@pytest.mark.slow
async def test_crashed_worker_is_served_as_503(start: StartAskd, tmp_path: Path) -> None:
    """If code exits the process, its exit code is served as 503 until the next save."""
    process = await start_with_reload(start, tmp_path, EXITING_CODE)
    pending = asyncio.create_task(process.get("/ask?q=x"))  # lost, or retried by the client
    await process.wait_for_event("worker_exited", error=EXIT_ERROR)
    await asyncio.wait({pending})
    await process.wait_for_event("code_load_failed")  # until then, the worker that serves the error is being loaded
    response = await process.get("/ask?q=x")
    assert (response.status, json.loads(response.text)["detail"]) == (503, EXIT_ERROR)
    save_atomically(tmp_path / "main.py", code_answering("fixed"))
    await process.wait_for_event("code_reloaded")
    assert (await ask_answer(process)).startswith("fixed ")


@pytest.mark.slow
async def test_import_that_kills_the_process_is_served_as_503(start: StartAskd, tmp_path: Path) -> None:
    """If an import kills the new worker, the error replaces the old code."""
    process = await start_with_reload(start, tmp_path)
    save_atomically(tmp_path / "main.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert "SIGKILL" in (await process.wait_for_event("code_load_failed"))["error"]
    assert (await process.get("/ask?q=x")).status == 503


async def test_saved_dotenv_is_read(start: StartAskd, tmp_path: Path) -> None:
    """`.env` in the working directory is read by the next worker when it is created and when it is saved."""
    code = "import os\n\ndef answer(text):\n    return os.environ.get('CITY', 'nowhere')\n"
    process = await start_with_reload(start, tmp_path, code)
    assert await ask_answer(process) == "nowhere"
    for number, city in enumerate(("Ulm", "Bonn"), start=1):
        save_atomically(tmp_path / ".env", f"CITY={city}\n")
        await process.wait_for_event("code_reloaded", nth=number)
        assert await ask_answer(process) == city
    save_atomically(tmp_path / ".env", "CITY='sesame\n")
    error = (await process.wait_for_event("code_load_failed"))["error"]
    assert error == ".env:1: invalid variable: expected NAME=value, with closed quotes"


@pytest.mark.slow
async def test_env_file_is_reloaded(start: StartAskd, tmp_path: Path) -> None:
    """A changed --env-file affects settings and code, an invalid line is served as 503; addresses do not change."""
    (tmp_path / "main.py").write_text("import os\n\ndef answer(text):\n    return os.environ['CITY']\n")
    save_atomically(tmp_path / "vars", "ASKD_ANSWERER=main.py:answer\nCITY=Ulm\n")
    process = await start("--reload", "--env-file", "vars")
    await process.wait_for_event("ready")
    assert await ask_answer(process) == "Ulm"
    save_atomically(tmp_path / "vars", "ASKD_ANSWERER=main.py:answer\nASKD_HOST=::1\nCITY=Bonn\n")
    await process.wait_for_event("code_reloaded")
    assert await ask_answer(process) == "Bonn"
    assert process.events("restart_required")
    save_atomically(tmp_path / "vars", "ASKD_THREADS=0\n")
    assert (await process.wait_for_event("code_load_failed"))["error"].startswith("ASKD_THREADS='0': expected ")
    assert (await process.get("/ask?q=x")).status == 503
