"""Which workers the supervisor starts, lets go and stands in for, whatever they say and however they end."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from service.reload.link import SWAP, Said
from service.reload.supervisor import Supervisor, _reap


class FakeChild:
    """A worker that keeps what it is told; the test speaks for it."""

    def __init__(self, pid: int, heard: "Callable[[FakeChild, Said], None]", *, takes_over: bool, fault: str | None):
        self.pid = pid
        self.takes_over = takes_over
        self.fault = fault
        self.stands_in = fault is not None
        self.told: list[object] = []
        self.last_words: Said | None = None
        """What is heard of it when it has ended, because it came as late as that."""
        self._heard = heard

    def says(self, event: str, **more: object) -> None:
        """Be heard."""
        self._heard(self, Said(event=event, **more))  # type: ignore[arg-type] # the test's own words

    def command(self, word: str) -> None:
        """Keep the word."""
        self.told.append(word)

    def signal(self, number: signal.Signals) -> None:
        """Keep the signal."""
        self.told.append(number)

    def kill(self) -> None:
        """Keep that it was killed."""
        self.told.append("kill")

    def close(self) -> None:
        """Be heard a last time."""
        if self.last_words:
            self._heard(self, self.last_words)


class FakeLauncher:
    """Starts fakes with rising process ids, or fails."""

    def __init__(self) -> None:
        self.started: list[FakeChild] = []
        self.fails = False

    def start(
        self, heard: Callable[[FakeChild, Said], None], *, takes_over: bool, fault: str | None = None
    ) -> FakeChild:
        """Start one."""
        if self.fails:
            raise OSError("no more processes")
        self.started.append(FakeChild(100 + len(self.started), heard, takes_over=takes_over, fault=fault))
        return self.started[-1]


class Stage:
    """A supervisor with fakes below it."""

    def __init__(self) -> None:
        self.launcher = FakeLauncher()
        self.watched: list[str] = []
        self.supervisor = Supervisor(self.launcher, self.watched.extend)  # type: ignore[arg-type] # a fake
        self.supervisor.start()

    @property
    def children(self) -> Sequence[FakeChild]:
        """All that were started."""
        return self.launcher.started

    def serving(self) -> FakeChild:
        """Let the last one that was started serve."""
        self.children[-1].says("serves")
        return self.children[-1]


@pytest.fixture
async def stage() -> Stage:
    """A supervisor that has started its first worker."""
    return Stage()


async def test_the_first_does_not_take_over(stage: Stage) -> None:
    """The first worker serves from its first moment; the next waits until its load is over."""
    first = stage.serving()
    stage.supervisor.changed(["main.py"])
    assert [child.takes_over for child in stage.children] == [False, True]
    assert first.told == []
    stage.serving()
    assert first.told == [SWAP]


async def test_one_that_is_loading_gives_way(stage: Stage) -> None:
    """A save while a worker is loading starts another, and lets that one go without a word of its fate."""
    stage.serving()
    stage.supervisor.changed(["main.py"])
    stage.supervisor.changed(["main.py"])
    _, second, third = stage.children
    assert (second.told, third.takes_over) == ([SWAP], True)
    second.says("serves")  # too late
    third.says("serves")
    assert third.told == []
    stage.supervisor.ended(second.pid, 1)
    assert len(stage.children) == 3


async def test_a_stand_in_that_dies_has_none(stage: Stage) -> None:
    """A worker that dies is stood in for, once: what ends the stand-in too would end the next."""
    stage.serving()
    stage.supervisor.ended(stage.children[0].pid, -signal.SIGSEGV)
    assert stage.children[1].fault == "The worker was ended by SIGSEGV. The next save starts another."
    stage.supervisor.ended(stage.children[1].pid, 1)
    assert len(stage.children) == 2
    stage.supervisor.changed(["main.py"])
    assert (stage.children[2].takes_over, stage.children[2].fault) == (False, None)


async def test_one_that_dies_while_the_next_is_loading(stage: Stage) -> None:
    """Where the next worker is about to serve anyway, nothing stands in."""
    stage.serving()
    stage.supervisor.changed(["main.py"])
    stage.supervisor.ended(stage.children[0].pid, 1)
    assert len(stage.children) == 2


async def test_a_refusal_at_the_start_ends_it(stage: Stage) -> None:
    """What is wrong from the start ends it with 2, even where it is heard no earlier than the end."""
    stage.children[0].last_words = Said(event="refuses", fault="no such file")
    stage.supervisor.ended(stage.children[0].pid, 2)
    assert await stage.supervisor.finished == 2


async def test_a_later_refusal_is_shown(stage: Stage) -> None:
    """A refusal after a save is what the stand-in says."""
    stage.serving()
    stage.supervisor.changed(["vars"])
    stage.children[1].says("refuses", fault="vars:1: no value")
    stage.supervisor.ended(stage.children[1].pid, 2)
    assert (stage.children[2].fault, stage.children[2].takes_over) == ("vars:1: no value", True)


async def test_a_signal_ends_all(stage: Stage) -> None:
    """A signal goes to the one that serves, one that is loading is let go; the code is that of the former."""
    serving = stage.serving()
    stage.supervisor.changed(["main.py"])
    stage.supervisor.signalled(signal.SIGTERM)
    stage.supervisor.changed(["main.py"])
    assert [child.told for child in stage.children] == [["SIGTERM"], [SWAP]]
    stage.supervisor.ended(serving.pid, 3)
    assert not stage.supervisor.finished.done()
    stage.supervisor.ended(stage.children[1].pid, 0)
    assert await stage.supervisor.finished == 3


async def test_the_second_signal_kills(stage: Stage) -> None:
    """The second signal kills every worker and waits for none."""
    stage.serving()
    stage.supervisor.signalled(signal.SIGINT)
    stage.supervisor.signalled(signal.SIGINT)
    assert stage.children[0].told == ["SIGINT", "kill"]
    assert await stage.supervisor.finished == 128 + signal.SIGINT


async def test_without_a_worker_a_signal_ends_it(stage: Stage) -> None:
    """Where no worker could be started, the first signal is the end, and a save tries again."""
    stage.serving()
    stage.launcher.fails = True
    stage.supervisor.ended(stage.children[0].pid, 1)
    stage.supervisor.changed(["main.py"])
    stage.supervisor.signalled(signal.SIGTERM)
    assert await stage.supervisor.finished == 0


async def test_debug_is_passed_on(stage: Stage) -> None:
    """SIGUSR1, which logs stacks, and SIGUSR2, which toggles debug, are the worker's."""
    stage.supervisor.signalled(signal.SIGUSR1)
    stage.supervisor.signalled(signal.SIGUSR2)
    assert stage.children[0].told == [signal.SIGUSR1, signal.SIGUSR2]


async def test_what_was_imported_is_watched(stage: Stage) -> None:
    """Folders that a worker names are watched too."""
    stage.children[0].says("imported", folders=["elsewhere"])
    assert stage.watched == ["elsewhere"]


def orphan() -> int:
    """Return the id of a process that has ended and was not collected."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def is_there(pid: int) -> bool:
    """Whether there is a process, or what is left of one."""
    return Path(f"/proc/{pid}").exists()


async def test_orphans_are_reaped(stage: Stage) -> None:
    """Whoever ends is collected, also a process that is no worker of ours."""
    pid = orphan()
    _reap(stage.supervisor)
    assert not is_there(pid)
    assert len(stage.children) == 1
