"""`--reload` with an editable source of askd."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest

import askd
from tests.support.askd_process import AskdProcess, StartAskd
from tests.support.reload_helpers import ask_answer, save_atomically, start_with_reload

VERSION = re.compile(r'__version__ = ".*"')


async def start_from_copy(start: StartAskd, folder: Path) -> AskdProcess:
    """Start askd from a copy of its source in `folder`, where `python -m askd` finds it first."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(askd.__file__).parent, folder / "askd", ignore=ignored)
    return await start_with_reload(start, folder)


@pytest.mark.slow
async def test_saved_source_is_served(start: StartAskd, tmp_path: Path) -> None:
    """Saved source of askd is served by a new worker of the same supervisor."""
    process = await start_from_copy(start, tmp_path)
    source = tmp_path / "askd" / "__init__.py"
    save_atomically(source, VERSION.sub('__version__ = "99.0"', source.read_text(encoding="utf-8")))
    assert (await process.wait_for_event("code_reloading"))["paths"] == ["askd/__init__.py"]
    await process.wait_for_event("code_reloaded")
    assert '"version":"99.0"' in (await process.get("/openapi.json")).text
    assert await process.stop() == 0


@pytest.mark.slow
async def test_requests_wait_while_the_source_is_broken(start: StartAskd, tmp_path: Path) -> None:
    """If the source is broken, the error is logged, and requests are answered after the next good save."""
    process = await start_from_copy(start, tmp_path)
    source = tmp_path / "askd" / "cli" / "main.py"
    original = source.read_text(encoding="utf-8")
    save_atomically(source, f"{original}\ndef broken(:\n")
    await process.wait_for_event("worker_exited", nth=2)  # the second one would have served the error
    assert "SyntaxError" in process.output
    pending = asyncio.create_task(ask_answer(process))
    save_atomically(source, original)
    assert (await pending).startswith("old ")
    assert await process.stop() == 0
