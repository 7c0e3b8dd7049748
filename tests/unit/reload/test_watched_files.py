"""What counts as the user's code, and how its changes are noticed."""

import queue
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from service.reload.places import Places
from service.reload.watch import Watch

BOUND = 20.0
"""Seconds after which a change is taken never to be noticed."""

Watching = Callable[[str], "queue.Queue[Sequence[str]]"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the code, which each test starts in."""
    monkeypatch.chdir(tmp_path)
    for name in ("main.py", "shop/app.py", "shop/deep/part.py", ".hidden/x.py", "env/pyvenv.cfg", "env/lib/x.py"):
        write(tmp_path / name)
    return tmp_path


def write(path: Path, text: str = "") -> None:
    """Write a file, and its folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def counted(spec: str | None, *env_files: str) -> set[str]:
    """The files that count, as seen from the current folder."""
    return {str(Path(file).relative_to(Path.cwd())) for file in Places(spec, env_files).look()[1]}


ALL = {"main.py", "shop/app.py", "shop/deep/part.py"}


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        ("main.py", ALL),
        ("main.py:answer", ALL),
        ("./shop/app.py:answer", {"shop/app.py", "shop/deep/part.py"}),
        ("shop.app:answer", {"shop/app.py", "shop/deep/part.py"}),
        ("main:answer", ALL),
        ("nosuch:answer", set()),
        ("http://localhost:2024", set()),
        (None, set()),
    ],
)
def test_what_counts(spec: str | None, files: set[str]) -> None:
    """The file's folder or the package, with what is below, but for hidden folders and virtual environments."""
    assert counted(spec) == files


def test_the_program_counts_where_it_is_edited(folder: Path) -> None:
    """Of askd's own source the pages count as the code does, with all that is below; what it caches does not."""
    for name in ("askd/cli.py", "askd/pages/home.css", "askd/pages/.home.css.new", "askd/__pycache__/cli.pyc"):
        write(folder / name)
    seen = Places(None, (), program=folder / "askd").look()
    assert {str(Path(file).relative_to(folder)) for file in seen[1]} == {"askd/cli.py", "askd/pages/home.css"}
    assert seen[0] == [str(folder / "askd"), str(folder / "askd/pages")]


def test_what_counts_beside_code(folder: Path) -> None:
    """langgraph.json, the variables that it names, .env and --env-file count; data does not."""
    write(folder / "langgraph.json", '{"env": "variables"}')
    for name in (".env", "variables", "more", "data.txt", "data.json"):
        write(folder / name)
    assert counted("main.py") == ALL | {".env"}
    assert counted("langgraph.json#chat", "more") == ALL | {"langgraph.json", ".env", "variables", "more"}


def test_a_broken_langgraph_json_counts(folder: Path) -> None:
    """A langgraph.json in the midst of an edit names no variables, and counts all the same."""
    write(folder / "langgraph.json", "{")
    assert "langgraph.json" in counted("langgraph.json")
    write(folder / "langgraph.json", "[]")
    assert "langgraph.json" in counted("langgraph.json")


@pytest.fixture
def watching() -> Iterator[Watching]:
    """Give `watching(spec)`, which watches until the test is over and returns what is reported."""
    watches: list[Watch] = []

    def start(spec: str) -> "queue.Queue[Sequence[str]]":
        reports: queue.Queue[Sequence[str]] = queue.Queue()
        watches.append(Watch(Places(spec, []), reports.put))
        watches[-1].start()
        return reports

    yield start
    for watch in watches:
        watch.stop(BOUND)


def test_saves_are_reported(folder: Path, watching: Watching) -> None:
    """A change, a new file, a file in a new folder, a rename and a removal are each reported, by name."""
    reports = watching("main.py")
    write(folder / "main.py", "1")
    assert reports.get(timeout=BOUND) == ["main.py"]
    write(folder / "other.py")
    assert reports.get(timeout=BOUND) == ["other.py"]
    write(folder / "new" / "part.py")
    assert reports.get(timeout=BOUND) == ["new/part.py"]
    (folder / "other.py").rename(folder / "another.py")
    assert reports.get(timeout=BOUND) == ["another.py", "other.py"]
    (folder / "another.py").unlink()
    assert reports.get(timeout=BOUND) == ["another.py"]


def test_data_is_not_reported(folder: Path, watching: Watching) -> None:
    """What a program writes beside its code does not restart it."""
    reports = watching("main.py")
    write(folder / "data.db", "1")
    write(folder / "__pycache__" / "main.cpython-311.pyc")
    write(folder / "main.py", "1")
    assert reports.get(timeout=BOUND) == ["main.py"]
    assert reports.empty()


def test_no_save_falls_before_the_start(folder: Path) -> None:
    """A save between the first look and the start of the watch is reported."""
    reports: queue.Queue[Sequence[str]] = queue.Queue()
    watch = Watch(Places("main.py", []), reports.put)
    write(folder / "main.py", "1")
    watch.start()
    assert reports.get(timeout=BOUND) == ["main.py"]
    watch.stop(BOUND)


def test_folders_may_be_added(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder that is added later is watched from then on: what is in it already is no change."""
    reports: queue.Queue[Sequence[str]] = queue.Queue()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "helper.py")
    watch = Watch(Places("main.py", []), reports.put)
    watch.start()
    watch.also([str(elsewhere), str(folder / "shop")])
    write(elsewhere / "helper.py", "1")
    assert reports.get(timeout=BOUND) == [str(elsewhere / "helper.py")]
    watch.stop(BOUND)
    assert reports.empty()


def test_without_events_it_looks_now_and_then(
    folder: Path, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the machine has no file events to give, saves are found all the same."""

    def none_left(*_: object, **__: object) -> Iterator[object]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("watchfiles.watch", none_left)
    reports = watching("main.py")
    write(folder / "main.py", "1")
    assert reports.get(timeout=BOUND) == ["main.py"]
