"""A light load: questions at a steady rate, whatever becomes of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import aiohttp

from tests.rules.prometheus import pause

QUESTIONS = ("hello", "What is a load balancer?", "what is dns", "nobody knows this", "hello")


async def ask(client: aiohttp.ClientSession, url: str, question: str) -> None:
    """Ask once; what goes wrong is the other side's to count."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with client.get(url, params={"q": question}) as reply:
            await reply.read()


async def _shoot(url: str, rate: float, questions: Sequence[str], limit: float) -> None:
    number = 0
    timeout = aiohttp.ClientTimeout(total=limit)
    async with aiohttp.ClientSession(timeout=timeout) as client, asyncio.TaskGroup() as group:
        while True:
            group.create_task(ask(client, url, questions[number % len(questions)]))
            number += 1
            await pause(1 / rate)


@contextlib.asynccontextmanager
async def load(
    port: int, *, rate: float = 20, questions: Sequence[str] = QUESTIONS, limit: float = 5
) -> AsyncIterator[None]:
    """Ask `rate` questions a second as long as the block lasts; each client leaves after `limit` seconds."""
    task = asyncio.create_task(_shoot(f"http://127.0.0.1:{port}/ask", rate, questions, limit))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
