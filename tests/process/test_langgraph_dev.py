"""askd in front of `langgraph dev`, which serves the example of the documentation."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.askd_process import TIMEOUT, AskdProcess, Response, StartAskd

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
EXAMPLE_FOLDER: Final = ROOT / "docs" / "examples" / "remote"
STREAM: Final = {"Accept": "text/event-stream"}
OFFLINE_ENVIRONMENT: Final = {"LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
"""Disables telemetry, so that the server works without a network."""


def find_langgraph_command() -> str | None:
    """Return the command `langgraph`: that in LANGGRAPH, that of `make test`, or an installed one. None if missing."""
    candidates = (
        os.environ.get("LANGGRAPH"),
        ROOT / ".venv-langgraph/bin/langgraph",
        Path(sys.executable).parent / "langgraph",
    )
    return next((path for candidate in candidates if candidate and (path := shutil.which(candidate))), None)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the server on a free port, once for all tests. The URL is available before the server is."""
    if (langgraph := find_langgraph_command()) is None:
        pytest.skip("langgraph-cli[inmem] is not installed: run `make test`, or set LANGGRAPH to its command")
    folder = shutil.copytree(EXAMPLE_FOLDER, tmp_path_factory.mktemp("server") / "remote")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = str(bound.getsockname()[1])
    arguments = ("dev", "--no-browser", "--no-reload", "--port", port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [langgraph, *arguments],
            cwd=folder,
            env={**os.environ, **OFFLINE_ENVIRONMENT},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TIMEOUT)
        process.kill()
        process.wait()


@pytest.fixture
async def askd(server: str, start: StartAskd) -> AskdProcess:
    """Start askd, and wait until it has found the server."""
    process = await start("serve", server)
    await process.wait_for_event("ready")  # of askd; it may find the server before or after that
    await process.wait_for_event("upstream_ready")
    return process


def body(response: Response) -> dict[str, object]:
    """Parse the JSON of a response."""
    document: dict[str, object] = json.loads(response.text)
    return document


async def test_wait(askd: AskdProcess, server: str) -> None:
    """A question is answered by the server's only assistant, and clients cannot see its address."""
    response = await askd.get("/ask?q=hello+there", headers={"X-Request-Id": "abc"})
    assert (response.status, body(response)) == (200, {"answer": "1: hello there"})
    assert (await askd.wait_for_event("upstream_ready"))["name"] == "agent"
    assert (await askd.wait_for_event("request", request_id="abc"))["answerer_ms"] > 0
    assert server not in (await askd.get("/readyz?verbose")).text
    assert await askd.stop() == 0


async def test_stream(askd: AskdProcess) -> None:
    """The model's tokens are sent as deltas, then the whole answer."""
    response = await askd.get("/ask?q=one+two", headers=STREAM)
    words = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    assert words == ["1:", " ", "one", " ", "two", {"answer": "1: one two"}]


async def test_thread(askd: AskdProcess) -> None:
    """A thread remembers its earlier questions, with and without streaming; other threads do not."""
    assert body(await askd.get("/ask?q=hello&thread=a"))["answer"] == "1: hello"
    assert body(await askd.get("/ask?q=again&thread=a"))["answer"] == "2: again"
    assert '{"answer":"3: once more"}' in (await askd.get("/ask?q=once+more&thread=a", headers=STREAM)).text
    assert body(await askd.get("/ask?q=hello&thread=b"))["answer"] == "1: hello"


async def test_error(askd: AskdProcess) -> None:
    """A failing graph, which the server reports with 200, becomes 502; its error is only logged."""
    for headers in ({}, STREAM):
        response = await askd.get("/ask?q=fail", headers=headers)
        assert (response.status, body(response)["title"]) == (502, "Upstream failed")
        assert "only in the server's log" not in response.text
    assert (await askd.wait_for_event("upstream_request_failed", nth=2))["error"] == "ValueError"


async def test_interrupt(askd: AskdProcess) -> None:
    """An interrupt is 409 with its question; the next question in the thread resumes the graph."""
    for headers in ({}, STREAM):
        thread = f"order{len(headers)}"
        response = await askd.get(f"/ask?q=order&thread={thread}", headers=headers)
        assert (response.status, body(response)["interrupt"]) == (409, "How many?")
        assert "two ordered" in (await askd.get(f"/ask?q=two&thread={thread}", headers=headers)).text
    assert (await askd.get("/ask?q=order")).status == 409


async def test_no_such_assistant(askd: AskdProcess, server: str, start: StartAskd) -> None:
    """An unknown assistant ends the start with 2, and the error names the assistants that exist."""
    process = await start("serve", f"{server}#other")
    failure = await process.wait_for_event("answerer_load_failed")
    assert f"has no assistant 'other' (it has agent): choose one, such as {server}#agent" in failure["error"]
    assert await process.wait_for_exit() == 2
