"""A LangGraph server is killed during load: a small one always, the real `langgraph dev` where it is installed."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .conftest import BOUND, Process, Start
from .killed import Load, Server, fake
from .test_langgraph_dev import AWAY, EXAMPLE, command


@pytest.fixture(params=["fake", "langgraph dev"])
async def server(request: pytest.FixtureRequest, tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Server]:
    """Start a server; what is left of it is killed after the test."""
    made = fake(tmp_path, unused_tcp_port) if request.param == "fake" else real(tmp_path, unused_tcp_port)
    try:
        await made.start()
        yield made
    finally:
        await made.kill()


def real(folder: Path, port: int) -> Server:
    """The real server with the example of the documentation."""
    if (langgraph := command()) is None:
        pytest.skip("langgraph-cli[inmem] is not installed: `make test` does it, or LANGGRAPH names its command")
    copy = shutil.copytree(EXAMPLE, folder / "remote")
    return Server((langgraph, "dev", "--no-browser", "--no-reload", "--port", str(port)), copy, AWAY)


async def test_killed_during_load(server: Server, start: Start, unused_tcp_port: int) -> None:
    """Before: 200. Killed: 502 for what was under way, then 503 at once. Back: 200 again. Never 500, always alive."""
    askd = await start("serve", f"http://127.0.0.1:{unused_tcp_port}")
    await askd.event("ready")
    await askd.event("upstream")
    load = Load(askd)
    assert await load.run("before", 80) == {200}

    killing = asyncio.create_task(load.run("killed", 400))
    await load.after(40)
    await server.kill()
    assert {200, 503} <= await killing <= {200, 502, 503}
    await askd.event("upstream circuit", state="open")

    assert await load.run("down", 400) == {503}
    assert sorted(shot.seconds for shot in load.shots)[200] < 1.0
    assert (await askd.get("/livez")).status == 200
    ready = await askd.get("/readyz?verbose")
    assert ready.status == 200
    assert "askd_upstream_circuit_state" in (await askd.get("/metrics")).text

    await server.start()
    back = await recovered(load)
    assert await load.run("after", 80) == {200}
    print(f"\n{load.figures()}\nanswers again {back:.1f} s after the server listens")  # noqa: T201 - figures for who measures
    assert not [event for event in askd.events("exchange") if event["status"] == 500]
    assert len(askd.events("upstream failed")) < 100
    assert await askd.stop() == 0


async def recovered(load: Load) -> float:
    """Ask one question after another until one is answered, and return how many seconds that took."""
    began = time.monotonic()
    load.shots = load.phases["back"] = []
    async with asyncio.timeout(BOUND):
        while (await load.ask("back")).status != 200:
            pass
    return time.monotonic() - began


async def test_readiness_that_needs_the_server(tmp_path: Path, start: Start, unused_tcp_port: int) -> None:
    """With `ASKD_READY_NEEDS_ANSWERER` readiness fails while the server is gone, and comes back without a question."""
    server = fake(tmp_path, unused_tcp_port)
    await server.start()
    askd = await start("serve", f"http://127.0.0.1:{unused_tcp_port}", "--ready-needs-answerer")
    await askd.event("ready")
    await askd.event("upstream")
    await server.kill()
    await Load(askd).run("down", 20)
    await until_ready(askd, 503)
    assert (await askd.get("/livez")).status == 200
    await server.start()
    await askd.event("upstream circuit", state="closed")
    await until_ready(askd, 200)
    await server.kill()


async def until_ready(askd: Process, status: int) -> None:
    """Ask for readiness until it has this status."""
    async with asyncio.timeout(BOUND):
        while (await askd.get("/readyz")).status != status:
            pass
