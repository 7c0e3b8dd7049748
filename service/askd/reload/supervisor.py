"""Supervisor of `--reload`: it keeps one worker serving, and replaces it when files change."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

import askd
from askd.answerers.user_code.exceptions import is_in_site_packages
from askd.config import Settings
from askd.process.startup import open_configured_listeners
from askd.reload.watcher import SourceWatcher, WatchedFiles
from askd.reload.worker_process import SWAP_COMMAND, WorkerLauncher, WorkerMessage, WorkerProcess
from askd.telemetry import log_config

EXIT_START_FAILED: Final = 2
"""Exit code if the first worker cannot start, as without `--reload`."""

_log = structlog.get_logger("askd.reload")


def supervise(settings: Settings, *, env_files: Sequence[str]) -> int:
    """Supervise workers until a signal arrives. Returns the exit code. Raises ListenError."""
    log_config.configure(settings.log_level, settings.log_format)
    listeners = open_configured_listeners(settings)
    command = [sys.executable, *sys.orig_argv[1:]]
    launcher = WorkerLauncher(settings, listeners, command=command, environment=dict(os.environ))
    files = WatchedFiles(settings.answerer, env_files, askd_source=_editable_source_folder())
    return asyncio.run(_run_supervisor(launcher, files))


def _editable_source_folder() -> Path | None:
    """Return the folder of askd's source if it is a checkout, so that workers reload it too. None if it is installed.

    The supervisor itself keeps the old source, and so does a worker that serves on because a new one cannot start.
    """
    source = Path(askd.__file__).parent
    return None if is_in_site_packages(source) else source


async def _run_supervisor(launcher: WorkerLauncher, files: WatchedFiles) -> int:
    loop = asyncio.get_running_loop()
    # The watcher takes its first snapshot before the first worker reads the files, so that no change is missed.
    watcher = SourceWatcher(files, lambda paths: loop.call_soon_threadsafe(supervisor.on_files_changed, paths))
    supervisor = Supervisor(launcher, watcher.add_folders)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, supervisor.on_signal, number)
    loop.add_signal_handler(signal.SIGCHLD, _reap_children, supervisor)
    supervisor.start()
    watcher.start()
    try:
        return await supervisor.exit_code
    finally:
        watcher.stop()


def _reap_children(supervisor: "Supervisor") -> None:
    """Reap all exited children. As process 1 of a container, that includes orphans of the workers."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        supervisor.on_process_exit(pid, os.waitstatus_to_exitcode(status))


class Supervisor:
    """State machine of the workers: one serves, the next may be loading, others may be leaving.

    All methods must be called on the event loop.
    """

    def __init__(self, launcher: WorkerLauncher, add_watched_folders: Callable[[Sequence[str]], None]) -> None:
        self._launcher = launcher
        self._add_watched_folders = add_watched_folders
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The exit code, when every worker has exited after a signal."""
        self._serving_worker: WorkerProcess | None = None
        self._loading_worker: WorkerProcess | None = None
        self._leaving_workers: dict[int, WorkerProcess] = {}
        self._previous_worker: WorkerProcess | None = None
        """The worker that served before the one that serves now."""
        self._is_stopping = False
        self._start_error = ""
        self._load_error = ""
        """Load error of the serving worker. Empty if it loaded."""
        self._has_served = False
        """Whether any worker has started to serve."""
        self._change_seen_at: float | None = None
        """Monotonic time of the last change. None if its reload has been logged."""
        self._exit_code = 0

    def start(self, load_error: str | None = None) -> None:
        """Start a worker, which serves `load_error` instead of the user's code if that is not None."""
        self._start_error = ""
        try:
            self._loading_worker = self._launcher.start(
                self.on_message, replaces_running_worker=self._serving_worker is not None, load_error=load_error
            )
        except OSError as error:
            _log.error("worker_start_failed", error=str(error), hint="save a file to try again")

    def on_files_changed(self, paths: Sequence[str]) -> None:
        """Start a worker with the new code. A worker that is still loading has old code and is stopped."""
        if self._is_stopping:
            return
        _log.info("code_reloading", paths=list(paths))
        self._change_seen_at = time.monotonic()
        if self._loading_worker:
            self._swap_out(self._loading_worker)
        self.start()

    def on_message(self, worker: WorkerProcess, message: WorkerMessage) -> None:
        """Handle a message from a worker."""
        if message.event == "imported":
            self._add_watched_folders(message.folders)
            _log.debug("folders_watched", folders=message.folders)
        elif message.event == "start_failed":
            self._start_error = message.error
        elif message.event == "stopped_accepting" and worker is self._previous_worker:
            self._log_reload()
        elif message.event == "serving" and worker is self._loading_worker:
            self._previous_worker, self._serving_worker, self._loading_worker = self._serving_worker, worker, None
            self._has_served, self._load_error = True, message.error
            if self._previous_worker:
                self._swap_out(self._previous_worker)
            else:
                self._log_reload()

    def on_process_exit(self, pid: int, code: int) -> None:
        """Handle the exit of a process. `code` is the exit code, or minus the number of the signal that killed it."""
        if worker := self._leaving_workers.pop(pid, None):
            worker.close()
        for worker in filter(None, (self._serving_worker, self._loading_worker)):
            if worker.pid == pid:
                worker.close()
                self._on_unexpected_exit(worker, code)
        has_workers = self._serving_worker or self._loading_worker or self._leaving_workers
        if self._is_stopping and not has_workers and not self.exit_code.done():
            self.exit_code.set_result(self._exit_code)

    def on_signal(self, number: signal.Signals) -> None:
        """Stop with the workers at the first signal, kill them at the second. SIGUSR1 and SIGUSR2 are passed on."""
        active = self._serving_worker or self._loading_worker
        if number in {signal.SIGUSR1, signal.SIGUSR2}:
            if active:
                active.send_signal(number)
        elif self._is_stopping or active is None:
            self._kill_workers(number)
        else:
            self._is_stopping = True
            active.send_command(number.name)
            if self._loading_worker and self._loading_worker is not active:
                self._swap_out(self._loading_worker)
                self._loading_worker = None

    def _kill_workers(self, number: signal.Signals) -> None:
        for worker in filter(None, (self._serving_worker, self._loading_worker, *self._leaving_workers.values())):
            worker.kill()
        if not self.exit_code.done():
            self.exit_code.set_result(128 + number if self._is_stopping else 0)

    def _swap_out(self, worker: WorkerProcess) -> None:
        worker.send_command(SWAP_COMMAND)
        self._leaving_workers[worker.pid] = worker

    def _log_reload(self) -> None:
        """Log the outcome of the last change, once the old worker has stopped accepting."""
        if self._load_error:
            _log.warning("code_load_failed", error=self._load_error, fallback="503 until the code loads")
        elif self._change_seen_at is not None:
            duration_ms = round((time.monotonic() - self._change_seen_at) * 1000, 1)
            _log.info("code_reloaded", duration_ms=duration_ms)
        self._change_seen_at = None

    def _on_unexpected_exit(self, worker: WorkerProcess, code: int) -> None:
        """Start a worker that serves the error, until the next change, if a worker exits without a command."""
        if worker is self._loading_worker:
            self._loading_worker = None
        else:
            self._serving_worker = None
        if self._is_stopping:
            self._exit_code = code if code >= 0 else 128 - code
        elif self._start_error and not self._has_served:
            self._is_stopping, self._exit_code = True, EXIT_START_FAILED
        else:
            error = self._start_error or f"The worker {_describe_exit(code)}. Save a file to restart it."
            _log.error("worker_exited", error=error)
            # One that fails even to serve an error would fail again.
            if not worker.serves_load_error and not self._loading_worker:
                self.start(error)


def _describe_exit(code: int) -> str:
    """Return `was killed by SIGSEGV` or `exited with code 1`."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
