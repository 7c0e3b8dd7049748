"""A LangGraph server is killed under load: a minimal one, and `langgraph dev` if it is installed."""

import asyncio
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.process.test_langgraph_dev import EXAMPLE_FOLDER, OFFLINE_ENVIRONMENT, find_langgraph_command
from tests.support.askd_process import TIMEOUT, AskdProcess, StartAskd
from tests.support.concurrent_clients import ConcurrentClients
from tests.support.fake_langgraph_server import fake_langgraph_server
from tests.support.killable_server import KillableServer

pytestmark = pytest.mark.slow


@pytest.fixture(params=["fake", "langgraph dev"])
async def server(request: pytest.FixtureRequest, tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[KillableServer]:
    """Start a server, and kill it after the test."""
    create = fake_langgraph_server if request.param == "fake" else langgraph_dev_server
    killable = create(tmp_path, unused_tcp_port)
    try:
        await killable.start()
        yield killable
    finally:
        await killable.kill()


def langgraph_dev_server(folder: Path, port: int) -> KillableServer:
    """Return `langgraph dev` with the example of the documentation."""
    if (langgraph := find_langgraph_command()) is None:
        pytest.skip("langgraph-cli[inmem] is not installed: run `make test`, or set LANGGRAPH to its command")
    copy = shutil.copytree(EXAMPLE_FOLDER, folder / "remote")
    return KillableServer(
        (langgraph, "dev", "--no-browser", "--no-reload", "--port", str(port)), copy, OFFLINE_ENVIRONMENT
    )


@pytest.mark.slow
async def test_server_killed_under_load(server: KillableServer, start: StartAskd, unused_tcp_port: int) -> None:
    """When the server is killed, requests get 502 or 503 at once, never 500; when it is back, they get 200."""
    askd = await start("serve", f"http://127.0.0.1:{unused_tcp_port}")
    await askd.wait_for_event("ready")
    await askd.wait_for_event("upstream_ready")
    clients = ConcurrentClients(askd)
    assert await clients.run("before", 80) == {200}

    killing = asyncio.create_task(clients.run("killed", 400))
    await clients.wait_for_responses(40)
    await server.kill()
    assert {200, 503} <= await killing <= {200, 502, 503}
    await askd.wait_for_event("circuit_breaker_state_changed", state="open")

    assert await clients.run("down", 400) == {503}
    assert sorted(response.seconds for response in clients.responses)[200] < 1.0
    assert (await askd.get("/livez")).status == 200
    ready = await askd.get("/readyz?verbose")
    assert ready.status == 200
    assert "askd_upstream_circuit_state" in (await askd.get("/metrics")).text

    await server.start()
    seconds = await wait_for_recovery(clients)
    assert await clients.run("after", 80) == {200}
    print(f"\n{clients.latency_table()}\nrecovered {seconds:.1f} s after the server listens")  # noqa: T201 - figures for a reader of the output
    assert not [event for event in askd.events("request") if event["http.response.status_code"] == 500]
    assert len(askd.events("upstream_request_failed")) < 100
    assert await askd.stop() == 0


async def wait_for_recovery(clients: ConcurrentClients) -> float:
    """Send questions until one is answered. Returns the seconds that it took."""
    started = time.monotonic()
    clients.responses = clients.phases["back"] = []
    async with asyncio.timeout(TIMEOUT):
        while (await clients.ask("back")).status != 200:
            pass
    return time.monotonic() - started


@pytest.mark.slow
async def test_readiness_requires_the_server(tmp_path: Path, start: StartAskd, unused_tcp_port: int) -> None:
    """With --readiness-requires-upstream, readiness fails while the server is down, and recovers without a question."""
    server = fake_langgraph_server(tmp_path, unused_tcp_port)
    await server.start()
    askd = await start("serve", f"http://127.0.0.1:{unused_tcp_port}", "--readiness-requires-upstream")
    await askd.wait_for_event("ready")
    await askd.wait_for_event("upstream_ready")
    await server.kill()
    await ConcurrentClients(askd).run("down", 20)
    await wait_for_readiness(askd, 503)
    assert (await askd.get("/livez")).status == 200
    await server.start()
    await askd.wait_for_event("circuit_breaker_state_changed", state="closed")
    await wait_for_readiness(askd, 200)
    await server.kill()


async def wait_for_readiness(askd: AskdProcess, status: int) -> None:
    """Poll the readiness probe until it has this status."""
    async with asyncio.timeout(TIMEOUT):
        while (await askd.get("/readyz")).status != status:
            pass


async def test_server_comes_late(start: StartAskd) -> None:
    """Without the server, askd starts: it is alive, not ready, and responds with 503 and Retry-After."""
    with socket.socket() as bound:  # nothing listens on the port
        bound.bind(("127.0.0.1", 0))
        process = await start("serve", f"http://127.0.0.1:{bound.getsockname()[1]}")
        await process.wait_for_event("ready")
        response = await process.get("/ask?q=hello")
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        await process.wait_for_event("upstream_not_ready")
        assert [(await process.get(path)).status for path in ("/livez", "/startupz", "/readyz")] == [200, 200, 503]
        assert await process.stop(signal.SIGINT) == 0


async def test_own_address(start: StartAskd) -> None:
    """A server at the address of askd is rejected before askd listens."""
    process = await start("serve", "http://localhost:2024", "--port", "2024")
    assert await process.wait_for_exit() == 2
    assert "--port 8080" in process.output
    assert not process.events("listening")
