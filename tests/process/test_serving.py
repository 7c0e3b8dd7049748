"""The running process: questions, the prefix of the paths, and names of the user's modules."""

import json
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


async def test_function_is_served(start: StartAskd, tmp_path: Path) -> None:
    """A file with a function is served without an import of askd."""
    (tmp_path / "main.py").write_text("def answer(text):\n    return text.upper()\n")
    process = await start("serve", "main.py:answer")
    await process.wait_for_event("ready")
    assert json.loads((await process.get("/ask?q=hello")).text) == {"answer": "HELLO"}


@pytest.mark.slow
async def test_prefix(start: StartAskd) -> None:
    """All paths except the ops endpoints are below the prefix."""
    process = await start("--prefix", "/answers")
    await process.wait_for_event("ready")
    for path, status in (("/answers/ask?q=hello", 200), ("/ask?q=hello", 404), ("/livez", 200)):
        assert (await process.get(path)).status == status


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
