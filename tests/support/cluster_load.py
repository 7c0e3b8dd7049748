"""The load of k8s/load, used from outside the cluster, and the code that it asks."""

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

CODE: Final = '''
import asyncio
import os
import time

WAITS = {"slow": 4.0, "stream": 2.0}
HELD = []

async def answer(q: str) -> str:
    """Answer at once, or after a while, or misbehave."""
    await asyncio.sleep(WAITS.get(q, 0.0))
    if q == "crash":
        os._exit(1)
    if q == "hang":
        time.sleep(600)
    if q == "eat":
        while True:
            HELD.append(bytearray(os.urandom(1 << 20)))
    return f"you asked {q}"
'''
"""A user's function, unchanged: what a cluster has to keep alive."""

VALUES: Final = {
    "answerer": {"spec": "answer.py:answer", "files": {"answer.py": CODE}},
    "settings": {"deadline": "10s"},
}
FAST: Final = load.Kind(name="fast", path="/ask?q=fast", holds="you asked fast", kept=6, fresh=2, pause=0.05)
SLOW: Final = load.Kind(name="slow", path="/ask?q=slow", holds="you asked slow", kept=8, fresh=8, pause=0.1)
STREAM: Final = load.Kind(
    name="stream", path="/ask?q=stream", accept="text/event-stream", holds="event: answer", kept=2, fresh=2, pause=0.1
)


class Load(load.Load):  # type: ignore[name-defined, misc]  # a module that is loaded by its path
    """The load, with a way to wait for it."""

    async def warm(self) -> None:
        """Return when two more of each kind have ended, well or not: what happens meanwhile is under load."""
        before = {name: tally.good + len(tally.failures) for name, tally in self.tallies.items()}
        async with asyncio.timeout(60):
            while any(t.good + len(t.failures) < before[name] + 2 for name, t in self.tallies.items()):
                await self._pause(0.05)

    def clean(self) -> dict[str, Any]:
        """Return the figures. Raises AssertionError where a request failed."""
        report: dict[str, Any] = self.report()
        assert not self.failed, report
        return report
