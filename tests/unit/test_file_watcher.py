"""File watcher: each change is reported once, and not before it is complete."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from askd.file_watcher import FileState, FileWatcher, Snapshot, take_snapshot
from tests.support.fakes import cancelled_on_exit, wait_until
from tests.support.log_capture import LogCapture


def state(version: int) -> FileState:
    return version, 0, 0, 0, 0, 0


class Setup:
    """A watcher of files on a fake disk, and the reports of their changes."""

    def __init__(self) -> None:
        self.disk: Snapshot = {"a": state(0)}
        self.reports: list[Sequence[str]] = []
        self.watcher = FileWatcher(lambda: self.disk, self.reports.append, interval=0.0, settle=0.0)

    def check(self, disk: Snapshot) -> list[Sequence[str]]:
        """Check once with these files on the disk. Returns the new reports."""
        self.disk, count = disk, len(self.reports)
        self.watcher.check()
        return self.reports[count:]


def test_change_is_reported_once_when_it_has_settled() -> None:
    """A change is reported at the second equal scan, once; files that keep changing are not reported."""
    setup = Setup()
    reported = [bool(setup.check({"a": state(version)})) for version in (0, 1, 2, 3, 3, 3, 4, 4)]
    assert reported == [False, False, False, False, True, False, False, True]


def test_reverted_change_is_not_reported() -> None:
    """A change that is undone before the second scan is not reported."""
    setup = Setup()
    assert [setup.check({"a": state(version)}) for version in (1, 0, 0)] == [[], [], []]


def test_changed_added_and_removed_files_are_reported() -> None:
    """A report has the paths of all files that are different, and no others."""
    setup = Setup()
    setup.check({"a": state(0), "b": state(0)})
    assert setup.check({"a": state(0), "b": state(0)}) == [["b"]]
    setup.check({"b": state(1), "c": state(0)})
    assert setup.check({"b": state(1), "c": state(0)}) == [["a", "b", "c"]]


def test_files_added_to_the_scan_are_not_reported() -> None:
    """Files that are watched from now on are not new, but their later changes are reported."""
    setup = Setup()
    setup.watcher.add({"b": state(0)})
    assert [setup.check({"a": state(0), "b": state(0)}) for _ in range(2)] == [[], []]
    setup.check({"a": state(0), "b": state(1)})
    assert setup.check({"a": state(0), "b": state(1)}) == [["b"]]


def test_change_since_the_files_were_read_is_reported() -> None:
    """With the snapshot of the files that were read, a change before the first scan is reported."""
    reports: list[Sequence[str]] = []
    watcher = FileWatcher(lambda: {"a": state(1)}, reports.append, known={"a": state(0)})
    watcher.check()
    watcher.check()
    assert reports == [["a"]]


def test_snapshot_changes_with_the_file(tmp_path: Path) -> None:
    """A missing file, new content, a replaced file and new permissions each give a different snapshot."""
    file = tmp_path / "a"
    snapshots = [take_snapshot([file])]
    file.write_text("one")
    snapshots.append(take_snapshot([file]))
    file.write_text("three")
    snapshots.append(take_snapshot([file]))
    shutil.copy2(file, tmp_path / "b")
    (tmp_path / "b").replace(file)
    snapshots.append(take_snapshot([file]))
    file.chmod(0o600)
    snapshots.append(take_snapshot([file]))
    assert all(snapshots.count(snapshot) == 1 for snapshot in snapshots)
    assert take_snapshot([file]) == snapshots[-1]


def test_snapshot_of_an_invalid_path() -> None:
    """A path that no file can have is a missing file."""
    assert take_snapshot([Path("a\0b")]) == {}


async def test_watching_continues_after_an_error() -> None:
    """An exception in a scan is logged, and the next scan follows."""
    setup = Setup()
    scans = iter(range(10_000))

    def scan() -> Snapshot:
        number = next(scans)
        if number == 1:
            raise RuntimeError("unexpected")
        return {"a": state(0 if number == 0 else 1)}

    watcher = FileWatcher(scan, setup.reports.append, interval=0.0, settle=0.0)
    with LogCapture() as log:
        async with cancelled_on_exit(asyncio.create_task(watcher.run())):
            await wait_until(lambda: setup.reports == [["a"]])
        assert len(log.lines("file_poll_failed")) == 1
