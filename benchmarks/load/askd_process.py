"""The askd process under test, on free ports of 127.0.0.1, with its log in a file."""

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

from benchmarks.load import raw_http
from benchmarks.load.run_options import RunOptions

WORKLOADS_FILE: Final = Path(__file__).with_name("workloads.py")
ENVIRONMENT: Final = {"ASKD_LOG_FORMAT": "json", "ASKD_PORT": "0", "ASKD_OPS_PORT": "0"}
START_TIMEOUT: Final = 30.0
"""Maximum seconds of a start."""
LOG_TAIL_LINES: Final = 3
LOG_LINE_LENGTH: Final = 300
"""Number of log lines, and characters of each, that the error of a failed start shows."""
POLL_INTERVAL: Final = 0.02
"""Seconds between two reads of the log."""


class AskdProcess:
    """A running askd. Its log goes to a file, so that nothing has to read it during the load."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self.log = log
        self.port = self.ops_port = 0
        self.stopping = False
        """Whether it was signalled to stop, after which its ports may close."""
        self._process = process

    @classmethod
    async def start(
        cls, plan: RunOptions, *arguments: str, package: str = "askd", python_path: Path | None = None, **variables: str
    ) -> "AskdProcess":
        """Start askd and wait until it is ready.

        Args:
            plan: Core of the server and directory of the log.
            *arguments: Arguments of the command line.
            package: Name of the package to run with `python -m`.
            python_path: Directory of other sources of the package; None uses the installed ones.
            **variables: Environment variables.

        Raises:
            RuntimeError: It was not ready in time; the message contains the end of its log.
        """
        number = len(list(plan.folder.glob("askd-*.log")))
        log = plan.folder / f"askd-{number}.log"
        path = {"PYTHONPATH": str(python_path)} if python_path else {}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *plan.pin_command(plan.server_core),
                *plan.server_command,
                *(sys.executable, "-m", package, *arguments),
                cwd=plan.folder,  # a directory without sources, which would take precedence
                env={**_environment(), **ENVIRONMENT, **path, **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self = cls(process, log)
        try:
            await self._wait_ready()
        except BaseException:
            await self.kill()
            raise
        return self

    async def _wait_ready(self) -> None:
        await self.wait_for_log(lambda: bool(self.events("ready")), START_TIMEOUT, "ready")
        event = self.events("listening")[0]
        self.port = urlsplit(event["url"]).port or 0
        self.ops_port = urlsplit(event["ops_url"]).port or 0

    async def wait_for_log(self, condition: Callable[[], bool], timeout: float, state: str) -> None:
        """Wait until a condition on the log holds. Raises RuntimeError with the end of the log after a time-out."""
        end = time.monotonic() + timeout
        while not condition():
            if self.has_exited or time.monotonic() > end:
                tail = "\n".join(line[-LOG_LINE_LENGTH:] for line in self.lines()[-LOG_TAIL_LINES:])
                reason = "exited" if self.has_exited else f"waited {timeout:.0f} s"
                raise RuntimeError(f"askd is not {state}: {reason}; end of its log:\n{tail}")
            await asyncio.sleep(POLL_INTERVAL)

    def lines(self) -> list[str]:
        """Return the lines of the log so far."""
        return self.log.read_text(errors="replace").splitlines()

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Return the log events so far with this name."""
        events = (json.loads(line) for line in self.lines() if line.startswith("{") and f'"{name}"' in line)
        return [event for event in events if event.get("event") == name]

    @property
    def has_exited(self) -> bool:
        """Whether the process has exited."""
        return self._process.returncode is not None

    def resident_bytes(self) -> int:
        """Return the resident memory in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_time(self) -> float:
        """Return the CPU time so far in seconds, of all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def get(self, target: str, *fields: str, ops: bool = False, timeout: float = 10.0) -> raw_http.Response:
        """Send a GET request over a new connection. Raises OSError, EOFError or TimeoutError."""
        async with asyncio.timeout(timeout):
            return await send_request(
                self.ops_port if ops else self.port, raw_http.get_request(target, *fields, "Connection: close")
            )

    async def metrics(self) -> dict[str, float]:
        """Return the value of every metric series, by name and labels as exposed."""
        text = (await self.get("/metrics", ops=True)).body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to stop the process."""
        self.stopping = True
        self._process.send_signal(number)

    async def wait_for_exit(self, timeout: float) -> int | None:
        """Return the exit code, or None if the process has not exited within `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                return await self._process.wait()
        return None

    async def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.stopping = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def running_askd(
    plan: RunOptions, *arguments: str, package: str = "askd", python_path: Path | None = None, **variables: str
) -> AsyncIterator[AskdProcess]:
    """Run askd during the block. Arguments are those of `AskdProcess.start`."""
    askd = await AskdProcess.start(plan, *arguments, package=package, python_path=python_path, **variables)
    try:
        yield askd
    finally:
        await askd.kill()


async def send_request(port: int, request: bytes) -> raw_http.Response:
    """Send a request over a new connection and return the response. Raises OSError, or EOFError if it is incomplete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        writer.write(request)
        return await read_response(reader)
    finally:
        writer.close()


async def read_response(reader: asyncio.StreamReader) -> raw_http.Response:
    """Read one response. Raises OSError, or EOFError with the received bytes if it is incomplete."""
    buffer = b""
    while (response := raw_http.parse_response(buffer)) is None:
        data = await reader.read(1 << 16)
        if not data:
            raise EOFError(buffer)
        buffer += data
    return response


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ASKD_", "PYTHONPATH"))}
