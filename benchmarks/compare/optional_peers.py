"""Servers that are compared only where they are installed, each without a log unless it says so."""

import dataclasses
import importlib.util
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.compare.servers import LEAN, PEERS, Server, peer_server

OPTIONAL_AIMS: Final = {
    "lean aiohttp": 2.0,
    "Go net/http": 1.0,
    "nginx, JSON log": 0.75,
    "Granian": 1.0,
    "Robyn": 1.0,
    "socketify": 1.0,
    "uvicorn": 1.0,
}
"""Minimum throughput of askd, as a multiple of the other server's."""
_PYTHON_PEERS: Final = {
    "granian": ("Granian", "granian_rsgi.py"),
    "robyn": ("Robyn", "robyn_app.py"),
    "socketify": ("socketify", "socketify_app.py"),
    "uvicorn": ("uvicorn", "raw_asgi.py"),
}


def installed_peers(folder: Path) -> tuple[list[Server], list[str]]:
    """Return the servers that can run here, and the names of the others. `folder` is for compiled programs."""
    servers, missing = [LEAN], []
    for module, (name, file) in _PYTHON_PEERS.items():
        if importlib.util.find_spec(module):
            servers.append(peer_server(name, file))
        else:
            missing.append(name)
    if shutil.which("nginx"):
        servers.append(peer_server("nginx, JSON log", "nginx_return.py"))
    else:
        missing.append("nginx")
    if binary := _build_go_server(folder):
        go = peer_server("Go net/http", "go_server.go")
        command = f"{shlex.quote(str(binary))} {{port}}"
        servers.append(dataclasses.replace(go, command=command, environ={"GOMAXPROCS": "1"}))
    else:
        missing.append("Go")
    return servers, missing


def _build_go_server(folder: Path) -> Path | None:
    """Compile the Go server. Returns None if Go is not installed or fails."""
    if not shutil.which("go"):
        return None
    binary = folder / "go-server"
    command = ["go", "build", "-o", str(binary), str(PEERS / "go_server.go")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.stderr.write(result.stderr)
        return None
    return binary
