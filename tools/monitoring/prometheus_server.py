"""A real Prometheus: on a free port, with its data in a folder, ended with the block that it serves."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import yaml

PROGRAM: Final = shutil.which("prometheus")
BOUND: Final = 30.0
"""Seconds after which what should come is taken never to come."""
LOOK: Final = 0.1
T = TypeVar("T")


class Prometheus:
    """A running server; `folder` has its configuration, `client` asks it."""

    def __init__(self, folder: Path, client: aiohttp.ClientSession, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._client = client

    def targets(self, jobs: Mapping[str, int]) -> None:
        """Scrape these ports of this machine from now on, by the name of the job."""
        found = [{"targets": [f"127.0.0.1:{port}"], "labels": {"job": job}} for job, port in jobs.items()]
        new = self._folder / "targets.new"
        new.write_text(json.dumps(found))
        new.replace(self._folder / "targets.json")

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate now. Raises AssertionError with Prometheus' words where it refuses."""
        return await self._ask("query", {"query": expression})

    async def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Evaluate at each step of a time, in seconds since 1970."""
        given = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        return await self._ask("query_range", given)

    async def seen(self, expression: str) -> None:
        """Return when an expression has a result. Raises TimeoutError where it gets none."""
        async with asyncio.timeout(BOUND):
            while not await self.query(expression):
                await pause(LOOK)

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire now, with their labels and annotations."""
        async with self._client.get(f"{self.url}/api/v1/alerts") as reply:
            found = (await reply.json())["data"]["alerts"]
        return [alert for alert in found if alert["state"] == "firing"]

    async def _ask(self, what: str, given: Mapping[str, str]) -> list[dict[str, Any]]:
        async with self._client.post(f"{self.url}/api/v1/{what}", data=given) as reply:
            told = await reply.json()
        assert told["status"] == "success", f"{given['query']}: {told.get('error')}"
        found: list[dict[str, Any]] = told["data"]["result"]
        return found

    async def ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Return when it answers. Raises RuntimeError with its last words where it ends instead."""
        async with asyncio.timeout(BOUND):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with self._client.get(f"{self.url}/-/ready") as reply:
                        if reply.ok:
                            return
                if process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()[-1000:])
                await pause(LOOK)


@contextlib.asynccontextmanager
async def running(folder: Path, rules: str, *, every: str = "1s", port: int = 0) -> AsyncIterator[Prometheus]:
    """Run it with these rules; it scrapes and evaluates `every` so often. Raises RuntimeError where it cannot."""
    assert PROGRAM, "prometheus is not installed (Debian: apt-get install prometheus)"
    port = port or free_port()
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(folder, every)), encoding="utf-8")
    where = [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (folder / "log").open("wb") as log:
        command = [PROGRAM, f"--config.file={folder / 'prometheus.yml'}", *where]
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - it returns at once
    try:
        async with aiohttp.ClientSession() as client:
            server = Prometheus(folder, client, port)
            server.targets({})
            await server.ready(process)
            yield server
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _configuration(folder: Path, every: str) -> dict[str, Any]:
    found = {"files": [str(folder / "targets.json")], "refresh_interval": "1s"}
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": "askd", "file_sd_configs": [found]}],
    }


def free_port(wanted: int = 0) -> int:
    """Return a port that nobody listens on; the one that is wanted, or OSError is raised."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", wanted))
        return int(free.getsockname()[1])


def until_told(work: Coroutine[Any, Any, T]) -> T | None:
    """Run to the end, or until Ctrl-C or SIGTERM: then whatever was started is ended, and None returned."""

    async def watched() -> T:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        return asyncio.run(watched())
    return None


async def pause(seconds: float) -> None:
    """Let time pass: another process' doings have no event to wait for."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
