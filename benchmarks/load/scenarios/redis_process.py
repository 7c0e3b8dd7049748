"""A redis-server of one's own: started, killed, and asked what it was used for."""

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Final

from tests.figures.polling import poll

START_LIMIT: Final = 10.0


class Redis:
    """A redis-server on 127.0.0.1 that keeps nothing on disk."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port, self._folder = port, folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and return when it answers. Raises RuntimeError."""
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._process = await asyncio.create_subprocess_exec(
            "redis-server", *options, "--dir", str(self._folder),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        if await poll(self._there, START_LIMIT) is None:
            raise RuntimeError(f"redis-server did not answer within {START_LIMIT:.0f} s")

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def until_used(self, limit: float) -> int:
        """Wait until a script has been run since the start; returns how many were, 0: none within the limit."""
        await poll(self._used, limit)
        return await self._scripts()

    async def _there(self) -> bool:
        return bool(await self._told("PING"))

    async def _used(self) -> bool:
        return await self._scripts() > 0

    async def _scripts(self) -> int:
        text = await self._told("INFO commandstats")
        return sum(int(calls) for calls in re.findall(r"cmdstat_(?:eval|evalsha|fcall):calls=(\d+)", text))

    async def _told(self, command: str) -> str:
        """Send one inline command; returns what comes at once, empty where nobody is there."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(f"{command}\r\n".encode())
                return (await asyncio.wait_for(reader.read(1 << 20), 5)).decode()
            finally:
                writer.close()
        return ""
