"""Servers for the official clients, each a process of its own."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@contextlib.contextmanager
def running_server(*arguments: str, script: str = "", answerers: int = 1) -> Iterator[str]:
    """Run `askd serve` with the arguments, or a script that does, until the end of the block; yield its URL."""
    command = [sys.executable, script] if script else [sys.executable, "-m", "askd", "serve"]
    process = subprocess.Popen(
        [*command, *arguments, "--port=0", "--log-format=json", "--drain-delay=0"],
        stderr=subprocess.PIPE,
        cwd=FOLDER,
        text=True,
    )
    try:
        yield _wait_until_ready(process, answerers)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_until_ready(process: "subprocess.Popen[str]", answerers: int) -> str:
    """Read the log until this number of answerers is ready; return the URL."""
    assert process.stderr is not None
    url = ""
    for line in process.stderr:
        if match := re.search(r'"event":"listening","url":"([^"]+)"', line):
            url = match[1]
        answerers -= '"event":"ready"' in line
        if url and not answerers:
            return url
    raise AssertionError("the server has ended")


@pytest.fixture(scope="session")
def functions() -> Iterator[str]:
    """Serve the functions."""
    with running_server("answerers.py:*", answerers=3) as url:
        yield url


@pytest.fixture(scope="session")
def graph() -> Iterator[str]:
    """Serve the graph that waits for input."""
    with running_server("graph.py:graph") as url:
        yield url


@pytest.fixture(scope="session")
def book() -> Iterator[str]:
    """Serve the built-in book."""
    with running_server() as url:
        yield url
