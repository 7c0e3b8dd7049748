"""The scripts of docs/examples, run as their first lines describe: tokens_and_tls, redis, opentelemetry."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.process.examples.conftest import EXAMPLES
from tests.support.otlp_receiver import running_receiver
from tests.support.redis_server import needs_redis

pytestmark = pytest.mark.slow  # each starts several processes
RunScript = Callable[..., Awaitable[asyncio.StreamReader]]


@pytest_asyncio.fixture
async def run_script() -> AsyncIterator[RunScript]:
    """`run_script(example)` runs its serve.sh with the askd of this environment; returns its output."""
    async with AsyncExitStack() as stack:

        async def run(example: str, **variables: str) -> asyncio.StreamReader:
            return await stack.enter_async_context(_running(example, variables))

        yield run


@asynccontextmanager
async def _running(example: str, variables: dict[str, str]) -> AsyncIterator[asyncio.StreamReader]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        EXAMPLES / example / "serve.sh",
        env={"PATH": path, "ASKD_LOG_FORMAT": "json", "ASKD_DRAIN_DELAY": "0", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=1 << 20,
    )
    assert process.stdout
    yield process.stdout
    os.killpg(process.pid, signal.SIGTERM)
    await process.communicate()


async def wait_for_line(output: asyncio.StreamReader, text: str) -> str:
    """Return the next line that contains the text. Fails if the output ends without it."""
    lines = []
    async for line in output:
        lines.append(line.decode())
        if text in lines[-1]:
            return lines[-1]
    raise AssertionError(f"{text!r} was not written:\n{''.join(lines)}")


def free_ports(count: int) -> list[str]:
    """Return ports that no server listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_tokens_and_tls(run_script: RunScript, tmp_path: Path) -> None:
    """docs/examples/tokens_and_tls answers by HTTPS, and only with the token."""
    (port,) = free_ports(1)
    output = await run_script("tokens_and_tls", FOLDER=str(tmp_path), ASKD_PORT=port)
    await wait_for_line(output, '"ready"')
    url = f"https://localhost:{port}/ask?q=Ada"
    context = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
    headers = {"Authorization": f"Bearer {(tmp_path / 'alice.token').read_text().strip()}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as client:
        async with client.get(url, headers=headers) as response:
            assert await response.json() == {"answer": "Hello, Ada!", "lang": "en"}
        async with client.get(url) as response:
            assert response.status == 401


@needs_redis
async def test_shared_rate_limit(run_script: RunScript) -> None:
    """docs/examples/redis counts the requests to both replicas together: the fourth is refused."""
    redis_port, *ports = free_ports(3)
    variables = {"REDIS_PORT": redis_port, "FIRST_PORT": ports[0], "SECOND_PORT": ports[1]}
    output = await run_script("redis", **variables)
    for _ in ports:
        await wait_for_line(output, '"ready"')
    async with aiohttp.ClientSession() as client:
        statuses = []
        for port in ports * 2:
            async with client.get(f"http://127.0.0.1:{port}/ask?q=Ada") as response:
                statuses.append(response.status)
    assert statuses == [200, 200, 200, 429]


async def test_opentelemetry(run_script: RunScript) -> None:
    """docs/examples/opentelemetry sends the spans of a request to the collector, under the name of the service."""
    (port,) = free_ports(1)
    async with running_receiver() as receiver:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        output = await run_script("opentelemetry", ASKD_PORT=port, **endpoint)
        await wait_for_line(output, '"ready"')
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/ask?q=Ada") as response:
            assert response.status == 200
        spans = await receiver.wait_for_spans(2)
        assert {span.name for span in spans} >= {"GET /ask", "answerer"}
        assert receiver.resource["service.name"] == "greeter"
