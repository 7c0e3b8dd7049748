"""Supervisor of --reload: crashed workers, signals and exit codes. Shell scripts take the place of workers."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from askd.config import Settings
from askd.httpserver.sockets import Listeners
from askd.reload.supervisor import Supervisor
from askd.reload.watched_files import WatchedFiles

TIMEOUT = 20.0
"""Seconds after which a missing event fails the test."""

SERVING = """
trap 'echo TERM >> signals; echo > notify; exit 0' TERM
trap 'echo USR1 >> signals; echo > notify' USR1
echo "$_ASKD_WORKER" >> workers
echo > notify
while :; do read -t 0.05 _ < fifo; done
"""
HANGING = SERVING.replace("; exit 0", "")


def crashing(exit_command: str) -> str:
    """Return a worker that ends at once."""
    return f'echo "$_ASKD_WORKER" >> workers\necho > notify\n{exit_command}\n'


class NotifyingSupervisor(Supervisor):
    """Supervisor that sets an event when it has reaped processes."""

    def __init__(self, notified: asyncio.Event) -> None:
        super().__init__(Settings(), Listeners([], None, ""), WatchedFiles("main.py", ()))
        self._notified = notified

    def _reap_children(self) -> None:
        super()._reap_children()
        self._notified.set()


class Setup:
    """A supervisor whose workers run the shell script `worker` in the working directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notified = asyncio.Event()
        self.supervisor = NotifyingSupervisor(self._notified)
        self._running: asyncio.Task[int] | None = None
        os.mkfifo(folder / "notify")
        self._notify_fd = os.open(folder / "notify", os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._notify_fd, self._on_notification)

    def _on_notification(self) -> None:
        os.read(self._notify_fd, 4096)
        self._notified.set()

    def close(self) -> None:
        """Stop waiting for notifications of the workers."""
        asyncio.get_running_loop().remove_reader(self._notify_fd)
        os.close(self._notify_fd)

    async def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is evaluated after each notification."""
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                await self._notified.wait()
                self._notified.clear()

    @property
    def exit_code(self) -> "asyncio.Task[int]":
        """The running supervisor."""
        assert self._running
        return self._running

    async def start(self, script: str, count: int = 1) -> None:
        """Start the supervisor, and wait until so many workers were started."""
        self.write_worker(script)
        self._running = asyncio.create_task(self.supervisor.run())
        await asyncio.sleep(0)  # lets it install its signal handlers
        await self.wait_for_workers(count)

    def write_worker(self, script: str) -> None:
        """Let workers that are started from now on run this script."""
        (self.folder / "worker").write_text(script)

    def workers(self) -> list[dict[str, Any]]:
        """Return the start parameters of all workers."""
        file = self.folder / "workers"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def signals(self) -> list[str]:
        """Return the signals that workers have received."""
        file = self.folder / "signals"
        return file.read_text().split() if file.exists() else []

    async def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers were started."""
        await self.wait_until(lambda: len(self.workers()) == count)

    def save(self) -> None:
        """Change a watched file."""
        (self.folder / "main.py").write_text(f"# {len(self.workers())}")


@pytest.fixture
async def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setup]:
    """A supervisor that is not running yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/bash")
    monkeypatch.setattr(sys, "orig_argv", ["python", "worker"])
    (tmp_path / "main.py").touch()
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)  # reading from it does not block the start of the shell's `read`
    setup = Setup(tmp_path)
    yield setup
    if not setup.exit_code.done():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    await setup.exit_code
    # A worker that ended later would signal this process while the event loop is closing.
    await setup.wait_until(lambda: not setup.supervisor._workers)
    setup.close()
    os.close(fifo)


async def test_change_replaces_the_worker(setup: Setup) -> None:
    """After a change, the old worker is stopped and another one started with the time of the change."""
    await setup.start(SERVING)
    setup.save()
    await setup.wait_for_workers(2)
    await setup.wait_until(lambda: setup.signals() == ["TERM"])
    first, second = setup.workers()
    assert first["changed_at"] is None
    assert second["changed_at"] > 0


async def test_crashed_worker_is_replaced_once(setup: Setup) -> None:
    """A worker that serves the error replaces a crashed one; if it crashes too, a change starts the next."""
    await setup.start(crashing("kill -SEGV $$"), count=2)
    errors = [worker["load_error"] for worker in setup.workers()]
    assert errors == ["", "The worker was killed by SIGSEGV. Save a file to restart it."]
    await setup.wait_until(lambda: not setup.supervisor._workers)
    setup.write_worker(SERVING)
    setup.save()
    await setup.wait_for_workers(3)
    assert setup.workers()[2]["load_error"] == ""


async def test_failed_start_of_the_first_worker(setup: Setup) -> None:
    """If the first worker exits with 2, so does the supervisor."""
    await setup.start(crashing("exit 2"))
    assert await setup.exit_code == 2


async def test_signal_without_a_worker(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no worker can be started, the first signal ends the supervisor."""
    monkeypatch.setattr(sys, "executable", "/nosuch")
    await setup.start(SERVING, count=0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await setup.exit_code == 0


async def test_second_signal_kills_the_workers(setup: Setup) -> None:
    """A second signal kills every worker, also those that have been replaced."""
    await setup.start(HANGING)
    setup.save()
    await setup.wait_for_workers(2)
    os.kill(os.getpid(), signal.SIGINT)
    await setup.wait_until(lambda: setup.signals() == ["TERM", "TERM"])
    os.kill(os.getpid(), signal.SIGINT)
    assert await setup.exit_code == 128 + signal.SIGINT


async def test_diagnostic_signals_are_passed_on(setup: Setup) -> None:
    """SIGUSR1 (stack dump) is passed on to the worker."""
    await setup.start(SERVING)
    os.kill(os.getpid(), signal.SIGUSR1)
    await setup.wait_until(lambda: setup.signals() == ["USR1"])


async def test_orphans_are_reaped(setup: Setup) -> None:
    """Every exited child is reaped, even if it is not a worker, because the supervisor may be process 1."""
    await setup.start(SERVING)
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)  # noqa: ASYNC221 - it only starts one
    await setup.wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert len(setup.workers()) == 1
