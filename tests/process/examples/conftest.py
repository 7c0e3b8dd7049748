"""Run the examples of the documentation as processes, and send them questions."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.askd_process import AskdProcess, StartAskd, start

__all__ = ["start"]

EXAMPLES: Final = Path(__file__).parents[3] / "docs" / "examples"
ServeExample = Callable[..., Awaitable[AskdProcess]]


async def ask_query(process: AskdProcess, query: str, **headers: str) -> tuple[int, Any]:
    """Send a query. Returns the status, and the body as JSON or text."""
    response = await process.get(f"/ask?{query}", headers=headers)
    return response.status, json.loads(response.text) if "json" in response.headers["Content-Type"] else response.text


@pytest.fixture
def serve(start: StartAskd) -> ServeExample:
    """`serve(example)` runs the command in the first line of the example."""

    async def serve_example(example: str, **variables: str) -> AskdProcess:
        process = await start("serve", str(EXAMPLES / example / "main.py"), **variables)
        await process.wait_for_event("ready")
        return process

    return serve_example
