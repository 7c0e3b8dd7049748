"""Load on a release in a cluster: the generator of k8s/load, and a function to serve."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any, Final

_FILE: Final = Path(__file__).parents[2] / "k8s" / "load" / "load.py"
_SPEC: Final = importlib.util.spec_from_file_location("load", _FILE)
assert _SPEC
assert _SPEC.loader
load: Final = importlib.util.module_from_spec(_SPEC)
sys.modules["load"] = load
_SPEC.loader.exec_module(load)

FUNCTION_SOURCE: Final = '''
import asyncio
import os
import time

SECONDS = {"slow": 4.0, "stream": 2.0}
ALLOCATED = []

async def answer(q: str) -> str:
    """Answer immediately or after a delay, or fail as the question says."""
    await asyncio.sleep(SECONDS.get(q, 0.0))
    if q == "crash":
        os._exit(1)
    if q == "hang":
        time.sleep(600)
    if q == "allocate":
        while True:
            ALLOCATED.append(bytearray(os.urandom(1 << 20)))
    return f"you asked {q}"
'''

BASE_VALUES: Final = {
    "answerer": {"spec": "answer.py:answer", "files": {"answer.py": FUNCTION_SOURCE}},
    "settings": {"deadline": "10s"},
}
FAST: Final = load.RequestKind(
    name="fast",
    path="/ask?q=fast",
    expected_text="you asked fast",
    keepalive_connections=6,
    new_connections=2,
    pause=0.05,
)
SLOW: Final = load.RequestKind(
    name="slow",
    path="/ask?q=slow",
    expected_text="you asked slow",
    keepalive_connections=8,
    new_connections=8,
)
STREAM: Final = load.RequestKind(
    name="stream",
    path="/ask?q=stream",
    accept="text/event-stream",
    expected_text="event: answer",
    keepalive_connections=2,
    new_connections=2,
)


class ClusterLoad(load.LoadGenerator):  # type: ignore[name-defined, misc]  # a module that is loaded by its path
    """The load generator, with waiting for requests."""

    async def wait_for_requests(self) -> None:
        """Wait until two more requests of each kind have finished, successfully or not."""
        before = {name: results.requests for name, results in self.results.items()}
        async with asyncio.timeout(60):
            while any(results.requests < before[name] + 2 for name, results in self.results.items()):
                await self._pause(0.05)

    def assert_no_failures(self) -> dict[str, Any]:
        """Return the report. Raises AssertionError if a request failed."""
        report: dict[str, Any] = self.report()
        assert not self.failed, report
        return report
