"""The process while its log is read slowly or not at all: dropped lines and shutdown."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.support.askd_process import ENVIRONMENT, TIMEOUT

pytestmark = pytest.mark.slow

CODE: Final = "async def answer(q: str) -> str:\n    return 'ok'\n"
LONG_QUESTION: Final = 60_000
"""Length of a question that fills the log quickly."""
MAX_QUESTIONS: Final = 400
"""Number of questions that exceeds the buffer of the log."""


class ProcessWithPipedLog:
    """A process whose log is a pipe, which is read only when the test reads it."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self._log = b""
        self._pipe, self._write_end = os.pipe()

    async def start(self, folder: Path, **variables: str) -> None:
        """Start a function with an ops port, and read its log until it is ready."""
        (folder / "main.py").write_text(CODE)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ASKD_")}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "askd", "serve", "main.py:answer", "--ops-port", "0"),
            *("--log-questions", "--question-max-length", str(LONG_QUESTION)),
            cwd=folder,
            env={**inherited, **ENVIRONMENT, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=self._write_end,
        )
        os.close(self._write_end)
        await self.read_until('"event":"ready"')
        (listening,) = (event for event in self.events if event["event"] == "listening")
        self._url, self._ops = listening["url"], listening["ops_url"]

    async def read_until(self, text: str) -> None:
        """Read whole lines until this text has been read, or the log ends."""
        async with asyncio.timeout(TIMEOUT):
            while text.encode() not in self._log or not self._log.endswith(b"\n"):
                data = await asyncio.to_thread(os.read, self._pipe, 1 << 16)
                if not data:
                    break
                self._log += data

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines read so far, which must be JSON."""
        return [json.loads(line) for line in self._log.decode().splitlines()]

    async def ask(self, request_id: str) -> int:
        """Ask a long question, and return the status."""
        question, headers = {"q": "x" * LONG_QUESTION}, {"X-Request-Id": request_id}
        async with (
            asyncio.timeout(TIMEOUT),
            self._client.post(f"{self._url}/ask", json=question, headers=headers) as response,
        ):
            await response.read()
            return response.status

    async def probe(self, path: str) -> tuple[int, str]:
        """Return the status and the body of an ops endpoint."""
        async with asyncio.timeout(TIMEOUT), self._client.get(self._ops + path) as response:
            return response.status, await response.text()

    async def dropped(self) -> int:
        """Return the number of dropped lines in the metrics."""
        match = re.search(r"^askd_log_lines_dropped_total (\S+)$", (await self.probe("/metrics"))[1], re.MULTILINE)
        assert match
        return int(float(match[1]))

    async def fill_log(self) -> int:
        """Ask until lines are dropped. Returns the number of questions."""
        for number in range(MAX_QUESTIONS):
            assert await self.ask(str(number)) == 200
            if await self.dropped():
                return number + 1
        pytest.fail("no line was dropped")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self._process.send_signal(number)
        async with asyncio.timeout(TIMEOUT):
            return await self._process.wait()

    async def close(self) -> None:
        """Kill the process."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        os.close(self._pipe)


StartPiped = Callable[..., Awaitable[ProcessWithPipedLog]]


@pytest.fixture
async def start_piped(tmp_path: Path) -> AsyncIterator[StartPiped]:
    """`start_piped(**variables)` starts a process whose log the test reads."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())

        async def start_process(**variables: str) -> ProcessWithPipedLog:
            process = ProcessWithPipedLog(client)
            stack.push_async_callback(process.close)
            await process.start(tmp_path, **variables)
            return process

        yield start_process


async def test_unread_log_does_not_block_the_server(start_piped: StartPiped) -> None:
    """If the log is not read, requests are answered, dropped lines are counted, and SIGTERM ends the process with 0."""
    process = await start_piped(ASKD_FLUSH_TIMEOUT="100ms")
    await process.fill_log()
    assert [await process.ask(str(number)) for number in range(10)] == [200] * 10
    async with asyncio.timeout(TIMEOUT):
        while await process.dropped() < 10:
            pass
    assert [(await process.probe(path))[0] for path in ("/readyz", "/livez")] == [200, 200]
    assert await process.stop() == 0


async def test_dropped_lines_are_reported(start_piped: StartPiped) -> None:
    """When the log is read again, buffered lines arrive in order, then the number of dropped lines is logged."""
    process = await start_piped()
    questions = await process.fill_log()
    await process.read_until('"event":"log_lines_dropped"')
    assert await process.ask("again") == 200
    await process.read_until('"request_id":"again"')
    ids = [event["request_id"] for event in process.events if event["event"] == "request"]
    assert ids.pop() == "again"
    assert [int(number) for number in ids] == sorted({int(number) for number in ids})
    reported = sum(event["count"] for event in process.events if event["event"] == "log_lines_dropped")
    assert reported == await process.dropped() == questions - len(ids)
    assert await process.stop() == 0


async def test_shutdown_waits_for_a_slow_reader(start_piped: StartPiped) -> None:
    """A log that is only read after the signal is complete, and ends with `stopped`."""
    process = await start_piped(ASKD_FLUSH_TIMEOUT="30s")
    for number in range(30):
        assert await process.ask(str(number)) == 200
    stopping = asyncio.create_task(process.stop())
    await process.read_until("end of the log")
    assert await stopping == 0
    events = process.events
    assert [event["request_id"] for event in events if event["event"] == "request"] == [
        str(number) for number in range(30)
    ]
    assert events[-1]["event"] == "stopped"


async def test_second_signal_does_not_wait_for_the_log(start_piped: StartPiped) -> None:
    """A second signal ends the process at once with its exit code, although the log is not read."""
    process = await start_piped(ASKD_DRAIN_DELAY="10m", ASKD_FLUSH_TIMEOUT="60s")
    await process.fill_log()
    first = asyncio.create_task(process.stop())
    async with asyncio.timeout(TIMEOUT):
        while (await process.probe("/readyz"))[0] == 200:
            pass
    assert await process.stop() == 128 + signal.SIGTERM
    await first
