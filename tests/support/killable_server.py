"""Servers that are killed, and questions that are asked meanwhile."""

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

from .conftest import BOUND, Process

WORKERS: Final = 8
"""Clients that ask at the same time, each one question after another."""

FAKE: Final = """
import asyncio, json, sys
from aiohttp import web

async def search(request):
    return web.json_response([{"assistant_id": "agent", "graph_id": "agent", "metadata": {"created_by": "system"}}])

async def run(request):
    asked = (await request.json())["input"]["messages"]
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b"\\n")
    await asyncio.sleep(0.02)
    await response.write(json.dumps({"messages": [*asked, {"type": "ai", "content": "Hi"}]}).encode())
    return response

app = web.Application()
app.add_routes([web.post("/assistants/search", search), web.post("/runs/wait", run)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=lambda _: print("Application started up", flush=True))
"""
"""A LangGraph server in little: like the real one it says 200 first, and the answer 20 ms later."""


class Server:
    """A server's process and its children, started by a command that says when it has started up."""

    def __init__(self, command: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> None:
        self._command, self._folder, self._variables = command, folder, variables
        self._process: asyncio.subprocess.Process | None = None
        self._rest: asyncio.Task[bytes] | None = None

    async def start(self) -> None:
        """Start it, and return when it has started up; it listens in a moment."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env={**os.environ, **self._variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        out = self._process.stdout
        assert out
        async with asyncio.timeout(BOUND):
            while b"Application started up" not in (line := await out.readline()):
                assert line, "the server ended before it had started up"
        self._rest = asyncio.create_task(out.read())

    async def kill(self) -> None:
        """Kill it and its children, as `kill -9` does, and return when they are gone."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        if self._rest:
            await self._rest


def fake(folder: Path, port: int) -> Server:
    """A small server that stands for the real one."""
    (folder / "fake.py").write_text(FAKE)
    return Server((sys.executable, "fake.py", str(port)), folder, {})


class Shot(NamedTuple):
    """One question's reply: its status, and how many seconds it took."""

    status: int
    seconds: float


class Load:
    """Asks questions of one askd, and remembers what came of each in each phase."""

    def __init__(self, askd: Process) -> None:
        self._askd = askd
        self._base: str | None = None
        self.shots: list[Shot] = []
        self.phases: dict[str, list[Shot]] = {}
        self._enough = asyncio.Event()
        self._wanted = 0

    async def run(self, phase: str, questions: int) -> set[int]:
        """Ask so many questions, and return the statuses of the replies."""
        self._base = await self._askd.url()
        left = iter(range(questions))
        self.shots = self.phases[phase] = []

        async def client() -> None:
            for number in left:
                await self.ask(f"{phase}{number}")

        await asyncio.gather(*(client() for _ in range(WORKERS)))
        return {shot.status for shot in self.shots}

    async def ask(self, text: str) -> Shot:
        """Ask one question."""
        began = time.perf_counter()
        reply = await self._askd.get("/ask", params={"q": text}, base=self._base)
        self.shots.append(Shot(reply.status, time.perf_counter() - began))
        if len(self.shots) >= self._wanted:
            self._enough.set()
        assert reply.status == 200 or reply.headers["Content-Type"].startswith("application/problem+json")
        assert reply.status != 503 or 1 <= int(reply.headers["Retry-After"]) <= 10
        return self.shots[-1]

    async def after(self, replies: int) -> None:
        """Wait until so many replies have come in this phase."""
        self._wanted = replies
        self._enough.clear()
        await asyncio.wait_for(self._enough.wait(), BOUND)

    def figures(self) -> str:
        """The phases in a table."""
        return "\n".join(self._line(phase, shots) for phase, shots in self.phases.items())

    @staticmethod
    def _line(phase: str, shots: list[Shot]) -> str:
        times = sorted(1000 * shot.seconds for shot in shots)
        statuses = ", ".join(
            f"{count} × {status}" for status, count in sorted(Counter(s.status for s in shots).items())
        )
        middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
        return f"{phase:8} {statuses:24} p50 {middle:7.1f} ms  p99 {late:7.1f} ms"
