"""Detection of changed files: once per change, and not before the change is complete."""

import asyncio
import shutil
from pathlib import Path

import pytest

from askd import file_watcher
from askd.file_watcher import ChangeDetector, poll_forever, take_file_snapshot
from tests.support.fakes import cancelled_on_exit, wait_until
from tests.support.log_capture import LogCapture


class FakeDisk:
    """Returns the snapshot that the test sets."""

    def __init__(self) -> None:
        self.snapshot: file_watcher.FileSnapshot = (("old",),)

    def __call__(self) -> file_watcher.FileSnapshot:
        """Return the snapshot."""
        return self.snapshot


def test_unchanged_files_are_not_reported() -> None:
    """Equal snapshots are not reported as a change."""
    detector = ChangeDetector(FakeDisk())
    assert [detector.has_settled_change() for _ in range(3)] == [False] * 3


def test_change_is_reported_once_when_it_has_settled() -> None:
    """A change is reported at the second equal snapshot, once; files that keep changing are not reported."""
    disk = FakeDisk()
    detector = ChangeDetector(disk)
    reported = []
    for content in ("half", "more", "whole", "whole", "whole", "next", "next"):
        disk.snapshot = ((content,),)
        reported.append(detector.has_settled_change())
    assert reported == [False, False, False, True, False, False, True]


def test_reverted_change_is_not_reported() -> None:
    """A change that is undone before the second snapshot is not reported."""
    disk = FakeDisk()
    detector = ChangeDetector(disk)
    disk.snapshot = (("new",),)
    assert not detector.has_settled_change()
    disk.snapshot = (("old",),)
    assert [detector.has_settled_change(), detector.has_settled_change()] == [False, False]


def test_snapshot_changes_with_the_file(tmp_path: Path) -> None:
    """A missing file, new content, a replaced file and new permissions each give a different snapshot."""
    file = tmp_path / "a"
    snapshots = [take_file_snapshot([file])]
    file.write_text("one")
    snapshots.append(take_file_snapshot([file]))
    file.write_text("three")
    snapshots.append(take_file_snapshot([file]))
    shutil.copy2(file, tmp_path / "b")
    (tmp_path / "b").replace(file)
    snapshots.append(take_file_snapshot([file]))
    file.chmod(0o600)
    snapshots.append(take_file_snapshot([file]))
    assert len(set(snapshots)) == len(snapshots)
    assert take_file_snapshot([file]) == snapshots[-1]


def test_snapshot_of_an_invalid_path() -> None:
    """A path that no file can have gives a snapshot instead of an error."""
    assert take_file_snapshot([Path("a\0b")]) == take_file_snapshot([Path("a\0b")])


async def test_polling_continues_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the check is logged, and the next poll follows."""
    monkeypatch.setattr(file_watcher, "POLL_INTERVAL", 0.0)
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("unexpected")

    with LogCapture() as log:
        async with cancelled_on_exit(asyncio.create_task(poll_forever(check))):
            await wait_until(lambda: len(calls) > 2)
        assert len(log.lines("file_poll_failed")) == 1
