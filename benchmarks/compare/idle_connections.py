"""Memory of idle connections after one request, in askd and in the bare app."""

import contextlib
import dataclasses
import resource
import socket
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.compare import measure, report
from benchmarks.compare.servers import ASKD, BARE, RunningServer
from benchmarks.load import raw_http

AIM: Final = 1.2
"""Maximum memory of a connection, as a multiple of the bare app's."""
CONNECTIONS: Final = 1000
WARMUP_CONNECTIONS: Final = 100
"""Connections that are opened first and not counted, because the first ones allocate shared structures."""
OPEN_FILES: Final = 2048
"""Limit of open files for this process and the servers."""
ASKD_MANY_CONNECTIONS: Final = dataclasses.replace(ASKD, environ={"ASKD_MAX_CONNECTIONS": "2000"})


def run(plan: measure.Plan) -> dict[str, list[float]]:
    """Start the servers alternately, `plan.rounds` times. Returns the bytes per connection of each round."""
    _raise_open_file_limit()
    sizes: dict[str, list[float]] = {ASKD_MANY_CONNECTIONS.name: [], BARE.name: []}
    for _ in range(plan.rounds):
        for server in (ASKD_MANY_CONNECTIONS, BARE):
            with measure.running_servers([server], plan) as (process,):
                sizes[server.name].append(_bytes_per_connection(process))
    return sizes


def lines(results: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the table of the memory per connection, compared with the bare app."""
    rows, bare = [], statistics.median(results[BARE.name])
    for name, sizes in results.items():
        size = statistics.median(sizes)
        aim = report.verdict(f"≤ {AIM:g}", met=size / bare <= AIM) if name == ASKD_MANY_CONNECTIONS.name else ""
        spread = f"{min(sizes) / 1024:.1f}–{max(sizes) / 1024:.1f}"
        rows.append([name, f"{size / 1024:.1f}", spread, f"{size / bare:.2f}", aim])
    head = ("server", "KiB per connection", "lowest–highest", "÷ bare", "aim")
    return [f"## {CONNECTIONS:,} idle connections", "", *report.table(head, rows)]


def _raise_open_file_limit() -> None:
    """Raise the limit of open files for this process and its servers.

    Raises:
        RuntimeError: The hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard in range(OPEN_FILES):  # negative if unlimited
        raise RuntimeError(
            f"idle connections need {OPEN_FILES} open files, but the limit is {hard}: raise it, see ulimit -Hn"
        )
    if soft in range(OPEN_FILES):
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def _bytes_per_connection(process: RunningServer) -> float:
    """Return the memory growth per connection in bytes.

    Raises:
        RuntimeError: The server closed an idle connection.
    """
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_connect_and_ask(process.port)) for _ in range(WARMUP_CONNECTIONS)]
        before = process.resident_bytes()
        connections += [stack.enter_context(_connect_and_ask(process.port)) for _ in range(CONNECTIONS)]
        after = process.resident_bytes()
        if closed := sum(not _is_open(connection) for connection in connections):
            raise RuntimeError(f"{process.server.name} closed {closed} of {len(connections)} idle connections")
    return (after - before) / CONNECTIONS


def _connect_and_ask(port: int) -> socket.socket:
    """Open a connection and send one request."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(raw_http.get_request("/ask?q=hello"))
    data = b""
    while raw_http.parse_response(data) is None:
        data += connection.recv(1 << 16)
    connection.setblocking(False)  # so that _is_open() returns immediately
    return connection


def _is_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
