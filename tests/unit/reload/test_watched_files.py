"""Files that `--reload` watches, and how their changes are detected."""

import queue
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from askd.reload.watcher import SourceWatcher, WatchedFiles

TIMEOUT = 20.0
"""Seconds after which a missing report fails the test."""

Watch = Callable[[str], "queue.Queue[Sequence[str]]"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory with code."""
    monkeypatch.chdir(tmp_path)
    for name in ("main.py", "shop/app.py", "shop/deep/part.py", ".hidden/x.py", "env/pyvenv.cfg", "env/lib/x.py"):
        write(tmp_path / name)
    return tmp_path


def write(path: Path, text: str = "") -> None:
    """Write a file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def watched_files(spec: str | None, *env_files: str) -> set[str]:
    """Return the watched files, relative to the working directory."""
    return {str(Path(file).relative_to(Path.cwd())) for file in WatchedFiles(spec, env_files).scan()[1]}


ALL_CODE = {"main.py", "shop/app.py", "shop/deep/part.py"}


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        ("main.py", ALL_CODE),
        ("main.py:answer", ALL_CODE),
        ("./shop/app.py:answer", {"shop/app.py", "shop/deep/part.py"}),
        ("shop.app:answer", {"shop/app.py", "shop/deep/part.py"}),
        ("main:answer", ALL_CODE),
        ("nosuch:answer", set()),
        ("http://localhost:2024", set()),
        (None, set()),
    ],
)
def test_watched_code(spec: str | None, files: set[str]) -> None:
    """The file's folder or the package is watched, without hidden folders and virtual environments."""
    assert watched_files(spec) == files


def test_editable_askd_source_is_watched(folder: Path) -> None:
    """The templates and the code of an editable askd are watched, its caches and temporary files are not."""
    for name in ("askd/cli.py", "askd/pages/home.css", "askd/pages/.home.css.new", "askd/__pycache__/cli.pyc"):
        write(folder / name)
    folders, files = WatchedFiles(None, (), askd_source=folder / "askd").scan()
    assert {str(Path(file).relative_to(folder)) for file in files} == {"askd/cli.py", "askd/pages/home.css"}
    assert folders == [str(folder / "askd"), str(folder / "askd/pages")]


def test_configuration_is_watched(folder: Path) -> None:
    """langgraph.json, the env file that it names, .env and --env-file are watched; data files are not."""
    write(folder / "langgraph.json", '{"env": "variables"}')
    for name in (".env", "variables", "more", "data.txt", "data.json"):
        write(folder / name)
    assert watched_files("main.py") == ALL_CODE | {".env"}
    assert watched_files("langgraph.json#chat", "more") == ALL_CODE | {"langgraph.json", ".env", "variables", "more"}


def test_invalid_langgraph_json_is_watched(folder: Path) -> None:
    """A langgraph.json that is being edited is watched, although it names no env file."""
    write(folder / "langgraph.json", "{")
    assert "langgraph.json" in watched_files("langgraph.json")
    write(folder / "langgraph.json", "[]")
    assert "langgraph.json" in watched_files("langgraph.json")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """`watch(spec)` watches until the test ends, and returns the queue of reports."""
    watchers: list[SourceWatcher] = []

    def start(spec: str) -> "queue.Queue[Sequence[str]]":
        reports: queue.Queue[Sequence[str]] = queue.Queue()
        watchers.append(SourceWatcher(WatchedFiles(spec, []), reports.put))
        watchers[-1].start()
        return reports

    yield start
    for watcher in watchers:
        watcher.stop(TIMEOUT)


def test_saves_are_reported(folder: Path, watch: Watch) -> None:
    """A change, a new file, a file in a new folder, a rename and a removal are reported with their paths."""
    reports = watch("main.py")
    write(folder / "main.py", "1")
    assert reports.get(timeout=TIMEOUT) == ["main.py"]
    write(folder / "other.py")
    assert reports.get(timeout=TIMEOUT) == ["other.py"]
    write(folder / "new" / "part.py")
    assert reports.get(timeout=TIMEOUT) == ["new/part.py"]
    (folder / "other.py").rename(folder / "another.py")
    assert reports.get(timeout=TIMEOUT) == ["another.py", "other.py"]
    (folder / "another.py").unlink()
    assert reports.get(timeout=TIMEOUT) == ["another.py"]


def test_data_files_are_not_reported(folder: Path, watch: Watch) -> None:
    """Data files and caches beside the code are not reported."""
    reports = watch("main.py")
    write(folder / "data.db", "1")
    write(folder / "__pycache__" / "main.cpython-311.pyc")
    write(folder / "main.py", "1")
    assert reports.get(timeout=TIMEOUT) == ["main.py"]
    assert reports.empty()


def test_change_before_the_start_is_reported(folder: Path) -> None:
    """A change between the creation of the watcher and its start is reported."""
    reports: queue.Queue[Sequence[str]] = queue.Queue()
    watcher = SourceWatcher(WatchedFiles("main.py", []), reports.put)
    write(folder / "main.py", "1")
    watcher.start()
    assert reports.get(timeout=TIMEOUT) == ["main.py"]
    watcher.stop(TIMEOUT)


def test_added_folders_are_watched(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Changes in a folder that is added later are reported, its present files are not."""
    reports: queue.Queue[Sequence[str]] = queue.Queue()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "helper.py")
    watcher = SourceWatcher(WatchedFiles("main.py", []), reports.put)
    watcher.start()
    watcher.add_folders([str(elsewhere), str(folder / "shop")])
    write(elsewhere / "helper.py", "1")
    assert reports.get(timeout=TIMEOUT) == [str(elsewhere / "helper.py")]
    watcher.stop(TIMEOUT)
    assert reports.empty()


def test_polling_replaces_missing_events(folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are detected by polling if the system provides no file system events."""

    def fail(*_: object, **__: object) -> Iterator[object]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("watchfiles.watch", fail)
    reports = watch("main.py")
    write(folder / "main.py", "1")
    assert reports.get(timeout=TIMEOUT) == ["main.py"]
