"""The real process's log: where nobody reads it any more, and where a share of the exchanges is enough."""

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

from .conftest import BOUND, VARIABLES, Start

CODE: Final = "async def answer(q: str) -> str:\n    return 'ok'\n"
LONG: Final = 60_000
"""Characters of a question that fills the log quickly."""
FULL: Final = 400
"""Questions of which some must have been dropped: together they are longer than what may wait."""


class Reading:
    """A process whose log is a pipe of this test's: it reads when the test says so, and not before."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self._found = b""
        self._pipe, self._theirs = os.pipe()

    async def start(self, folder: Path, **variables: str) -> None:
        """Start a function that answers, with an ops port, and read its log until it is ready."""
        (folder / "main.py").write_text(CODE)
        own = {name: value for name, value in os.environ.items() if not name.startswith("ASKD_")}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "serve", "main.py:answer", "--ops-port", "0"),
            *("--log-questions", "--question-max-length", str(LONG)),
            cwd=folder,
            env={**own, **VARIABLES, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=self._theirs,
        )
        os.close(self._theirs)
        await self.until('"event":"ready"')
        (listening,) = (event for event in self.events if event["event"] == "listening")
        self._url, self._ops = listening["url"], listening["ops_url"]

    async def until(self, text: str) -> None:
        """Read until there is this text and a whole line, or the log ends."""
        async with asyncio.timeout(BOUND):
            while text.encode() not in self._found or not self._found.endswith(b"\n"):
                more = await asyncio.to_thread(os.read, self._pipe, 1 << 16)
                if not more:
                    break
                self._found += more

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was read, which must be whole lines of JSON."""
        return [json.loads(line) for line in self._found.decode().splitlines()]

    async def ask(self, id: str) -> int:
        """Ask something long, and return the status."""
        json, headers = {"q": "x" * LONG}, {"X-Request-Id": id}
        async with asyncio.timeout(BOUND), self._client.post(f"{self._url}/ask", json=json, headers=headers) as reply:
            await reply.read()
            return reply.status

    async def probe(self, path: str) -> tuple[int, str]:
        """Return status and body of an ops endpoint."""
        async with asyncio.timeout(BOUND), self._client.get(self._ops + path) as reply:
            return reply.status, await reply.text()

    async def dropped(self) -> int:
        """Return how many lines are counted as dropped."""
        found = re.search(r"^askd_log_lines_dropped_total (\S+)$", (await self.probe("/metrics"))[1], re.MULTILINE)
        assert found
        return int(float(found[1]))

    async def fill(self) -> int:
        """Ask until lines are dropped; return how many questions that took."""
        for number in range(FULL):
            assert await self.ask(str(number)) == 200
            if await self.dropped():
                return number + 1
        pytest.fail("nothing was dropped")

    async def ended(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self._process.send_signal(number)
        async with asyncio.timeout(BOUND):
            return await self._process.wait()

    async def close(self) -> None:
        """End it, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        os.close(self._pipe)


Read = Callable[..., Awaitable[Reading]]


@pytest.fixture
async def read(tmp_path: Path) -> AsyncIterator[Read]:
    """Give `read(**variables)`, which starts a process whose log this test reads."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())

        async def started(**variables: str) -> Reading:
            made = Reading(client)
            stack.push_async_callback(made.close)
            await made.start(tmp_path, **variables)
            return made

        yield started


async def test_nobody_waits_for_a_log_that_nobody_reads(read: Read) -> None:
    """Questions are answered, probes are 200, what is lost is counted, and SIGTERM ends it with 0, in time."""
    process = await read(ASKD_FLUSH_TIMEOUT="100ms")
    await process.fill()
    assert [await process.ask(str(number)) for number in range(10)] == [200] * 10
    async with asyncio.timeout(BOUND):
        while await process.dropped() < 10:
            pass
    assert [(await process.probe(path))[0] for path in ("/readyz", "/livez")] == [200, 200]
    assert await process.ended() == 0


async def test_a_log_that_is_read_again_says_what_it_lacks(read: Read) -> None:
    """All that could wait comes, whole and in its order, then how many lines are lost; then it goes on as before."""
    process = await read()
    asked = await process.fill()
    await process.until('"event":"log lines dropped"')
    assert await process.ask("again") == 200
    await process.until('"id":"again"')
    ids = [event["id"] for event in process.events if event["event"] == "exchange"]
    assert ids.pop() == "again"
    assert [int(id) for id in ids] == sorted({int(id) for id in ids})
    told = sum(event["lines"] for event in process.events if event["event"] == "log lines dropped")
    assert told == await process.dropped() == asked - len(ids)
    assert await process.ended() == 0


async def test_the_drain_waits_for_a_slow_reader(read: Read) -> None:
    """A log of which nobody has read anything when the signal comes is whole at the end, the farewell last."""
    process = await read(ASKD_FLUSH_TIMEOUT="30s")
    for number in range(30):
        assert await process.ask(str(number)) == 200
    ended = asyncio.create_task(process.ended())
    await process.until("this text never comes")
    assert await ended == 0
    events = process.events
    assert [event["id"] for event in events if event["event"] == "exchange"] == [str(number) for number in range(30)]
    assert events[-1]["event"] == "stopped"


async def test_a_second_signal_does_not_wait_for_the_log(read: Read) -> None:
    """Who wants the end at once gets it, with its exit code, although the log is not read."""
    process = await read(ASKD_DRAIN_DELAY="10m", ASKD_FLUSH_TIMEOUT="60s")
    await process.fill()
    first = asyncio.create_task(process.ended())
    async with asyncio.timeout(BOUND):
        while (await process.probe("/readyz"))[0] == 200:
            pass
    assert await process.ended() == 128 + signal.SIGTERM
    await first


async def test_a_share_of_the_log(start: Start) -> None:
    """With a share of 0 no 200 is logged, and what is none is; the metrics count all."""
    process = await start("--log-sample", "0")
    await process.event("ready")
    for path in ("/ask?q=hello", "/ask?q=hello", "/docs", "/nowhere"):
        await process.get(path)
    await process.event("exchange", status=404)
    metrics = (await process.get("/metrics")).text
    assert 'askd_requests_total{code="200",method="GET",route="/ask"} 2.0' in metrics
    assert await process.stop() == 0
    assert [event["status"] for event in process.events("exchange")] == [404]
    assert process.events("settings", log_sample=0.0)
