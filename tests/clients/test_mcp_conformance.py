"""The official conformance suite of MCP, with the scenarios that askd does not pass and the reasons in YAML files."""

import subprocess
from pathlib import Path

import pytest

from tests.clients.conformance_server import TOOLS
from tests.clients.conftest import FOLDER, running_server

MODULES = Path(__file__).parents[2] / ".conformance" / "node_modules"
NODE = MODULES / "node" / "bin" / "node"
SUITE = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


@pytest.mark.skipif(not NODE.exists(), reason="the suite is not installed: npm is missing")
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_conformance(tmp_path: Path, revision: str) -> None:
    """Exactly the scenarios in the file fail, of those that the revision requires."""
    with running_server(script=str(FOLDER / "conformance_server.py"), answerers=len(TOOLS)) as url:
        expected = FOLDER / f"expected-failures-{revision}.yaml"
        command = [str(NODE), str(SUITE), "server", "--url", f"{url}/mcp", "--requirements", revision]
        command += ["--expected-failures", str(expected)]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    print(result.stdout[result.stdout.find("=== SUMMARY") :])
    assert result.returncode == 0, result.stdout[-3000:]
