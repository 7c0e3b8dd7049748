"""Memory of idle connections, each of which has asked once, of askd and of the bare app."""

import contextlib
import dataclasses
import resource
import socket
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from tests.figures import wire

from . import measure, report
from .servers import ASKD, BARE, Running

AIM: Final = 1.2
"""Memory of a connection as a multiple of the bare app's, at most."""
CONNECTIONS: Final = 1000
BEFORE: Final = 100
"""Connections that are made first and do not count: what the first ones need, the others find there."""
FILES: Final = 2048
"""Files that this process and the servers may have open at once."""
ROOMY: Final = dataclasses.replace(ASKD, environ={"ASKD_MAX_CONNECTIONS": "2000"})


def run(plan: measure.Plan) -> dict[str, list[float]]:
    """Start the servers in turns, `plan.rounds` times; returns bytes for each connection."""
    _allow_files()
    found: dict[str, list[float]] = {ROOMY.name: [], BARE.name: []}
    for _ in range(plan.rounds):
        for server in (ROOMY, BARE):
            with measure.started([server], plan) as (process,):
                found[server.name].append(_growth(process))
    return found


def lines(found: Mapping[str, Sequence[float]]) -> list[str]:
    """Table of the memory of a connection, against the bare app."""
    rows, bare = [], statistics.median(found[BARE.name])
    for name, sizes in found.items():
        size = statistics.median(sizes)
        aim = report.verdict(f"≤ {AIM:g}", met=size / bare <= AIM) if name == ROOMY.name else ""
        spread = f"{min(sizes) / 1024:.1f}–{max(sizes) / 1024:.1f}"
        rows.append([name, f"{size / 1024:.1f}", spread, f"{size / bare:.2f}", aim])
    head = ("server", "KiB a connection", "lowest–highest", "÷ bare", "aim")
    return [f"## {CONNECTIONS:,} idle connections", "", *report.table(head, rows)]


def _allow_files() -> None:
    """Let this process, and the servers that it starts, have enough open files. Raises RuntimeError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard in range(FILES):  # it is below 0 where there is no limit
        raise RuntimeError(f"idle connections need {FILES} open files, and only {hard} are allowed: see ulimit -Hn")
    if soft in range(FILES):
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def _growth(process: Running) -> float:
    """Return the bytes by which a connection lets the server grow. Raises RuntimeError where it does not keep all."""
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(_asked(process.port)) for _ in range(BEFORE)]
        before = process.resident()
        kept += [stack.enter_context(_asked(process.port)) for _ in range(CONNECTIONS)]
        after = process.resident()
        if gone := sum(not _open(each) for each in kept):
            raise RuntimeError(f"{process.server.name} has closed {gone} of {len(kept)} idle connections")
    return (after - before) / CONNECTIONS


def _asked(port: int) -> socket.socket:
    """Connect, and ask once."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(wire.get("/ask?q=hello"))
    data = b""
    while wire.read(data) is None:
        data += connection.recv(1 << 16)
    connection.setblocking(False)  # from now on it is only looked at
    return connection


def _open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
