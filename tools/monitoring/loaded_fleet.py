"""A small fleet of askd under load, with a Prometheus that scrapes it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from benchmarks.load.askd_process import running_askd
from benchmarks.load.run_options import RunOptions
from tools.monitoring import prometheus_server
from tools.monitoring.background_load import background_load
from tools.monitoring.generated_files import render_rules
from tools.monitoring.parameters import Parameters
from tools.monitoring.prometheus_server import PrometheusServer
from tools.monitoring.recording_rules import ASK_ROUTE, REQUEST_DURATION

_FUNCTION_SOURCE: Final = """
import asyncio, random

async def answer(q: str) -> str | None:
    await asyncio.sleep(random.expovariate(20))
    if q.startswith("fail"):
        raise ValueError(q)
    return None if q.startswith("unknown") else q.upper()

answer.deterministic = True
"""

_ROUNDS: Final = 600
QUESTIONS: Final = [
    f"{word} {number % 5 if word == 'hello' else number}"
    for number in range(_ROUNDS)
    for word in ("hello", "what is", "explain", "unknown" if number % 5 else "fail")
]
"""Some questions repeat, most are unique; a fifth get a 404, and one in twenty fails."""


@contextlib.asynccontextmanager
async def loaded_fleet(folder: Path, *, scale: float = 60, rate: float = 40) -> AsyncIterator[PrometheusServer]:
    """Run two overloaded replicas, scraped every second; one of them is draining when the block begins."""
    (folder / "prometheus").mkdir()
    (folder / "answers.py").write_text(_FUNCTION_SOURCE)
    plan, environ = (
        RunOptions(folder=folder),
        {"ASKD_CONCURRENCY": "2", "ASKD_QUEUE_SIZE": "2", "ASKD_DRAIN_DELAY": "60s"},
    )
    async with contextlib.AsyncExitStack() as stack:
        replicas = [stack.enter_async_context(_replica(plan, environ)) for _ in range(2)]
        first, second = await asyncio.gather(*replicas)
        running = prometheus_server.running_prometheus(folder / "prometheus", render_rules(Parameters(scale=scale)))
        server = await stack.enter_async_context(running)
        server.set_targets({"one": first.ops_port, "two": second.ops_port})
        for askd in (first, second):
            await stack.enter_async_context(background_load(askd.port, rate=rate, questions=QUESTIONS))
        answered = f'{REQUEST_DURATION}_count{{{ASK_ROUTE},http_response_status_code="200"}}'
        await server.wait_for_result(f"count(increase({answered}[5s]) > 0) == 2")
        second.send_signal(signal.SIGTERM)
        await server.wait_for_result("askd_draining == 1")
        yield server


def _replica(plan: RunOptions, environ: dict[str, str]) -> Any:
    return running_askd(plan, "serve", "answers.py:answer", python_path=None, **environ)
