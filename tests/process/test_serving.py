"""The running process: questions, settings, log level, prefix and names of the user's modules."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.support.askd_process import StartAskd


async def test_built_in_book_is_served(start: StartAskd) -> None:
    """The built-in book answers hello, the log names the answerer, and SIGTERM ends the process with 0."""
    process = await start()
    ready = await process.wait_for_event("ready")
    assert ready["answerer"]
    assert ready["duration_ms"] >= 0
    response = await process.get("/ask?q=hello")
    assert (response.status, response.text) == (200, '{"answer":"Hi"}')
    request = await process.wait_for_event("request", {"http.route": "/ask"})
    assert (request["http.request.method"], request["http.response.status_code"]) == ("GET", 200)
    assert request["request_id"] == response.headers["X-Request-Id"]
    assert await process.stop() == 0
    assert process.events("stopped")
    assert all(line.startswith("{") for line in process.output.splitlines())


async def test_settings_are_logged(start: StartAskd) -> None:
    """The settings are logged at the start, with flags and variables applied."""
    process = await start("--threads", "3", ASKD_STALL_TIMEOUT="1m")
    settings = await process.wait_for_event("settings")
    assert (settings["threads"], settings["stall_timeout"], settings["drain_delay"]) == (3, 60.0, 0.0)


async def test_function_is_served(start: StartAskd, tmp_path: Path) -> None:
    """A file with a function is served without an import of askd."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text.upper()\n")
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    assert json.loads((await process.get("/ask?q=hello")).text) == {"answer": "HELLO"}


async def test_env_file_is_read(start: StartAskd, tmp_path: Path) -> None:
    """Variables of an env file become settings and are visible to the code; unknown settings are reported."""
    (tmp_path / "main.py").write_text("import os\n\ndef answer(text):\n    return os.environ['CITY']\n")
    (tmp_path / "vars").write_text("ASKD_ANSWERER=main.py:answer\nASKD_PROT=1\nCITY='Bad Tölz'\n")
    process = await start("--env-file", "vars")
    await process.wait_for_event("ready")
    assert json.loads((await process.get("/ask?q=x")).text) == {"answer": "Bad Tölz"}
    assert "ASKD_PROT" in process.output
    assert "ASKD_PORT" in process.output


@pytest.mark.slow
async def test_sigusr2_toggles_debug(start: StartAskd, tmp_path: Path) -> None:
    """SIGUSR2 enables debug messages, and disables them again."""
    (tmp_path / "main.py").write_text(
        "import logging\n\ndef answer(text):\n    logging.getLogger('code').debug(text)\n    return text\n"
    )
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    await process.get("/ask?q=before")
    process.send_signal(signal.SIGUSR2)
    await process.wait_for_event("log_level_changed")
    await process.get("/ask?q=between")
    process.send_signal(signal.SIGUSR2)
    await process.wait_for_event("log_level_changed", nth=2)
    await process.get("/ask?q=after")
    await process.stop()
    assert process.events("between", level="debug")
    assert not process.events("before")
    assert not process.events("after")


@pytest.mark.slow
async def test_prefix(start: StartAskd) -> None:
    """All paths except the ops endpoints are below the prefix."""
    process = await start("--prefix", "/answers")
    await process.wait_for_event("ready")
    for path, status in (("/answers/ask?q=hello", 200), ("/ask?q=hello", 404), ("/livez", 200)):
        assert (await process.get(path)).status == status


async def test_log_sampling(start: StartAskd) -> None:
    """With a sample ratio of 0, only responses other than 200 are logged, and metrics count all."""
    process = await start("--log-sample", "0")
    await process.wait_for_event("ready")
    for path in ("/ask?q=hello", "/ask?q=hello", "/docs", "/nowhere"):
        await process.get(path)
    await process.wait_for_event("request", {"http.response.status_code": 404})
    metrics = (await process.get("/metrics")).text
    assert re.search(
        r'^http_server_request_duration_seconds_count\{.*http_route="/ask".*\} 2\.0$', metrics, re.MULTILINE
    )
    assert await process.stop() == 0
    assert [event["http.response.status_code"] for event in process.events("request")] == [404]
    assert process.events("settings", log_sample=0.0)


@pytest.mark.parametrize("spec", ["service.py:answer", "service/main.py:answer", "service.main:answer"])
@pytest.mark.slow
async def test_module_named_service(start: StartAskd, tmp_path: Path, spec: str) -> None:
    """A module or package called service is served as the user's own code."""
    file = tmp_path / ("service.py" if spec.startswith("service.py") else "service/main.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text("def answer(text):\n    return text.upper()\n")
    process = await start("serve", spec)
    assert (await process.wait_for_event("ready"))["answerer"] == spec
    assert (await process.get("/ask?q=hello")).text == '{"answer":"HELLO"}'
