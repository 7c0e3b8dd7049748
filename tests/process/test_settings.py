"""Settings of the running process: flags, variables, an env file, the log level and log sampling."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.support.askd_process import StartAskd


async def test_settings_are_logged(start: StartAskd) -> None:
    """The settings are logged at the start, with flags and variables applied."""
    process = await start("--threads", "3", ASKD_STALL_TIMEOUT="1m")
    settings = await process.wait_for_event("settings")
    assert (settings["threads"], settings["stall_timeout"], settings["drain_delay"]) == (3, 60.0, 0.0)


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
