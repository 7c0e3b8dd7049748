"""Askd before the real thing: `langgraph dev` serves the example of the documentation, both are processes."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from .conftest import BOUND, Process, Reply, Start

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "docs" / "examples" / "remote"
STREAM: Final = {"Accept": "text/event-stream"}
AWAY: Final = {"LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
"""No word to anybody: the server works without a network."""


def command() -> str | None:
    """`langgraph`, where its server is installed too: the one that LANGGRAPH names, or that of `make test`."""
    places = (
        os.environ.get("LANGGRAPH"),
        ROOT / ".venv-langgraph/bin/langgraph",
        Path(sys.executable).parent / "langgraph",
    )
    found = (path for place in places if place and (path := shutil.which(place)))
    return next(found, None)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the server on a free port, once for all tests, and give its URL at once: askd waits for it."""
    if (langgraph := command()) is None:
        pytest.skip("langgraph-cli[inmem] is not installed: `make test` does it, or LANGGRAPH names its command")
    folder = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("server") / "remote")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = ("dev", "--no-browser", "--no-reload", "--port", port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [langgraph, *arguments], cwd=folder, env={**os.environ, **AWAY}, stdout=log, stderr=subprocess.STDOUT
        )
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(BOUND)
        process.kill()
        process.wait()


@pytest.fixture
async def askd(server: str, start: Start) -> Process:
    """Give an askd that has found the server; where that is still starting, it goes on looking."""
    process = await start("serve", server)
    await process.event("ready")  # of the process; the server may be found before that or after
    await process.event("upstream")
    return process


def body(reply: Reply) -> dict[str, object]:
    """The reply's JSON."""
    found: dict[str, object] = json.loads(reply.text)
    return found


async def test_wait(askd: Process, server: str) -> None:
    """A question is answered, the only assistant is found by itself, and no client learns where it is."""
    reply = await askd.get("/ask?q=hello+there", headers={"X-Request-Id": "abc"})
    assert (reply.status, body(reply)) == (200, {"answer": "1: hello there"})
    assert (await askd.event("upstream"))["name"] == "agent"
    assert (await askd.event("exchange", id="abc"))["code_ms"] > 0
    assert server not in (await askd.get("/readyz?verbose")).text
    assert await askd.stop() == 0


async def test_stream(askd: Process) -> None:
    """The model's words come as deltas, the whole at the end."""
    reply = await askd.get("/ask?q=one+two", headers=STREAM)
    words = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: ")]
    assert words == ["1:", " ", "one", " ", "two", {"answer": "1: one two"}]


async def test_thread(askd: Process) -> None:
    """A thread remembers what was asked in it before, another thread does not; streams belong to it too."""
    assert body(await askd.get("/ask?q=hello&thread=a"))["answer"] == "1: hello"
    assert body(await askd.get("/ask?q=again&thread=a"))["answer"] == "2: again"
    assert '{"answer":"3: once more"}' in (await askd.get("/ask?q=once+more&thread=a", headers=STREAM)).text
    assert body(await askd.get("/ask?q=hello&thread=b"))["answer"] == "1: hello"


async def test_error(askd: Process) -> None:
    """A graph that fails, HTTP 200 there, is 502 here; the cause is in the log and nowhere else."""
    for headers in ({}, STREAM):
        reply = await askd.get("/ask?q=fail", headers=headers)
        assert (reply.status, body(reply)["title"]) == (502, "Upstream failed")
        assert "cause" not in reply.text
    assert (await askd.event("upstream failed", nth=2))["error"] == "ValueError"


async def test_interrupt(askd: Process) -> None:
    """A graph that asks something is 409 with what it asks; the next question in the thread is the reply."""
    for headers in ({}, STREAM):
        thread = f"order{len(headers)}"
        reply = await askd.get(f"/ask?q=order&thread={thread}", headers=headers)
        assert (reply.status, body(reply)["interrupt"]) == (409, "How many?")
        assert "two ordered" in (await askd.get(f"/ask?q=two&thread={thread}", headers=headers)).text
    assert (await askd.get("/ask?q=order")).status == 409


async def test_no_such_assistant(askd: Process, server: str, start: Start) -> None:
    """An assistant that the server has not ends the start with 2 and the names of those that it has."""
    process = await start("serve", f"{server}#other")
    failed = await process.event("load failed")
    assert f"has no assistant 'other', but agent: give {server}#agent" in failed["error"]
    assert await process.ended() == 2


async def test_server_comes_late(start: Start) -> None:
    """Without a server askd starts all the same: alive, not ready, and 503 with Retry-After until it is there."""
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        process = await start("serve", f"http://127.0.0.1:{taken.getsockname()[1]}")
        await process.event("ready")
        reply = await process.get("/ask?q=hello")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        await process.event("upstream not ready")
        assert [(await process.get(path)).status for path in ("/livez", "/startupz", "/readyz")] == [200, 200, 503]
        assert await process.stop(signal.SIGINT) == 0


async def test_own_address(start: Start) -> None:
    """The address that askd itself is to listen on is refused before it listens."""
    process = await start("serve", "http://localhost:2024", "--port", "2024")
    assert await process.ended() == 2
    assert "--port 8080" in process.output
    assert not process.events("listening")
