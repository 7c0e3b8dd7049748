"""A redis-server process that can be killed, and its statistics."""

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Final

from benchmarks.load.polling import poll

START_TIMEOUT: Final = 10.0


class RedisProcess:
    """A redis-server on 127.0.0.1 without persistence."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port, self._folder = port, folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the server and wait until it responds. Raises RuntimeError after a time-out."""
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._process = await asyncio.create_subprocess_exec(
            "redis-server", *options, "--dir", str(self._folder),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        if await poll(self._is_up, START_TIMEOUT) is None:
            raise RuntimeError(f"redis-server did not respond within {START_TIMEOUT:.0f} s")

    async def kill(self) -> None:
        """Kill the server with SIGKILL."""
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def wait_until_used(self, timeout: float) -> int:
        """Wait until a script has run since the start. Returns the number of scripts, 0 after the time-out."""
        await poll(self._has_run_script, timeout)
        return await self._script_count()

    async def _is_up(self) -> bool:
        return bool(await self._send_command("PING"))

    async def _has_run_script(self) -> bool:
        return await self._script_count() > 0

    async def _script_count(self) -> int:
        text = await self._send_command("INFO commandstats")
        return sum(int(calls) for calls in re.findall(r"cmdstat_(?:eval|evalsha|fcall):calls=(\d+)", text))

    async def _send_command(self, command: str) -> str:
        """Send an inline command. Returns the first bytes of the response, empty if the server is down."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(f"{command}\r\n".encode())
                return (await asyncio.wait_for(reader.read(1 << 20), 5)).decode()
            finally:
                writer.close()
        return ""
