"""A real Redis or Valkey server for tests, on a free port, that can be killed and started again."""

import asyncio
import contextlib
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

REDIS_BINARY: Final = next(filter(None, map(shutil.which, ("redis-server", "valkey-server"))), None)
START_TIMEOUT: Final = 30.0
"""Maximum seconds for the start of the server."""

needs_redis: Final = pytest.mark.skipif(
    REDIS_BINARY is None, reason="redis-server is not installed (Debian: apt-get install redis-server)"
)


class RedisServer:
    """A server process. It keeps its port when it is started again."""

    def __init__(self, data_directory: Path) -> None:
        self._data_directory = data_directory
        self._process: asyncio.subprocess.Process | None = None
        self._output_reader: asyncio.Task[bytes] | None = None
        with socket.socket() as free_socket:
            free_socket.bind(("127.0.0.1", 0))
            self.port: int = free_socket.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        assert REDIS_BINARY
        address = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._data_directory))
        self._process = await asyncio.create_subprocess_exec(
            *(REDIS_BINARY, *address, "--save", "", "--appendonly", "no"), stdout=asyncio.subprocess.PIPE
        )
        stdout = self._process.stdout
        assert stdout
        async with asyncio.timeout(START_TIMEOUT):
            while b"Ready to accept connections" not in (line := await stdout.readline()):
                assert line, "redis-server exited before it was ready"
        self._output_reader = asyncio.create_task(stdout.read())

    async def kill(self) -> None:
        """Send SIGKILL, and wait until the process has ended."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._output_reader:
            await self._output_reader

    def pause(self) -> None:
        """Stop replying, with connections kept open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Reply again."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def running_redis(data_directory: Path) -> AsyncIterator[RedisServer]:
    """Run a server until the block ends."""
    server = RedisServer(data_directory)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
