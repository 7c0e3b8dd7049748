"""Commands that run to their end, or whose output is read line by line."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

COMMAND_TIMEOUT: Final = 300.0
"""Seconds after which a command is considered hung."""


class CommandFailed(Exception):
    """A command failed; the message contains the end of its output."""


async def run_command(*command: str, check: bool = True, stdin: str = "", timeout: float = COMMAND_TIMEOUT) -> str:
    """Run a command and return its output, with its errors if `check` is false.

    Raises:
        CommandFailed: The command failed and `check` is true.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout):
            output, errors = await process.communicate(stdin.encode() or None)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode and check:
        raise CommandFailed(
            f"{' '.join(command)}: exit code {process.returncode}\n{output.decode()[-2000:]}{errors.decode()[-2000:]}"
        )
    return output.decode() if check else output.decode() + errors.decode()


@contextlib.asynccontextmanager
async def stream_lines(*command: str, timeout: float = COMMAND_TIMEOUT) -> AsyncIterator[AsyncIterator[str]]:
    """Yield an iterator over the lines of a command, which is terminated after the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
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
        async with asyncio.timeout(timeout):
            yield read(process.stdout)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
