"""The askd process under test, and gates that block its code until the test releases them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import aiohttp
import pytest
from yarl import URL

TIMEOUT: Final = 30.0
"""Seconds after which a missing event fails the test."""

ENVIRONMENT: Final = {"ASKD_LOG_FORMAT": "json", "ASKD_PORT": "0", "ASKD_DRAIN_DELAY": "0"}
LogEvent = Mapping[str, Any]


class Response(NamedTuple):
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    text: str


class AskdProcess:
    """A running askd. Its log is read continuously, so that tests can wait for its events."""

    def __init__(self, process: asyncio.subprocess.Process, client: aiohttp.ClientSession) -> None:
        self.pid = process.pid
        self._process = process
        self._client = client
        self._lines: list[str] = []
        self._has_exited = False
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, client: aiohttp.ClientSession, folder: Path, arguments: tuple[str, ...], variables: Mapping[str, str]
    ) -> "AskdProcess":
        """Start `python -m askd` in a folder, on a free port, with only the given ASKD_ variables and without PORT."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ASKD_") and name != "PORT"
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "askd", *arguments),
            cwd=folder,
            env={**environment, **ENVIRONMENT, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        return cls(process, client)

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            await self._append_lines(line.decode().rstrip("\n"))
        self._has_exited = True
        await self._append_lines()

    async def _append_lines(self, *lines: str) -> None:
        async with self._changed:
            self._lines += lines
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """Everything that the process has written so far."""
        return "\n".join(self._lines)

    def events(self, name: str, dotted: LogEvent = MappingProxyType({}), /, **fields: Any) -> list[LogEvent]:
        """Return the log events so far with this name and these fields; `dotted` has fields whose names have dots."""
        fields |= dotted
        events = [json.loads(line) for line in self._lines if line.startswith("{")]
        return [event for event in events if event["event"] == name and fields.items() <= event.items()]

    async def wait_for_event(
        self, name: str, dotted: LogEvent = MappingProxyType({}), /, *, nth: int = 1, **fields: Any
    ) -> LogEvent:
        """Wait for the nth event with this name and these fields. The test fails if the log ends without it."""
        fields |= dotted
        try:
            async with asyncio.timeout(TIMEOUT), self._changed:
                await self._changed.wait_for(lambda: self._has_exited or len(self.events(name, **fields)) >= nth)
        except TimeoutError:
            pytest.fail(f"{name!r} {fields} was not logged:\n{self.output}")
        events = self.events(name, **fields)
        assert len(events) >= nth, f"the log ended without {name!r} {fields}:\n{self.output}"
        return events[nth - 1]

    async def wait_for_line(self, text: str) -> str:
        """Wait for a line that contains this text. The test fails if the output ends without it."""
        try:
            async with asyncio.timeout(TIMEOUT), self._changed:
                await self._changed.wait_for(lambda: self._has_exited or text in self.output)
        except TimeoutError:
            pytest.fail(f"{text!r} was not written:\n{self.output}")
        lines = [line for line in self._lines if text in line]
        assert lines, f"the output ended without {text!r}:\n{self.output}"
        return lines[0]

    async def url(self, *, ops: bool = False) -> str:
        """Wait until the process listens. Returns the URL of its main port or of its ops port."""
        return str(URL((await self.wait_for_event("listening"))["ops_url" if ops else "url"]).origin())

    async def get(self, path: str, *, ops: bool = False, base: str | None = None, **options: Any) -> Response:
        """Send a GET request when the process listens. `base` replaces the URL from its log."""
        async with (
            asyncio.timeout(TIMEOUT),
            self._client.get((base or await self.url(ops=ops)) + path, **options) as response,
        ):
            return Response(response.status, response.headers, await response.text())

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    async def wait_for_exit(self) -> int:
        """Wait for the exit code, which is minus the number of the signal if one killed the process."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._reader
                return await self._process.wait()
        except TimeoutError:
            pytest.fail(f"the process did not exit:\n{self.output}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.send_signal(number)
        return await self.wait_for_exit()

    async def kill(self) -> None:
        """Kill the process."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader


StartAskd = Callable[..., Awaitable[AskdProcess]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartAskd]:
    """`start(*arguments, **variables)` starts a process in the test's folder; it is killed after the test.

    Connections are not reused, so that the shutdown does not wait for idle ones.
    """
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(force_close=True)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def start_process(*arguments: str, **variables: str) -> AskdProcess:
            process = await AskdProcess.start(client, tmp_path, arguments, variables)
            stack.push_async_callback(process.kill)
            return process

        yield start_process


class NamedPipeGate:
    """A named pipe that blocks code that reads from it, until the test releases it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR)  # with a writer, opening it for reading does not block

    def release(self) -> None:
        """Release one reader."""
        os.write(self._pipe, b".")

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[NamedPipeGate]:
    """The pipe `gate` in the process's folder."""
    gate = NamedPipeGate(tmp_path / "gate")
    yield gate
    gate.close()


WAITING_CODE: Final = """
import logging

def wait(word):
    '''Log a word, then wait until the test releases the gate.'''
    logging.getLogger("code").warning(word)
    with open("gate", "rb", buffering=0) as gate:
        gate.read(1)
"""
"""Beginning of a user's module that can wait for the test, in a thread or during its import."""
