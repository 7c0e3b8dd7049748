"""The supervisor: keeps one worker serving, and replaces it when files have changed."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

import service
from service import sockets
from service.answerers.faults import is_installed
from service.reload.child import Child, Launcher
from service.reload.link import SWAP, Said
from service.reload.places import Places
from service.reload.watch import Watch
from service.settings import Settings
from service.settings.process import DEFAULT_PORT
from service.telemetry import logs

REFUSED: Final = 2
"""Exit code where there is nothing to serve from the start, as without a supervisor."""

_log = structlog.get_logger("askd.reload")


def supervise(settings: Settings, *, env_files: Sequence[str]) -> int:
    """Supervise until a signal comes; return the exit code. Raises ListenError."""
    logs.configure(settings.log_level, settings.log_format)
    opened = sockets.open_listeners(settings.host, settings.port, settings.ops_port, default_port=DEFAULT_PORT)
    if opened.conflict:
        _log.warning("port_in_use", detail=opened.conflict, hint="pass --port to choose one")
    command = [sys.executable, *sys.orig_argv[1:]]
    launcher = Launcher(settings, opened.main, opened.ops, command=command, environment=dict(os.environ))
    return asyncio.run(_supervised(launcher, Places(settings.answerer, env_files, program=_edited())))


def _edited() -> Path | None:
    """Return the folder of askd's own source where somebody edits it: in a checkout, in an image for development.

    Workers get the new source; this process goes on with the old one, and so does the worker that serves where a new
    one cannot even start.
    """
    source = Path(service.__file__).parent
    return None if is_installed(source) else source


async def _supervised(launcher: Launcher, places: Places) -> int:
    loop = asyncio.get_running_loop()
    # The watch notes how files are before the first worker reads them, so that no save falls between the two.
    watch = Watch(places, lambda files: loop.call_soon_threadsafe(supervisor.changed, files))
    supervisor = Supervisor(launcher, watch.also)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, supervisor.signalled, number)
    loop.add_signal_handler(signal.SIGCHLD, _reap, supervisor)
    supervisor.start()
    watch.start()
    try:
        return await supervisor.finished
    finally:
        watch.stop()


def _reap(supervisor: "Supervisor") -> None:
    """Collect whoever has ended: as process 1 also those that a worker left behind."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        supervisor.ended(pid, os.waitstatus_to_exitcode(status))


class Supervisor:
    """One worker serves, the next one may be loading, and others may be leaving. All methods are called on the loop."""

    def __init__(self, launcher: Launcher, watch_also: Callable[[Sequence[str]], None]) -> None:
        self._launcher = launcher
        self._watch_also = watch_also
        self.finished: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The exit code, once every worker has ended after a signal."""
        self._serving: Child | None = None
        self._loading: Child | None = None
        self._leaving: dict[int, Child] = {}
        self._replaced: Child | None = None
        """Who served before the one that serves now."""
        self._stopping = False
        self._refusal = ""
        self._fault = ""
        """Why the one that serves has no answers; empty: it has."""
        self._served = False
        """Whether any worker has come so far as to serve."""
        self._since: float | None = None
        """When the last change was seen; None: it has been told that it is served."""
        self._code = 0

    def start(self, fault: str | None = None) -> None:
        """Start a worker, one that stands in where there is a fault."""
        self._refusal = ""
        try:
            self._loading = self._launcher.start(self.heard, takes_over=self._serving is not None, fault=fault)
        except OSError as error:
            _log.error("no worker could be started", fault=str(error), mend="save again")

    def changed(self, files: Sequence[str]) -> None:
        """Start a worker with the new code; one that is still loading has the old, and gives way."""
        if self._stopping:
            return
        _log.info("reloading", changed=list(files))
        self._since = time.monotonic()
        if self._loading:
            self._leave(self._loading)
        self.start()

    def heard(self, child: Child, said: Said) -> None:
        """Act on what a worker said."""
        if said.event == "imported":
            self._watch_also(said.folders)
        elif said.event == "refuses":
            self._refusal = said.fault
        elif said.event == "left" and child is self._replaced:
            self._reloaded()
        elif said.event == "serves" and child is self._loading:
            self._replaced, self._serving, self._loading = self._serving, child, None
            self._served, self._fault = True, said.fault
            if self._replaced:
                self._leave(self._replaced)
            else:
                self._reloaded()

    def ended(self, pid: int, code: int) -> None:
        """Take note that a process ended. `code` is its exit code, or minus the number of the signal that ended it."""
        if child := self._leaving.pop(pid, None):
            child.close()
        for child in filter(None, (self._serving, self._loading)):
            if child.pid == pid:
                child.close()
                self._lost(child, code)
        if self._stopping and not (self._serving or self._loading or self._leaving) and not self.finished.done():
            self.finished.set_result(self._code)

    def signalled(self, number: signal.Signals) -> None:
        """Stop with the workers at the first signal, at once at the second; SIGUSR1 and SIGUSR2 are passed on."""
        last = self._serving or self._loading
        if number in {signal.SIGUSR1, signal.SIGUSR2}:
            if last:
                last.signal(number)
        elif self._stopping or last is None:
            self._stop_at_once(number)
        else:
            self._stopping = True
            last.command(number.name)
            if self._loading and self._loading is not last:
                self._leave(self._loading)
                self._loading = None

    def _stop_at_once(self, number: signal.Signals) -> None:
        for child in filter(None, (self._serving, self._loading, *self._leaving.values())):
            child.kill()
        if not self.finished.done():
            self.finished.set_result(128 + number if self._stopping else 0)

    def _leave(self, child: Child) -> None:
        child.command(SWAP)
        self._leaving[child.pid] = child

    def _reloaded(self) -> None:
        """Say what the last change has come to, now that no other code answers any more."""
        seconds = None if self._since is None else round(time.monotonic() - self._since, 3)
        if self._fault:
            _log.warning("broken", fault=self._fault, answers="503 until a save mends it")
        elif seconds is not None:
            _log.info("reloaded", seconds=seconds)
        self._since = None

    def _lost(self, child: Child, code: int) -> None:
        """Put one in place of a worker that ended although nobody told it to, for as long as nothing is saved."""
        loading = child is self._loading
        if loading:
            self._loading = None
        else:
            self._serving = None
        if self._stopping:
            self._code = code if code >= 0 else 128 - code
        elif self._refusal and not self._served:
            self._stopping, self._code = True, REFUSED
        else:
            fault = self._refusal or f"The worker {_described(code)}. The next save starts another."
            _log.error("worker ended", fault=fault)
            if not child.stands_in and not self._loading:
                self.start(fault)


def _described(code: int) -> str:
    """Return `was ended by SIGSEGV`, or with which code it ended itself."""
    if code >= 0:
        return f"ended itself with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
