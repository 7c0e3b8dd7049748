"""Changes on disk are noticed once each, and never while they are being made."""

import asyncio
import shutil
from pathlib import Path

import pytest

from service import changes
from service.changes import Changes, state, watch
from tests.fakes import settled, until
from tests.telemetry.captured import Captured


class Seen:
    """What a look at the disk finds, as a test says."""

    def __init__(self) -> None:
        self.now: changes.State = (("old",),)

    def __call__(self) -> changes.State:
        """Look."""
        return self.now


def test_what_stays_is_no_change() -> None:
    """Nothing is new where nothing has changed."""
    noticed = Changes(Seen())
    assert [noticed.settled() for _ in range(3)] == [False] * 3


def test_a_change_is_told_once_when_it_has_settled() -> None:
    """A change counts from the second look that sees it, once; one that goes on changing waits."""
    seen = Seen()
    noticed = Changes(seen)
    told = []
    for now in ("half", "more", "whole", "whole", "whole", "next", "next"):
        seen.now = ((now,),)
        told.append(noticed.settled())
    assert told == [False, False, False, True, False, False, True]


def test_what_is_taken_back_is_no_change() -> None:
    """What is as before at the second look was never another."""
    seen = Seen()
    noticed = Changes(seen)
    seen.now = (("new",),)
    assert not noticed.settled()
    seen.now = (("old",),)
    assert [noticed.settled(), noticed.settled()] == [False, False]


def test_the_state_changes_with_the_file(tmp_path: Path) -> None:
    """Another content, another file of the same name, other permissions and no file are each another state."""
    file = tmp_path / "a"
    states = [state([file])]
    file.write_text("one")
    states.append(state([file]))
    file.write_text("three")
    states.append(state([file]))
    shutil.copy2(file, tmp_path / "b")
    (tmp_path / "b").replace(file)
    states.append(state([file]))
    file.chmod(0o600)
    states.append(state([file]))
    assert len(set(states)) == len(states)
    assert state([file]) == states[-1]


def test_a_name_that_can_lead_nowhere_has_a_state() -> None:
    """No name makes the look fail, not even one that no file can have."""
    assert state([Path("a\0b")]) == state([Path("a\0b")])


async def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch goes on after a look that raised, and logs it."""
    monkeypatch.setattr(changes, "EVERY", 0.0)
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a fault of ours")

    with Captured() as log:
        async with settled(asyncio.create_task(watch(look))):
            await until(lambda: len(looks) > 2)
        assert len(log.lines("a look at the disk failed")) == 1
