"""The process: listeners first, then the answerer; signals; the drain; the exit code."""

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
import uvloop
from aiohttp import web

from service import __version__, drain, sockets
from service.answerers import spec
from service.app import (
    ANSWERER,
    EXCHANGES,
    HEALTH,
    LOADED,
    METRICS,
    OBSERVER,
    TRACING,
    create_app,
    create_runner,
)
from service.errors import LoadError
from service.lifetime import meanwhile
from service.ops_thread import OpsThread
from service.settings import Settings
from service.settings.process import DEFAULT_PORT
from service.telemetry import logs, tracing
from service.telemetry.output import output
from service.telemetry.watchdog import Watchdog
from service.tls import Tls
from service.web.readings import certificate
from service.web.secure import SecureSite

FAILED: Final = 2
"""Exit code where the start failed."""
AT_ONCE: Final = 0.1
"""Seconds that the log gets where a second signal says that there is no time."""

_log = structlog.get_logger("askd")


def run(settings: Settings, *, unknown: Mapping[str, str | None]) -> int:
    """Serve until told to stop; return the exit code: 0 after a drain, 2 where the answerer could not be loaded.

    `unknown` has variables that look like settings and are none, each with the nearest name that is one, or None.
    Raises StartupError for what is found before the listeners are open.
    """
    announce(settings, unknown)
    app = create_app(settings, tracing=tracing.begun(settings))
    opened = sockets.open_listeners(settings.host, settings.port, settings.ops_port, default_port=DEFAULT_PORT)
    if opened.conflict:
        _log.warning("port_in_use", detail=opened.conflict, hint="pass --port to choose one")
    return serve(Server(settings, app, opened.main, opened.ops))


def serve(server: "Server") -> int:
    """Run a server to its end, and return the exit code; a thread that hangs does not keep the process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(server.serve())
        if hanging := drain.left_over(server.patience):
            _log.warning("threads still run", names=hanging)
            output.close(server.patience)
            os._exit(code)
    return code


def announce(settings: Settings, unknown: Mapping[str, str | None]) -> None:
    """Set the log up, and begin it with what is in force and with what was not understood."""
    logs.configure(settings.log_level, settings.log_format)
    for name, nearest in unknown.items():
        _log.warning("unknown variable", name=name, did_you_mean=nearest)
    _log.info("settings", version=__version__, **settings.shown())


class Server:
    """One process that serves one app, from its open listeners to the end of its drain.

    `ops_listeners` None: the ops endpoints are where the questions are.
    """

    def __init__(
        self,
        settings: Settings,
        app: web.Application,
        listeners: Sequence[socket.socket],
        ops_listeners: Sequence[socket.socket] | None,
    ) -> None:
        self._settings = settings
        self._app = app
        self._listeners = listeners
        self._watchdog = Watchdog(lambda: app[HEALTH].still, settings.stall_dump)
        dump = self._watchdog.dump
        self._ops = OpsThread(settings, app[HEALTH], app[METRICS], ops_listeners, dump) if ops_listeners else None
        self._runner = create_runner(app, settings, patience=drain.FAREWELL)
        self._drain_timeout = spec.drain_timeout(settings, app[ANSWERER])
        self.patience = settings.flush_timeout
        """Seconds for threads of the code's own that still run at the end."""
        self._tls = _tls(settings, app)
        self._stop = asyncio.Event()
        self._farewell = "stopped"
        self._number = signal.SIGTERM
        """The signal that set `_stop`."""

    async def serve(self) -> int:
        """Serve until a signal comes, or until the load fails."""
        started = time.perf_counter()
        gc.freeze()  # what was imported stays: it need not be looked at again
        gc.enable()
        self._handle_signals()
        self._watchdog.start(asyncio.get_running_loop())
        self._open_ops()
        await self._runner.setup()
        await self._open()
        code = await self._until_stopped(started)
        await self._finish()
        self._watchdog.stop()
        _log.info(self._farewell, code=code)
        if self._ops:
            self._ops.stop()
        await drain.flush(self._app[TRACING], self._settings.flush_timeout)
        return code

    async def _finish(self) -> None:
        """Let what is in flight end, then close the answerer; each within its bound."""
        app, longest = self._app, self._drain_timeout
        await drain.finish(self._runner, app[OBSERVER], app[EXCHANGES], self._listening(), longest=longest)
        await self._runner.cleanup()

    def _listening(self) -> drain.Listening:
        """Return what is accepted from until the end."""
        return drain.Listening(self._listeners, self._tls.context if self._tls else None)

    def _open_ops(self) -> None:
        """Answer probes from the first moment, where they have a port of their own."""
        if self._ops:
            self._ops.start()

    async def _open(self) -> None:
        """Accept connections, while the answerer is being loaded."""
        await self._accept()
        _log.info("listening", **self._addresses())

    async def _accept(self) -> None:
        for listener in self._listeners:
            await self._site(listener).start()

    def _site(self, listener: socket.socket) -> web.SockSite:
        if self._tls is None:
            return web.SockSite(self._runner, listener, backlog=sockets.BACKLOG)
        patience = self._settings.header_timeout
        return SecureSite(self._runner, listener, tls=self._tls, backlog=sockets.BACKLOG, handshake=patience)

    async def _until_stopped(self, started: float) -> int:
        """Wait for the load, then for a signal, whichever comes first; then drain."""
        stop = asyncio.create_task(self._stop.wait())
        loaded = self._app[LOADED]
        await asyncio.wait({stop, loaded}, return_when=asyncio.FIRST_COMPLETED)
        if loaded.done():
            failure = loaded.exception()
            if not self._goes_on(failure):
                return FAILED
            if failure is None:
                _log.info("ready", **self._served(), seconds=round(time.perf_counter() - started, 3))
        await stop
        await self._drain(self._number)
        return 0

    def _goes_on(self, failure: BaseException | None) -> bool:
        """Say whether to serve, now that the load is over; a failure is logged. None: there was none."""
        if failure is not None:
            log_failure(failure)
        return failure is None

    async def _drain(self, number: signal.Signals) -> None:
        """Fail readiness and go on serving until load balancers have taken notice; a Ctrl-C does not wait."""
        self._app[HEALTH].draining()
        self._runner.drain()
        delay = 0.0 if number is signal.SIGINT else self._settings.drain_delay
        _log.info("draining", signal=number.name, delay=delay, in_flight=self._app[OBSERVER].in_flight)
        await asyncio.sleep(delay)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.loop_failed)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGUSR2, self._toggle_debug)
        # past the loop, which may stand still: that is when one asks
        signal.signal(signal.SIGUSR1, lambda *_: self._watchdog.wish("SIGUSR1"))

    def _signalled(self, number: signal.Signals) -> None:
        """Stop gracefully at the first signal, at once at the second."""
        if self._stop.is_set():
            _log.warning("stopped at once", signal=number.name)
            output.close(AT_ONCE)
            os._exit(128 + number)
        self._number = number
        self._stop.set()

    def _toggle_debug(self) -> None:
        _log.warning("log level", now=logs.toggle_debug(self._settings.log_level))

    def _served(self) -> dict[str, str]:
        answerer = self._app[ANSWERER]
        return {"answerer": answerer.name, "kind": answerer.kind, "answerer_version": answerer.version}

    def _addresses(self) -> dict[str, str]:
        """Return where questions and probes are answered; an address that is everywhere is shown as localhost."""
        scheme = "http" if self._tls is None else "https"
        found = {"url": _url(self._listeners[0], scheme) + self._settings.prefix}
        return found | ({"ops_url": _url(self._ops.listeners[0])} if self._ops else {})


def log_failure(failure: BaseException) -> None:
    """Say why the answerer could not be loaded: its own words, or a traceback where it has none."""
    if isinstance(failure, LoadError):
        _log.error("load failed", error=str(failure))
    else:
        _log.error("load failed", exc_info=failure)


def _tls(settings: Settings, app: web.Application) -> Tls | None:
    """Return the certificate, watched and measured as long as the app runs; None: HTTP. Raises StartupError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    tls = Tls(settings.tls_cert, settings.tls_key)
    app.cleanup_ctx.append(lambda _app: meanwhile(tls.watch))
    app[METRICS].read(lambda: certificate(tls))
    return tls


def _url(listener: socket.socket, scheme: str = "http") -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - a name for people
    return f"{scheme}://{host}:{port}"
