"""A real Redis, or Valkey, for a test: on a free port, with its data in the test's folder; killed and started again."""

import asyncio
import contextlib
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

PROGRAM: Final = next(filter(None, map(shutil.which, ("redis-server", "valkey-server"))), None)
BOUND: Final = 30.0
"""Seconds after which a server that does not start is taken never to start."""

needs_redis: Final = pytest.mark.skipif(
    PROGRAM is None, reason="redis-server is not installed (Debian: apt-get install redis-server)"
)


class RedisServer:
    """One server's process. Its port stays the same however often it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._rest: asyncio.Task[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start it, and return when it accepts connections."""
        assert PROGRAM
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder))
        self._process = await asyncio.create_subprocess_exec(
            *(PROGRAM, *where, "--save", "", "--appendonly", "no"), stdout=asyncio.subprocess.PIPE
        )
        out = self._process.stdout
        assert out
        async with asyncio.timeout(BOUND):
            while b"Ready to accept connections" not in (line := await out.readline()):
                assert line, "redis-server ended before it was ready"
        self._rest = asyncio.create_task(out.read())

    async def kill(self) -> None:
        """Kill it, as `kill -9` does, and return when it is gone."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._rest:
            await self._rest

    def freeze(self) -> None:
        """Make it say nothing any more, with its connections open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[RedisServer]:
    """Give a running server, killed at the end."""
    server = RedisServer(folder)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
