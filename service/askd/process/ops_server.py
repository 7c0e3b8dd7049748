"""The ops port: metrics and probes on a loop of their own in a thread of their own.

Code that blocks the main loop cannot starve them; code that holds the interpreter's lock (GIL) still can.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Final

import structlog
import uvloop
from aiohttp import web

from service import sockets
from service.app import create_ops_app
from service.guards.connections import Connections, Limits
from service.guards.health import Health
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.metrics import Metrics
from service.telemetry.watchdog import leave_signal
from service.web.ops import Dump
from service.web.runner import Runner

LIMITS: Final = Limits(most=1000, age=0)
"""Their own: probes must come in when all connections for questions are taken. Scrapers keep theirs at any age."""

_log = structlog.get_logger("askd.ops")


class OpsThread:
    """Serves the ops endpoints from `start` to `stop`, whatever the main loop does."""

    def __init__(
        self,
        settings: Settings,
        health: Health,
        metrics: Metrics,
        listeners: Sequence[socket.socket],
        dump: Dump | None = None,
    ) -> None:
        self.listeners = listeners
        self._app = create_ops_app(settings, health, metrics, dump)
        self._metrics = metrics
        self._loop = uvloop.new_event_loop()
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="askd-ops", daemon=True)

    def start(self) -> None:
        """Start the thread, and return when the endpoints answer."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stop serving, and return when the thread has ended; at most a second, for it is a daemon."""
        with contextlib.suppress(RuntimeError):  # the thread has failed, and its loop is closed
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(1.0)

    def _run(self) -> None:
        leave_signal()
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            _log.exception("the ops port failed")
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._loop.set_exception_handler(logs.loop_failed)
        runner = Runner(self._app, self._metrics, Connections(LIMITS), shutdown_timeout=0.5)
        await runner.setup()
        for listener in self.listeners:
            await web.SockSite(runner, listener, backlog=sockets.BACKLOG).start()
        self._started.set()
        await self._stopping.wait()
        await runner.cleanup()
