"""A server process that a test kills."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.support.askd_process import TIMEOUT


class KillableServer:
    """A server process with its children. Its command prints a line when it has started."""

    def __init__(self, command: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> None:
        self._command, self._folder, self._variables = command, folder, variables
        self._process: asyncio.subprocess.Process | None = None
        self._output_reader: asyncio.Task[bytes] | None = None

    async def start(self) -> None:
        """Start the process. Returns when it has printed that it has started, just before it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env={**os.environ, **self._variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        stdout = self._process.stdout
        assert stdout
        async with asyncio.timeout(TIMEOUT):
            while b"Application started up" not in (line := await stdout.readline()):
                assert line, "the server exited before it had started"
        self._output_reader = asyncio.create_task(stdout.read())

    async def kill(self) -> None:
        """Kill the process and its children with SIGKILL, and wait for them."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        if self._output_reader:
            await self._output_reader
