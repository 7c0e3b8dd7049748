"""The real process under test, and gates that hold its code up until a test lets it go on."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest
from yarl import URL

BOUND: Final = 30.0
"""Seconds after which something that should happen is taken never to happen: a failure, not a pause."""

VARIABLES: Final = {"ASKD_LOG_FORMAT": "json", "ASKD_PORT": "0", "ASKD_DRAIN_DELAY": "0"}
Event = Mapping[str, Any]


class Reply(NamedTuple):
    """One response, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str


class Process:
    """A running askd. Its log is read as it comes, so that tests wait for events and for nothing else."""

    def __init__(self, process: asyncio.subprocess.Process, client: aiohttp.ClientSession) -> None:
        self.pid = process.pid
        self._process = process
        self._client = client
        self._lines: list[str] = []
        self._over = False
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, client: aiohttp.ClientSession, folder: Path, arguments: tuple[str, ...], variables: Mapping[str, str]
    ) -> "Process":
        """Start `python -m service` in a folder, on a free port, with no ASKD_ variables but the given ones."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKD_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", *arguments),
            cwd=folder,
            env={**environment, **VARIABLES, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        return cls(process, client)

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            await self._tell(line.decode().rstrip("\n"))
        self._over = True
        await self._tell()

    async def _tell(self, *lines: str) -> None:
        async with self._news:
            self._lines += lines
            self._news.notify_all()

    @property
    def output(self) -> str:
        """All that the process has written until now."""
        return "\n".join(self._lines)

    def events(self, name: str, **fields: Any) -> list[Event]:
        """Return the log's events until now that have this name and these fields."""
        found = [json.loads(line) for line in self._lines if line.startswith("{")]
        return [event for event in found if event["event"] == name and fields.items() <= event.items()]

    async def event(self, name: str, *, nth: int = 1, **fields: Any) -> Event:
        """Wait for the nth event of this name with these fields; a log that ends without it fails the test."""
        try:
            async with asyncio.timeout(BOUND), self._news:
                await self._news.wait_for(lambda: self._over or len(self.events(name, **fields)) >= nth)
        except TimeoutError:
            pytest.fail(f"{name!r} {fields} did not come:\n{self.output}")
        found = self.events(name, **fields)
        assert len(found) >= nth, f"the log ended without {name!r} {fields}:\n{self.output}"
        return found[nth - 1]

    async def line(self, text: str) -> str:
        """Wait for a line that holds this text; output that ends without one fails the test."""
        try:
            async with asyncio.timeout(BOUND), self._news:
                await self._news.wait_for(lambda: self._over or text in self.output)
        except TimeoutError:
            pytest.fail(f"{text!r} did not come:\n{self.output}")
        found = [line for line in self._lines if text in line]
        assert found, f"the output ended without {text!r}:\n{self.output}"
        return found[0]

    async def url(self, *, ops: bool = False) -> str:
        """Wait until the process listens, and return its address, or that of its ops port."""
        return str(URL((await self.event("listening"))["ops_url" if ops else "url"]).origin())

    async def get(self, path: str, *, ops: bool = False, base: str | None = None, **more: Any) -> Reply:
        """Get a path from the process, once it listens; `base` is another address than the one it tells."""
        async with asyncio.timeout(BOUND), self._client.get((base or await self.url(ops=ops)) + path, **more) as reply:
            return Reply(reply.status, reply.headers, await reply.text())

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the process to end, and return its exit code; minus a signal's number where that ended it."""
        try:
            async with asyncio.timeout(BOUND):
                await self._reader
                return await self._process.wait()
        except TimeoutError:
            pytest.fail(f"did not end:\n{self.output}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        self.send(number)
        return await self.ended()

    async def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Give `start(*arguments, **variables)`, which starts a process in the test's own folder.

    What still runs after the test is killed. No connection is kept, so that a drain waits for no idle one.
    """
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(force_close=True)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def started(*arguments: str, **variables: str) -> Process:
            process = await Process.start(client, tmp_path, arguments, variables)
            stack.push_async_callback(process.kill)
            return process

        yield started


class Gate:
    """A named pipe that holds code up which reads a byte from it, until the test opens the gate."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR)  # a pipe with a writer: to open it for reading never waits

    def open(self) -> None:
        """Let one reader go on."""
        os.write(self._pipe, b".")

    def close(self) -> None:
        """Release the pipe."""
        os.close(self._pipe)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Give the gate that is called `gate` in the process's folder."""
    made = Gate(tmp_path / "gate")
    yield made
    made.close()


WAIT: Final = """
import logging

def wait(word):
    '''Log that we are here, then wait until the test opens the gate.'''
    logging.getLogger("code").warning(word)
    with open("gate", "rb", buffering=0) as gate:
        gate.read(1)
"""
"""Start of a user's module that can wait for the test, in a thread or while it is imported."""
