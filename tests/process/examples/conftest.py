"""Examples as their users run them: a real process, asked over HTTP."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.process.conftest import Process, Start, start

__all__ = ["start"]

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"
Serve = Callable[..., Awaitable[Process]]


async def ask(process: Process, query: str, **headers: str) -> tuple[int, Any]:
    """Ask with a query; return the status, and the JSON of the body, or its text where it is none."""
    reply = await process.get(f"/ask?{query}", headers=headers)
    return reply.status, json.loads(reply.text) if "json" in reply.headers["Content-Type"] else reply.text


@pytest.fixture
def serve(start: Start) -> Serve:
    """Give `serve(example)`, which runs the command of the example's first line."""

    async def serve(example: str, **variables: str) -> Process:
        process = await start("serve", str(EXAMPLES / example / "main.py"), **variables)
        await process.event("ready")
        return process

    return serve
