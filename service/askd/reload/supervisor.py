"""Supervisor of `--reload`: it keeps one worker serving, and replaces it when files change."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from askd.child_exit import describe_exit
from askd.config import Settings
from askd.file_watcher import FileWatcher
from askd.httpserver.sockets import Listeners
from askd.process.startup import open_configured_listeners
from askd.reload import WORKER_VARIABLE
from askd.reload.watched_files import WatchedFiles
from askd.telemetry import log_config

EXIT_START_FAILED: Final = 2
"""Exit code if the first worker cannot start, as without `--reload`."""
_WATCH_INTERVAL: Final = 0.1
"""Seconds between two scans of the files …"""
_SETTLE_TIME: Final = 0.03
"""… and after which changed files must be the same to be loaded. Editors that rename files need a millisecond."""

_log = structlog.get_logger("askd.reload")


class WorkerBootstrap(msgspec.Struct, frozen=True, kw_only=True):
    """Start parameters of a worker, passed in an environment variable. File descriptors are inherited."""

    channel_fd: int
    listener_fds: list[int]
    ops_listener_fds: list[int] | None
    """None if the main port serves the ops endpoints."""
    port_conflict: str
    """Sentence that names the holder of the default port. Empty if that port was free."""
    settings: Settings
    """The settings that the supervisor started with."""
    changed_at: float | None
    """Monotonic time in seconds of the change that this worker is started for. None until a worker has served: it
    announces the address, and its errors end the start."""
    load_error: str
    """The error to serve instead of the user's code, in one line. Empty to load the code."""


def supervise(settings: Settings, *, env_files: Sequence[str]) -> int:
    """Supervise workers until a signal arrives. Returns the exit code. Raises ListenError."""
    log_config.configure(settings.log_level, settings.log_format)
    listeners, files = open_configured_listeners(settings), WatchedFiles(settings.answerer, env_files)
    return asyncio.run(Supervisor(settings, listeners, files).run())


class Supervisor:
    """Starts workers with this process's command line and its listening sockets."""

    def __init__(self, settings: Settings, listeners: Listeners, files: WatchedFiles) -> None:
        self._settings = settings
        self._listeners = listeners
        self._files = files
        # It takes its first snapshot before the first worker reads the files, so that no change is missed.
        self._watcher = FileWatcher(
            files.scan,
            lambda paths: self._loop.call_soon_threadsafe(self._on_change, paths),
            interval=_WATCH_INTERVAL,
            settle=_SETTLE_TIME,
        )
        self._workers: dict[int, asyncio.Task[None]] = {}
        """The task that follows each running worker, by process id; a stopped worker runs until its last response."""
        self._active_pid = 0
        """The worker that loads or serves; 0 if it has exited."""
        self._serves_error = False
        """Whether that worker serves the error of a crashed one."""
        self._has_served = False
        """Whether any worker has begun to serve."""
        self._is_stopping = False

    async def run(self) -> int:
        """Run until a signal arrives and the workers have exited. Returns the exit code."""
        self._loop = asyncio.get_running_loop()
        self._exit_code: asyncio.Future[int] = self._loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            self._loop.add_signal_handler(number, self._on_signal, number)
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap_children)
        self._start_worker()
        watching = asyncio.create_task(self._watcher.run())
        exit_code = await self._exit_code
        watching.cancel()
        _log.info("stopped", exit_code=exit_code)
        return exit_code

    def _start_worker(self, *, changed_at: float | None = None, load_error: str = "") -> None:
        """Start a worker, which serves `load_error` instead of the user's code if that is not empty."""
        ours, theirs = socket.socketpair()
        sockets = [theirs, *self._listeners.main, *(self._listeners.ops or ())]
        for sock in sockets:
            sock.set_inheritable(True)
        bootstrap = WorkerBootstrap(
            channel_fd=theirs.fileno(),
            listener_fds=[sock.fileno() for sock in self._listeners.main],
            ops_listener_fds=None if self._listeners.ops is None else [sock.fileno() for sock in self._listeners.ops],
            port_conflict=self._listeners.port_conflict,
            settings=self._settings,
            changed_at=changed_at,
            load_error=load_error,
        )
        environment = {**os.environ, WORKER_VARIABLE: msgspec.json.encode(bootstrap).decode()}
        self._serves_error = bool(load_error)
        try:
            # SIGINT stays blocked until the worker has a handler, because a terminal sends Ctrl-C to it as well.
            self._active_pid = os.posix_spawn(
                sys.executable, [sys.executable, *sys.orig_argv[1:]], environment, setsigmask=[signal.SIGINT]
            )
        except OSError as error:
            _log.error("worker_start_failed", error=str(error), hint="save a file to try again")
            ours.close()
        else:
            task = self._workers[self._active_pid] = asyncio.create_task(self._follow_worker(ours))
            task.add_done_callback(lambda _task: ours.close())  # also if it is cancelled before it begins
        theirs.close()

    async def _follow_worker(self, channel: socket.socket) -> None:
        """Watch the folders that the worker reports. As long as the channel is open, the worker serves."""
        channel.setblocking(False)
        report = b""
        while data := await self._loop.sock_recv(channel, 1 << 16):
            report += data
        if report:
            self._has_served, folders = True, json.loads(report)
            self._watcher.add(self._files.add_folders(folders))
            _log.debug("folders_watched", folders=folders)
        await asyncio.Event().wait()  # until the worker has exited

    def _stop_worker(self) -> None:
        """Let the active worker stop accepting, finish its requests and exit."""
        if self._active_pid:
            os.kill(self._active_pid, signal.SIGTERM)
            self._active_pid = 0

    def _on_change(self, paths: Sequence[str]) -> None:
        """Replace the worker. One that is still loading has old code."""
        if self._is_stopping:
            return
        _log.info("code_reloading", paths=[os.path.relpath(path) for path in paths])
        self._stop_worker()
        self._start_worker(changed_at=time.monotonic())

    def _on_signal(self, number: signal.Signals) -> None:
        """Stop the workers at the first signal, kill them at the second. SIGUSR1 and SIGUSR2 are passed on."""
        if number in {signal.SIGUSR1, signal.SIGUSR2}:
            if self._active_pid:
                os.kill(self._active_pid, number)
            return
        if self._is_stopping:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)
            if not self._exit_code.done():
                self._exit_code.set_result(128 + number)
            return
        self._is_stopping = True
        _log.info("draining", signal=number.name)
        self._stop_worker()
        self._finish_if_stopped()

    def _reap_children(self) -> None:
        """Reap all exited children. As process 1 of a container, that includes orphans of the workers."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if task := self._workers.pop(pid, None):
                task.cancel()
            if pid == self._active_pid:
                self._active_pid = 0
                self._on_crash(os.waitstatus_to_exitcode(status))
        self._finish_if_stopped()

    def _on_crash(self, code: int) -> None:
        """Start a worker that serves the error until the next change. A failed start ends the supervisor."""
        if code == EXIT_START_FAILED and not self._has_served:
            self._exit_code.set_result(EXIT_START_FAILED)
            return
        load_error = f"The worker {describe_exit(code)}. Save a file to restart it."
        _log.error("worker_exited", error=load_error)
        if not self._serves_error:  # one that fails even to serve an error would fail again
            self._start_worker(changed_at=time.monotonic() if self._has_served else None, load_error=load_error)

    def _finish_if_stopped(self) -> None:
        if self._is_stopping and not self._workers and not self._exit_code.done():
            self._exit_code.set_result(0)
