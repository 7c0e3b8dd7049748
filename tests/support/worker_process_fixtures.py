"""Fixtures that start code in worker processes, and ask it."""

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from askd.answerers.registry import create_answerer
from askd.answerers.worker_processes.answerer import WorkerProcessAnswerer
from askd.config import Settings
from askd.models import Question

TIMEOUT: Final = 30.0
"""Seconds after which a missing event fails the test."""

StartWorkers = Callable[..., Awaitable[WorkerProcessAnswerer]]


def create_workers(folder: Path, code: str, *, name: str = "answer", **settings: Any) -> WorkerProcessAnswerer:
    """Write the code to a file in the folder; return its answerer, not loaded, with one worker process by default."""
    (folder / "code.py").write_text(textwrap.dedent(code))
    answerer = create_answerer(Settings(answerer=f"code.py:{name}", **{"processes": 1, **settings}))
    assert isinstance(answerer, WorkerProcessAnswerer)
    return answerer


@pytest.fixture
async def start_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartWorkers]:
    """`start_workers(code, **settings)` loads the code in worker processes; they are stopped after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "warnoptions", [])  # pytest's filters are not those of a server
    async with AsyncExitStack() as stack:

        async def start(code: str, **settings: Any) -> WorkerProcessAnswerer:
            answerer = create_workers(tmp_path, code, **settings)
            stack.push_async_callback(answerer.close)
            await answerer.load(lambda _line: None)
            return answerer

        yield start


async def ask(answerer: WorkerProcessAnswerer, text: str = "q", **parameters: Any) -> str:
    """Ask a question with parameters as in JSON; return the text of the answer."""
    parsed = answerer.parse_parameters(parameters, from_strings=False)
    return (await answerer.answer(Question(text=text, parameters=parsed))).text


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, which other processes change. The test fails after TIMEOUT."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - no event says what happens in another process
            await asyncio.sleep(0)
