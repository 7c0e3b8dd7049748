"""Runs a real Prometheus on a free port, with its data in a folder."""

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

PROMETHEUS_BINARY: Final = shutil.which("prometheus")
TIMEOUT: Final = 30.0
"""Seconds to wait for results."""
POLL_INTERVAL: Final = 0.1
T = TypeVar("T")


class PrometheusServer:
    """A running Prometheus. `folder` contains its configuration, `client` sends the queries."""

    def __init__(self, folder: Path, client: aiohttp.ClientSession, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._client = client

    def set_targets(self, jobs: Mapping[str, int]) -> None:
        """Scrape these local ports from now on, by job name."""
        targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"job": job}} for job, port in jobs.items()]
        new_file = self._folder / "targets.new"
        new_file.write_text(json.dumps(targets))
        new_file.replace(self._folder / "targets.json")

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now. Raises AssertionError with Prometheus' message if it is rejected."""
        return await self._post("query", {"query": expression})

    async def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Evaluate an expression at each step of a time range, in Unix seconds."""
        parameters = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        return await self._post("query_range", parameters)

    async def wait_for_result(self, expression: str) -> None:
        """Wait until an expression has a result. Raises TimeoutError."""
        async with asyncio.timeout(TIMEOUT):
            while not await self.query(expression):
                await pause(POLL_INTERVAL)

    async def firing_alerts(self) -> list[dict[str, Any]]:
        """Return the firing alerts with labels and annotations."""
        async with self._client.get(f"{self.url}/api/v1/alerts") as response:
            alerts = (await response.json())["data"]["alerts"]
        return [alert for alert in alerts if alert["state"] == "firing"]

    async def _post(self, endpoint: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        async with self._client.post(f"{self.url}/api/v1/{endpoint}", data=parameters) as response:
            body = await response.json()
        assert body["status"] == "success", f"{parameters['query']}: {body.get('error')}"
        result: list[dict[str, Any]] = body["data"]["result"]
        return result

    async def wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait until the server is ready. Raises RuntimeError with the end of its log if it exits."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with self._client.get(f"{self.url}/-/ready") as response:
                        if response.ok:
                            return
                if process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()[-1000:])
                await pause(POLL_INTERVAL)


@contextlib.asynccontextmanager
async def running_prometheus(
    folder: Path, rules: str, *, scrape_interval: str = "1s", port: int = 0
) -> AsyncIterator[PrometheusServer]:
    """Run Prometheus with these rules. Raises RuntimeError if it does not start.

    Args:
        folder: Receives configuration, data and log.
        rules: Content of the rule file.
        scrape_interval: Interval of scrapes and evaluations.
        port: Port to listen on; 0 chooses a free one.
    """
    assert PROMETHEUS_BINARY, "prometheus is not installed (Debian: apt-get install prometheus)"
    port = port or free_port()
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(folder, scrape_interval)), encoding="utf-8")
    options = [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (folder / "log").open("wb") as log:
        command = [PROMETHEUS_BINARY, f"--config.file={folder / 'prometheus.yml'}", *options]
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - it returns at once
    try:
        async with aiohttp.ClientSession() as client:
            server = PrometheusServer(folder, client, port)
            server.set_targets({})
            await server.wait_ready(process)
            yield server
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _configuration(folder: Path, interval: str) -> dict[str, Any]:
    discovery = {"files": [str(folder / "targets.json")], "refresh_interval": "1s"}
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": "askd", "file_sd_configs": [discovery]}],
    }


def free_port(wanted: int = 0) -> int:
    """Return the wanted port, or a free one for 0. Raises OSError if the wanted port is in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", wanted))
        return int(listener.getsockname()[1])


def run_until_interrupted(work: Coroutine[Any, Any, T]) -> T | None:
    """Run until the end, or until Ctrl-C or SIGTERM, which cancel the work; return None then."""

    async def run_cancellable() -> T:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        return asyncio.run(run_cancellable())
    return None


async def pause(seconds: float) -> None:
    """Sleep, because another process offers no event to wait for."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)
