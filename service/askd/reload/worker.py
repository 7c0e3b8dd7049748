"""The worker: the server, on inherited sockets, that leaves when it is told to and serves its own faults meanwhile."""

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from service.answerers.faults import is_own
from service.app import HEALTH, LOADED, create_app
from service.drain import Listening
from service.errors import LoadError, StartupError, Unavailable
from service.models import Answer, Answerer, Progress, Question
from service.reload.fault import one_line
from service.reload.link import SWAP, Link, Said, current
from service.server import Server, announce, log_failure, serve
from service.settings import Settings
from service.telemetry import logs, tracing

LINGER: Final = 0.25
"""Seconds for which idle connections stay open after a swap: a request that is on its way is still answered."""

_log = structlog.get_logger("askd.reload")


def started(work: Callable[[], Any]) -> Any:
    """Do the command line's `work`, or stand in for it where the post names a fault."""
    link = current()
    if link.post.fault is not None:
        logs.configure(link.post.settings.log_level, link.post.settings.log_format)
        return _serve(link, link.post.settings, StandIn(link.post.fault))
    try:
        return work()
    except StartupError as fault:
        link.tell(Said(event="refuses", fault=one_line(fault)))
        raise


def run(settings: Settings, *, unknown: Mapping[str, str | None]) -> int:
    """Serve as a worker until told to leave; return the exit code. Raises StartupError."""
    link = current()
    logs.configure(settings.log_level, settings.log_format)
    first = link.post.settings
    kept = {name: getattr(first, name) for name in ("host", "port", "ops_port", "reload")}
    if any(getattr(settings, name) != value for name, value in kept.items()):
        _log.warning("changed addresses need a restart", **kept)
    settings = dataclasses.replace(settings, **kept)
    if not link.post.takes_over:
        announce(settings, unknown)
    return _serve(link, settings, None)


def _serve(link: Link, settings: Settings, answerer: Answerer | None) -> int:
    app = create_app(settings, answerer=answerer, tracing=tracing.begun(settings))
    return serve(Worker(settings, app, link))


class StandIn(Answerer):
    """Stands where an answerer would, and says why there is none."""

    kind = "none"
    name = "none"

    def __init__(self, fault: str) -> None:
        self._fault = fault

    async def load(self, progress: Progress) -> None:
        """Raise the fault."""
        raise LoadError(self._fault)

    async def answer(self, question: Question) -> Answer:
        """Raise Unavailable; it never comes so far."""
        raise Unavailable(self._fault)


class Worker(Server):
    """The server with a supervisor above it."""

    def __init__(self, settings: Settings, app: web.Application, link: Link) -> None:
        super().__init__(settings, app, link.listeners(), link.ops_listeners())
        self._link = link
        self._replaced = False

    def _handle_signals(self) -> None:
        """A terminal sends Ctrl-C to both: the supervisor heeds it, and passes it on over the link."""
        super()._handle_signals()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, {signal.SIGINT}
        )  # the supervisor blocked it until there is a handler
        loop.add_reader(self._link.socket, self._commanded)

    def _commanded(self) -> None:
        """Do what the supervisor says; where it has ended, leave too."""
        words = self._link.heard()
        if not words:
            asyncio.get_running_loop().remove_reader(self._link.socket)
        if self._stop.is_set():
            return
        self._replaced = SWAP in words
        self._number = signal.SIGTERM if signal.SIGTERM.name in words else signal.SIGINT
        self._stop.set()

    def _open_ops(self) -> None:
        if not self._link.post.takes_over:
            super()._open_ops()

    async def _open(self) -> None:
        """Where another serves meanwhile, wait for the load, and for whatever came of it take over."""
        if not self._link.post.takes_over:
            await super()._open()
            return
        loaded, stop = self._app[LOADED], asyncio.create_task(self._stop.wait())
        await asyncio.wait({loaded, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            return
        self._note(loaded.exception())
        super()._open_ops()
        await self._accept()

    def _goes_on(self, failure: BaseException | None) -> bool:
        """Serve whatever came of the load, a fault as 503s."""
        if failure is not None and self._link.post.fault is None:  # else the supervisor has told it
            log_failure(failure)
            if failure.__cause__ is not None:
                _log.error("traceback", exc_info=failure.__cause__)
        self._note(failure)
        fault = "" if failure is None else one_line(failure)
        self._link.tell(Said(event="serves", fault=fault))
        self._link.tell(Said(event="imported", folders=_own_folders()))
        return True

    def _listening(self) -> Listening:
        """Leave the queue to the next worker, who accepts from the same sockets."""
        return Listening(())

    def _note(self, failure: BaseException | None) -> None:
        if failure is not None:
            self._app[HEALTH].broken(one_line(failure))

    async def _drain(self, number: signal.Signals) -> None:
        if not self._replaced:
            await super()._drain(number)
            return
        self._farewell = "replaced"
        self._app[HEALTH].draining()
        self._runner.drain()
        for site in list(self._runner.sites):
            await site.stop()
        if self._ops:
            await asyncio.to_thread(self._ops.stop)
        self._link.tell(Said(event="left"))
        await asyncio.sleep(LINGER)


def _own_folders() -> list[str]:
    """Return where the user's own modules lie, among them those that failed halfway through the load."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    folders = {os.path.dirname(file) for file in files if isinstance(file, str)}  # noqa: PTH120 - there are a thousand
    here = Path.cwd()
    return sorted(folder for folder in folders if is_own(f"{folder}{os.sep}", here))
