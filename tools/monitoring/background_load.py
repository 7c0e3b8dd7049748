"""A light load: questions at a constant rate, whatever the responses are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import aiohttp

from tools.monitoring.prometheus_server import pause

QUESTIONS = ("hello", "What is a load balancer?", "what is dns", "an unknown question", "hello")


async def ask(client: aiohttp.ClientSession, url: str, question: str) -> None:
    """Send one question. Errors are ignored, because the server counts them."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with client.get(url, params={"q": question}) as response:
            await response.read()


async def _send_requests(url: str, rate: float, questions: Sequence[str], timeout: float) -> None:
    number = 0
    client_timeout = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=client_timeout) as client, asyncio.TaskGroup() as group:
        while True:
            group.create_task(ask(client, url, questions[number % len(questions)]))
            number += 1
            await pause(1 / rate)


@contextlib.asynccontextmanager
async def background_load(
    port: int, *, rate: float = 20, questions: Sequence[str] = QUESTIONS, timeout: float = 5
) -> AsyncIterator[None]:
    """Send `rate` questions per second during the block; each client disconnects after `timeout` seconds."""
    task = asyncio.create_task(_send_requests(f"http://127.0.0.1:{port}/ask", rate, questions, timeout))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
