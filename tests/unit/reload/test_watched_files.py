"""Files that `--reload` watches, and how their changes are detected."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

import askd
from askd.file_watcher import FileWatcher
from askd.reload.watched_files import WatchedFiles
from tests.support.fakes import cancelled_on_exit

TIMEOUT = 20.0
"""Seconds after which a missing report fails the test."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory with code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(askd, "__file__", "/site-packages/askd/__init__.py")
    for name in ("main.py", "shop/app.py", "shop/deep/part.py", ".hidden/x.py", "env/pyvenv.cfg", "env/lib/x.py"):
        write(tmp_path / name)
    return tmp_path


def write(path: Path, text: str = "") -> None:
    """Write a file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def watched_files(spec: str | None, *env_files: str) -> set[str]:
    """Return the watched files, relative to the working directory."""
    return {str(Path(file).relative_to(Path.cwd())) for file in WatchedFiles(spec, env_files).scan()}


ALL_CODE = {"main.py", "shop/app.py", "shop/deep/part.py"}


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        ("main.py", ALL_CODE),
        ("main.py:answer", ALL_CODE),
        ("./shop/app.py:answer", {"shop/app.py", "shop/deep/part.py"}),
        ("shop.app:answer", ALL_CODE),
        ("main:answer", ALL_CODE),
        ("http://localhost:2024", set()),
        (None, set()),
    ],
)
def test_watched_code(spec: str | None, files: set[str]) -> None:
    """The folder of the file or the working directory is watched, without hidden folders and virtual environments."""
    assert watched_files(spec) == files


def test_editable_askd_source_is_watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The templates and the code of an editable askd are watched, its caches and temporary files are not."""
    monkeypatch.setattr(askd, "__file__", str(folder / "askd" / "__init__.py"))
    for name in ("askd/cli.py", "askd/pages/home.css", "askd/__pycache__/cli.pyc"):
        write(folder / name)
    assert watched_files(None) == {"askd/cli.py", "askd/pages/home.css"}


def test_configuration_is_watched(folder: Path) -> None:
    """langgraph.json, the env file that it names, and files of variables are watched; data files are not."""
    write(folder / "langgraph.json", '{"env": "variables"}')
    for name in (".env", "variables", "more", "data.txt", "data.json"):
        write(folder / name)
    assert watched_files("main.py", ".env") == ALL_CODE | {".env"}
    assert watched_files("langgraph.json#chat", "more") == ALL_CODE | {"langgraph.json", "variables", "more"}


def test_invalid_langgraph_json_is_watched(folder: Path) -> None:
    """A langgraph.json that is being edited is watched, although it names no env file."""
    write(folder / "langgraph.json", "{")
    assert "langgraph.json" in watched_files("langgraph.json")
    write(folder / "langgraph.json", "[]")
    assert "langgraph.json" in watched_files("langgraph.json")


def test_added_folders_are_watched(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The code in folders that are added later is watched, and returned, because it is not new."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "helper.py")
    files = WatchedFiles("main.py", [])
    added = files.add_folders([str(elsewhere), str(folder / "shop")])
    assert list(added) == [str(elsewhere / "helper.py")]
    assert added.items() <= files.scan().items()


async def test_saves_are_reported(folder: Path) -> None:
    """A change, a new file in a new folder, a rename and a removal are reported; data files and caches are not."""
    reports: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    watcher = FileWatcher(
        WatchedFiles("main.py", []).scan,
        lambda paths: loop.call_soon_threadsafe(reports.put_nowait, [os.path.relpath(path, folder) for path in paths]),
        interval=0.01,
        settle=0.01,
    )
    async with asyncio.timeout(TIMEOUT), cancelled_on_exit(asyncio.create_task(watcher.run())):
        write(folder / "data.db", "1")
        write(folder / "__pycache__" / "main.cpython-311.pyc")
        write(folder / "main.py", "1")
        assert await reports.get() == ["main.py"]
        write(folder / "new" / "part.py")
        assert await reports.get() == ["new/part.py"]
        (folder / "new" / "part.py").rename(folder / "another.py")
        assert await reports.get() == ["another.py", "new/part.py"]
        (folder / "another.py").unlink()
        assert await reports.get() == ["another.py"]
