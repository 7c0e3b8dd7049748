"""Commands: run to their end, or watched line by line."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

LIMIT: Final = 300.0
"""Seconds after which a command is taken to hang."""


class Failed(Exception):
    """A command that failed, with what it said."""


async def run(*words: str, check: bool = True, text: str = "", limit: float = LIMIT) -> str:
    """Run a command, and return what it printed. Raises Failed unless `check` is off; then faults are in the text."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE if text else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limit):
            out, err = await process.communicate(text.encode() or None)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode and check:
        raise Failed(f"{' '.join(words)}: exit code {process.returncode}\n{out.decode()[-2000:]}{err.decode()[-2000:]}")
    return out.decode() if check else out.decode() + err.decode()


@contextlib.asynccontextmanager
async def lines(*words: str, limit: float = LIMIT) -> AsyncIterator[AsyncIterator[str]]:
    """Give the lines of a command as they come; it is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    assert process.stdout

    async def read(stream: asyncio.StreamReader) -> AsyncIterator[str]:
        async for line in stream:
            yield line.decode().rstrip("\n")

    try:
        async with asyncio.timeout(limit):
            yield read(process.stdout)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
