"""Ops server: metrics and health checks on a separate port, with an event loop and a thread for them alone.

User code that blocks the main loop cannot delay them. Code that holds the GIL still can.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Final

import structlog
import uvloop

from askd.api.instrumentation import MalformedRequestCounter
from askd.api.ops import DumpStacks
from askd.app import create_ops_app
from askd.config import Settings
from askd.guards.health import Health
from askd.httpserver.connections import ConnectionLimits, ConnectionManager
from askd.httpserver.server import HttpServer
from askd.telemetry import log_config
from askd.telemetry.metrics import Metrics
from askd.telemetry.watchdog import block_sigusr1

OPS_CONNECTION_LIMITS: Final = ConnectionLimits(max_connections=64, max_age=0)
"""Separate from the main port's, so that probes connect when that one is full: half of the descriptors that it leaves.
Scrapers keep connections at any age."""
SPARE_DESCRIPTORS: Final = 8
"""File descriptors of each listener for probes that connect when the user's code has used up all others."""
STOP_TIMEOUT: Final = 1.0
"""Seconds that `stop` waits for the thread."""

_log = structlog.get_logger("askd.ops")


class OpsServer:
    """Serves the ops endpoints from `start` to `stop`, even if the main loop is blocked."""

    def __init__(
        self,
        settings: Settings,
        health: Health,
        metrics: Metrics,
        listeners: Sequence[socket.socket],
        dump: DumpStacks | None = None,
    ) -> None:
        self.listeners = listeners
        self._app = create_ops_app(settings, health, metrics, dump)
        self._metrics = metrics
        self._loop = uvloop.new_event_loop()
        self._stop_event = asyncio.Event()
        self._started_event = threading.Event()
        self._thread = threading.Thread(target=self._run, name="askd-ops", daemon=True)

    def start(self) -> None:
        """Start the thread. Returns when the endpoints respond, or have failed to start, which is logged."""
        self._thread.start()
        self._started_event.wait()

    def stop(self) -> None:
        """Stop serving. Waits for the thread for at most a second: it is a daemon thread."""
        with contextlib.suppress(RuntimeError):  # the thread has failed and closed its loop
            self._loop.call_soon_threadsafe(self._stop_event.set)
        self._thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        block_sigusr1()
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            _log.exception("ops_server_failed")
        finally:
            self._started_event.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._loop.set_exception_handler(log_config.handle_loop_exception)
        connections = ConnectionManager(OPS_CONNECTION_LIMITS)
        malformed = MalformedRequestCounter(self._metrics, clock=connections.clock)
        server = HttpServer(
            self._app,
            connections,
            on_malformed=malformed.record,
            on_sweep=[malformed.log_throttle.flush],
            shutdown_timeout=0.5,
        )
        await server.start()
        for listener in self.listeners:
            server.listen(listener, spare_descriptors=SPARE_DESCRIPTORS)
        self._started_event.set()
        await self._stop_event.wait()
        await server.close()
