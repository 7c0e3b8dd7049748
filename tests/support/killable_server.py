"""Servers that a test kills, and clients that send requests to askd at the same time."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.askd_process import TIMEOUT, AskdProcess

CLIENTS: Final = 8
"""Number of concurrent clients."""

FAKE_LANGGRAPH_CODE: Final = """
import asyncio, json, sys
from aiohttp import web

async def search(request):
    return web.json_response([{"assistant_id": "agent", "graph_id": "agent", "metadata": {"created_by": "system"}}])

async def run(request):
    messages = (await request.json())["input"]["messages"]
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b"\\n")
    await asyncio.sleep(0.02)
    await response.write(json.dumps({"messages": [*messages, {"type": "ai", "content": "Hi"}]}).encode())
    return response

app = web.Application()
app.add_routes([web.post("/assistants/search", search), web.post("/runs/wait", run)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=lambda _: print("Application started up", flush=True))
"""
"""A minimal LangGraph server. Like the real one, it sends the status 200 first, and the answer 20 ms later."""


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


def fake_langgraph_server(folder: Path, port: int) -> KillableServer:
    """Return a minimal LangGraph server that replaces the real one."""
    (folder / "fake.py").write_text(FAKE_LANGGRAPH_CODE)
    return KillableServer((sys.executable, "fake.py", str(port)), folder, {})


class TimedResponse(NamedTuple):
    """Status and duration of a response."""

    status: int
    seconds: float


class ConcurrentClients:
    """Clients that send questions to one askd, and record the responses of each phase."""

    def __init__(self, askd: AskdProcess) -> None:
        self._askd = askd
        self._base: str | None = None
        self.responses: list[TimedResponse] = []
        self.phases: dict[str, list[TimedResponse]] = {}
        self._enough = asyncio.Event()
        self._wanted = 0

    async def run(self, phase: str, questions: int) -> set[int]:
        """Send this number of questions, and return the set of statuses."""
        self._base = await self._askd.url()
        numbers = iter(range(questions))
        self.responses = self.phases[phase] = []

        async def client() -> None:
            for number in numbers:
                await self.ask(f"{phase}{number}")

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return {response.status for response in self.responses}

    async def ask(self, text: str) -> TimedResponse:
        """Send one question."""
        started = time.perf_counter()
        response = await self._askd.get("/ask", params={"q": text}, base=self._base)
        self.responses.append(TimedResponse(response.status, time.perf_counter() - started))
        if len(self.responses) >= self._wanted:
            self._enough.set()
        assert response.status == 200 or response.headers["Content-Type"].startswith("application/problem+json")
        assert response.status != 503 or 1 <= int(response.headers["Retry-After"]) <= 10
        return self.responses[-1]

    async def wait_for_responses(self, count: int) -> None:
        """Wait until this phase has `count` responses."""
        self._wanted = count
        self._enough.clear()
        await asyncio.wait_for(self._enough.wait(), TIMEOUT)

    def latency_table(self) -> str:
        """Return a table of latencies by phase."""
        return "\n".join(self._table_row(phase, responses) for phase, responses in self.phases.items())

    @staticmethod
    def _table_row(phase: str, responses: list[TimedResponse]) -> str:
        milliseconds = sorted(1000 * response.seconds for response in responses)
        counts = Counter(response.status for response in responses)
        statuses = ", ".join(f"{count} × {status}" for status, count in sorted(counts.items()))
        p50, p99 = milliseconds[len(milliseconds) // 2], milliseconds[int(len(milliseconds) * 0.99)]
        return f"{phase:8} {statuses:24} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms"
