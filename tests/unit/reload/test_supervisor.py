"""Supervisor: which workers it starts and stops, whatever they report and however they exit."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from askd.reload.supervisor import Supervisor, _reap_children
from askd.reload.worker_process import SWAP_COMMAND, WorkerMessage


class FakeWorker:
    """A worker that records commands and signals; the test sends its messages."""

    def __init__(
        self,
        pid: int,
        on_message: "Callable[[FakeWorker, WorkerMessage], None]",
        *,
        replaces_running_worker: bool,
        load_error: str | None,
    ) -> None:
        self.pid = pid
        self.replaces_running_worker = replaces_running_worker
        self.load_error = load_error
        self.serves_load_error = load_error is not None
        self.received: list[object] = []
        self.unread_message: WorkerMessage | None = None
        """Message that the supervisor reads only after the exit."""
        self._on_message = on_message

    def send_message(self, event: str, **fields: object) -> None:
        """Send a message to the supervisor."""
        self._on_message(self, WorkerMessage(event=event, **fields))  # type: ignore[arg-type] # events of the test

    def send_command(self, command: str) -> None:
        """Record a command."""
        self.received.append(command)

    def send_signal(self, number: signal.Signals) -> None:
        """Record a signal."""
        self.received.append(number)

    def kill(self) -> None:
        """Record that it was killed."""
        self.received.append("kill")

    def close(self) -> None:
        """Deliver the unread message."""
        if self.unread_message:
            self._on_message(self, self.unread_message)


class FakeLauncher:
    """Starts fake workers with increasing process ids, or fails."""

    def __init__(self) -> None:
        self.workers: list[FakeWorker] = []
        self.fails = False

    def start(
        self,
        on_message: Callable[[FakeWorker, WorkerMessage], None],
        *,
        replaces_running_worker: bool,
        load_error: str | None = None,
    ) -> FakeWorker:
        """Start a worker."""
        if self.fails:
            raise OSError("no more processes")
        worker = FakeWorker(
            100 + len(self.workers),
            on_message,
            replaces_running_worker=replaces_running_worker,
            load_error=load_error,
        )
        self.workers.append(worker)
        return worker


class Setup:
    """A supervisor with fake workers, of which the first has been started."""

    def __init__(self) -> None:
        self.launcher = FakeLauncher()
        self.watched: list[str] = []
        self.supervisor = Supervisor(self.launcher, self.watched.extend)  # type: ignore[arg-type] # a fake
        self.supervisor.start()

    @property
    def workers(self) -> Sequence[FakeWorker]:
        """All workers that were started."""
        return self.launcher.workers

    def serve(self) -> FakeWorker:
        """Let the last worker serve."""
        self.workers[-1].send_message("serving")
        return self.workers[-1]


@pytest.fixture
async def setup() -> Setup:
    """Supervisor that has started its first worker."""
    return Setup()


async def test_only_later_workers_wait_for_their_load(setup: Setup) -> None:
    """The first worker listens at once, the second replaces it when its load is over."""
    first = setup.serve()
    setup.supervisor.on_files_changed(["main.py"])
    assert [worker.replaces_running_worker for worker in setup.workers] == [False, True]
    assert first.received == []
    setup.serve()
    assert first.received == [SWAP_COMMAND]


async def test_change_during_a_load_stops_the_loading_worker(setup: Setup) -> None:
    """A change stops a worker that is still loading, and its exit is not an error."""
    setup.serve()
    setup.supervisor.on_files_changed(["main.py"])
    setup.supervisor.on_files_changed(["main.py"])
    _, second, third = setup.workers
    assert (second.received, third.replaces_running_worker) == ([SWAP_COMMAND], True)
    second.send_message("serving")  # too late
    third.send_message("serving")
    assert third.received == []
    setup.supervisor.on_process_exit(second.pid, 1)
    assert len(setup.workers) == 3


async def test_crashed_worker_is_replaced_once(setup: Setup) -> None:
    """A crashed worker is replaced by one that serves the error; if that one crashes too, nothing is started."""
    setup.serve()
    setup.supervisor.on_process_exit(setup.workers[0].pid, -signal.SIGSEGV)
    assert setup.workers[1].load_error == "The worker was killed by SIGSEGV. Save a file to restart it."
    setup.supervisor.on_process_exit(setup.workers[1].pid, 1)
    assert len(setup.workers) == 2
    setup.supervisor.on_files_changed(["main.py"])
    assert (setup.workers[2].replaces_running_worker, setup.workers[2].load_error) == (False, None)


async def test_crash_while_the_next_worker_is_loading(setup: Setup) -> None:
    """A crashed worker is not replaced if the next one is about to serve."""
    setup.serve()
    setup.supervisor.on_files_changed(["main.py"])
    setup.supervisor.on_process_exit(setup.workers[0].pid, 1)
    assert len(setup.workers) == 2


async def test_start_error_of_the_first_worker_ends_the_supervisor(setup: Setup) -> None:
    """The supervisor exits with 2 if the first worker cannot start, even if it reads that after the exit."""
    setup.workers[0].unread_message = WorkerMessage(event="start_failed", error="no such file")
    setup.supervisor.on_process_exit(setup.workers[0].pid, 2)
    assert await setup.supervisor.exit_code == 2


async def test_start_error_of_a_later_worker_is_served(setup: Setup) -> None:
    """If a worker cannot start after a change, the next one serves its error."""
    setup.serve()
    setup.supervisor.on_files_changed(["vars"])
    setup.workers[1].send_message("start_failed", error="vars:1: no value")
    setup.supervisor.on_process_exit(setup.workers[1].pid, 2)
    assert (setup.workers[2].load_error, setup.workers[2].replaces_running_worker) == ("vars:1: no value", True)


async def test_signal_stops_all_workers(setup: Setup) -> None:
    """The serving worker gets the signal, a loading one is stopped; the exit code is that of the former."""
    serving = setup.serve()
    setup.supervisor.on_files_changed(["main.py"])
    setup.supervisor.on_signal(signal.SIGTERM)
    setup.supervisor.on_files_changed(["main.py"])
    assert [worker.received for worker in setup.workers] == [["SIGTERM"], [SWAP_COMMAND]]
    setup.supervisor.on_process_exit(serving.pid, 3)
    assert not setup.supervisor.exit_code.done()
    setup.supervisor.on_process_exit(setup.workers[1].pid, 0)
    assert await setup.supervisor.exit_code == 3


async def test_second_signal_kills_the_workers(setup: Setup) -> None:
    """The second signal kills every worker without waiting."""
    setup.serve()
    setup.supervisor.on_signal(signal.SIGINT)
    setup.supervisor.on_signal(signal.SIGINT)
    assert setup.workers[0].received == ["SIGINT", "kill"]
    assert await setup.supervisor.exit_code == 128 + signal.SIGINT


async def test_signal_without_a_worker_ends_the_supervisor(setup: Setup) -> None:
    """If no worker could be started, a change tries again, and the first signal ends the supervisor."""
    setup.serve()
    setup.launcher.fails = True
    setup.supervisor.on_process_exit(setup.workers[0].pid, 1)
    setup.supervisor.on_files_changed(["main.py"])
    setup.supervisor.on_signal(signal.SIGTERM)
    assert await setup.supervisor.exit_code == 0


async def test_diagnostic_signals_are_passed_on(setup: Setup) -> None:
    """SIGUSR1 (stack dump) and SIGUSR2 (debug log) are passed on to the worker."""
    setup.supervisor.on_signal(signal.SIGUSR1)
    setup.supervisor.on_signal(signal.SIGUSR2)
    assert setup.workers[0].received == [signal.SIGUSR1, signal.SIGUSR2]


async def test_imported_folders_are_watched(setup: Setup) -> None:
    """Folders that a worker has imported from are watched as well."""
    setup.workers[0].send_message("imported", folders=["elsewhere"])
    assert setup.watched == ["elsewhere"]


def start_zombie() -> int:
    """Return the process id of a child that has exited and was not reaped."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def process_exists(pid: int) -> bool:
    """Whether there is such a process; a zombie counts."""
    return Path(f"/proc/{pid}").exists()


async def test_orphans_are_reaped(setup: Setup) -> None:
    """Every exited child is reaped, even if it is not a worker."""
    pid = start_zombie()
    _reap_children(setup.supervisor)
    assert not process_exists(pid)
    assert len(setup.workers) == 1
