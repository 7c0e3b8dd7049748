"""Load on a release in a cluster, by the generator of k8s/load."""

import asyncio
import importlib.util
import json
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
_MCP_META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
_MCP_PARAMS: Final = {"name": "answer", "arguments": {"q": "fast"}, "_meta": _MCP_META}
MCP: Final = load.RequestKind(
    name="mcp",
    path="/mcp",
    accept="application/json, text/event-stream",
    headers=("MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: answer"),
    body=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": _MCP_PARAMS}),
    expected_text="you asked fast",
    keepalive_connections=6,
    new_connections=2,
    pause=0.05,
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
