"""The process under test: `python -m service`, on free ports of 127.0.0.1, with its log in a file."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from . import wire
from .plan import Plan

SERVED: Final = Path(__file__).with_name("served.py")
VARIABLES: Final = {"ASKD_LOG_FORMAT": "json", "ASKD_PORT": "0", "ASKD_OPS_PORT": "0"}
START_LIMIT: Final = 30.0
"""Seconds that a start may take."""
TAIL: Final = 3
LINE: Final = 300
"""Lines of the log, and characters of each, that are shown of a start that failed."""
LOOK: Final = 0.02
"""Seconds between two looks at the log."""


class Askd:
    """A running askd. Its log goes to a file, so that reading it costs nobody anything while it is under load."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self.log = log
        self.port = self.ops_port = 0
        self.stopping = False
        """Whether it has been told to stop: from then on its ports may close."""
        self._process = process

    @classmethod
    async def start(cls, plan: Plan, *arguments: str, python_path: Path | None = None, **variables: str) -> "Askd":
        """Start it and wait until it is ready. `python_path` has other sources of askd. Raises RuntimeError."""
        number = len(list(plan.folder.glob("askd-*.log")))
        log = plan.folder / f"askd-{number}.log"
        path = {"PYTHONPATH": str(python_path)} if python_path else {}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *plan.on(plan.server_core),
                *(sys.executable, "-m", "service", *arguments),
                cwd=plan.folder,  # no sources of askd are here that would be found before those that are meant
                env={**_environment(), **VARIABLES, **path, **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self = cls(process, log)
        try:
            await self._ready()
        except BaseException:
            await self.kill()
            raise
        return self

    async def _ready(self) -> None:
        await self.until(lambda: bool(self.events("ready")), START_LIMIT, "ready")
        told = self.events("listening")[0]
        self.port = urlsplit(told["url"]).port or 0
        self.ops_port = urlsplit(told["ops_url"]).port or 0

    async def until(self, true: Callable[[], bool], limit: float, what: str) -> None:
        """Wait until something is seen in the log. Raises RuntimeError, with the log's end."""
        end = time.monotonic() + limit
        while not true():
            if self.over or time.monotonic() > end:
                tail = "\n".join(line[-LINE:] for line in self.lines()[-TAIL:])
                why = "ended before it was" if self.over else f"took more than {limit:.0f} s to be"
                raise RuntimeError(f"askd {why} {what}; its log ends:\n{tail}")
            await asyncio.sleep(LOOK)

    def lines(self) -> list[str]:
        """All that it has logged until now."""
        return self.log.read_text(errors="replace").splitlines()

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """The log's events until now that have this name."""
        found = (json.loads(line) for line in self.lines() if line.startswith("{") and f'"{name}"' in line)
        return [event for event in found if event.get("event") == name]

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    def resident(self) -> int:
        """Resident memory in bytes, now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor_time(self) -> float:
        """Seconds that it has run so far, on all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def get(self, target: str, *fields: str, ops: bool = False, limit: float = 10.0) -> wire.Reply:
        """Ask on a connection of its own. Raises OSError, EOFError or TimeoutError."""
        async with asyncio.timeout(limit):
            return await ask(self.ops_port if ops else self.port, wire.get(target, *fields, "Connection: close"))

    async def metrics(self) -> dict[str, float]:
        """Every series, by name and labels as they are exposed."""
        text = (await self.get("/metrics", ops=True)).body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.stopping = True
        self._process.send_signal(number)

    async def ended(self, limit: float) -> int | None:
        """Wait for the end; returns the exit code, None: it has not ended in this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                return await self._process.wait()
        return None

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        self.stopping = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def running(
    plan: Plan, *arguments: str, python_path: Path | None = None, **variables: str
) -> AsyncIterator[Askd]:
    """Run askd until the block ends, whatever happens in it."""
    askd = await Askd.start(plan, *arguments, python_path=python_path, **variables)
    try:
        yield askd
    finally:
        await askd.kill()


async def ask(port: int, request: bytes) -> wire.Reply:
    """Send a request and read the response. Raises OSError, or EOFError where the response is not complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        writer.write(request)
        return await reply(reader)
    finally:
        writer.close()


async def reply(reader: asyncio.StreamReader) -> wire.Reply:
    """Read one response. Raises OSError, or EOFError with what came where that is not all."""
    buffer = b""
    while (found := wire.read(buffer)) is None:
        data = await reader.read(1 << 16)
        if not data:
            raise EOFError(buffer)
        buffer += data
    return found


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ASKD_", "PYTHONPATH"))}
