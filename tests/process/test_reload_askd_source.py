"""`--reload` where askd's own source is what is edited."""

import re
import shutil
from pathlib import Path

import service

from .conftest import Process, Start
from .reloads import answer, reloading, save, says

VERSION = re.compile(r'__version__ = ".*"')


async def edited(start: Start, folder: Path) -> Process:
    """Start askd from a copy of its source in `folder`, which `python -m service` finds there first."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(service.__file__).parent, folder / "service", ignore=ignored)
    return await reloading(start, folder)


async def test_a_save_of_the_program_is_served(start: Start, tmp_path: Path) -> None:
    """A save of askd's source is served by another worker, below the same supervisor, and no question is refused."""
    process = await edited(start, tmp_path)
    source = tmp_path / "service" / "__init__.py"
    save(source, VERSION.sub('__version__ = "99.0"', source.read_text(encoding="utf-8")))
    assert (await process.event("reloading"))["changed"] == ["service/__init__.py"]
    await process.event("reloaded")
    assert '"version":"99.0"' in (await process.get("/openapi.json")).text
    assert await process.stop() == 0


async def test_a_broken_program_leaves_the_old_one_serving(start: Start, tmp_path: Path) -> None:
    """Source that cannot start is told in the log while the old worker goes on answering; the next save mends it."""
    process = await edited(start, tmp_path)
    before = await answer(process)
    source = tmp_path / "service" / "cli.py"
    good = source.read_text(encoding="utf-8")
    save(source, f"{good}\ndef broken(:\n")
    await process.event("worker ended")
    assert await answer(process) == before
    assert (await process.get("/livez")).status == 200
    assert "SyntaxError" in process.output
    save(source, good)
    await process.event("reloaded", nth=1)
    assert await answer(process) != before
    assert (await answer(process)).startswith("old ")
    assert says("old") == (tmp_path / "main.py").read_text(encoding="utf-8")
    assert await process.stop() == 0
