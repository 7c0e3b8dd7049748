"""Server process: it opens the listeners, loads the answerer, handles signals, and shuts down gracefully.

The graceful shutdown has six steps. Each is logged when it ends; steps 2 and 4 to 6 have a time limit.

1. `fail_readiness`: the readiness probe returns 503; the liveness probe still returns 200.
2. `drain_delay`: keep serving, with `Connection: close`, until load balancers have noticed.
3. `stop_listening`: serve the connections in the accept queue, then close the listeners.
4. `finish_requests`: wait for requests in flight, at most ASKD_DRAIN_TIMEOUT. Those that still run then are interrupted
   and get a 503, or an `error` event in a stream. aiohttp's own cleanup would close their connections without one.
5. `close_answerer`: close the remaining connections, stop background tasks and run the answerer's shutdown hook.
6. `flush_telemetry`: send the remaining traces and write the remaining log lines.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Final, Literal, get_args

import structlog
import uvloop
from aiohttp import web

from askd import __version__
from askd.api.metric_collectors import collect_certificate_metrics
from askd.app import (
    ANSWERERS,
    HEALTH,
    INSTRUMENTATION,
    LOAD_TASK,
    METRICS,
    REQUEST_TRACER,
    create_app,
    create_server,
)
from askd.config import Settings
from askd.errors import LoadError, Unavailable
from askd.httpserver import sockets
from askd.httpserver.descriptors import RESERVED_DESCRIPTORS, bounded_by_descriptors, raise_descriptor_limit
from askd.httpserver.tls import CertificateReloader
from askd.lifespan import run_in_background
from askd.process.ops_server import OpsServer
from askd.process.shutdown import INTERRUPT_GRACE_PERIOD, flush_telemetry, join_threads
from askd.process.startup import describe_answerers, format_banner, open_configured_listeners
from askd.telemetry import log_config, tracing
from askd.telemetry.log_stream import log_stream
from askd.telemetry.watchdog import Watchdog

EXIT_START_FAILED: Final = 2
"""Exit code if the answerer cannot be loaded."""
FORCED_EXIT_FLUSH_TIMEOUT: Final = 0.1
"""Seconds to flush the log after a second signal."""
IDLE_LINGER: Final = 0.1
"""Seconds for which idle connections stay open once no request is in flight: requests may be on their way."""

StepName = Literal[
    "fail_readiness", "drain_delay", "stop_listening", "finish_requests", "close_answerer", "flush_telemetry"
]
_STEP_NAMES: Final = get_args(StepName)

_log = structlog.get_logger("askd")


def run(settings: Settings, *, unknown: Mapping[str, str | None]) -> int:
    """Serve until a signal arrives.

    Args:
        settings: The settings.
        unknown: `ASKD_*` variables that are not settings, each with the closest setting or None.

    Returns:
        The exit code: 0 after a graceful shutdown, 2 if the answerer could not be loaded.

    Raises:
        StartupError: The settings are unusable, or a port is taken.
    """
    set_up_logging(settings, unknown)
    raise_descriptor_limit()
    if (limit := bounded_by_descriptors(settings.max_connections)) < settings.max_connections:
        hint = f"raise the limit of open files (ulimit -n) to {settings.max_connections + RESERVED_DESCRIPTORS:,}"
        _log.warning("connection_limit_reduced", limit=limit, max_connections=settings.max_connections, hint=hint)
    app = create_app(settings, tracer=tracing.create_request_tracer(settings))
    return serve(Server(settings, app, open_configured_listeners(settings)))


def serve(server: "Server") -> int:
    """Run a server until it has shut down. Returns the exit code, even if a thread of the user's code hangs."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        exit_code = runner.run(server.serve())
        if remaining := join_threads(server.thread_join_timeout):
            _log.warning("threads_still_running", threads=remaining)
            log_stream.close(server.thread_join_timeout)
            os._exit(exit_code)
    return exit_code


def set_up_logging(settings: Settings, unknown: Mapping[str, str | None]) -> None:
    """Configure the log, then log unknown variables and the settings (at debug level on a terminal)."""
    log_config.configure(settings.log_level, settings.log_format)
    for variable, closest in unknown.items():
        _log.warning("unknown_variable", variable=variable, did_you_mean=closest)
    log = _log.debug if log_stream.is_terminal else _log.info
    log("settings", version=__version__, **settings.as_redacted_dict())


class Server:
    """Serves one app, from open listeners to the end of the graceful shutdown.

    Without ops listeners, the main port serves the ops endpoints.
    """

    def __init__(self, settings: Settings, app: web.Application, listeners: sockets.Listeners) -> None:
        self._settings = settings
        self._app = app
        self._listeners = listeners.main
        self._port_conflict = listeners.port_conflict
        self._watchdog = Watchdog(lambda: app[HEALTH].seconds_since_heartbeat, settings.stall_dump_after)
        self._ops_server = (
            OpsServer(settings, app[HEALTH], app[METRICS], listeners.ops, self._watchdog.dump)
            if listeners.ops
            else None
        )
        self._server = create_server(app, shutdown_timeout=INTERRUPT_GRACE_PERIOD)
        self.thread_join_timeout = settings.flush_timeout
        """Seconds to wait for threads of the user's code at the end."""
        self._tls = _create_tls(settings, app)
        self._stop_event = asyncio.Event()
        self._stop_signal = signal.SIGTERM
        """The signal that set `_stop_event`."""
        self._drain_timeout = max(settings.effective_drain_timeout(each.answerer.kind) for each in app[ANSWERERS])
        self._step_level: Literal["debug", "info"] = "debug" if log_stream.is_terminal else "info"
        """Log level of the shutdown steps: debug if nobody needs to follow them."""
        self._final_event = "stopped"

    async def serve(self) -> int:
        """Serve until a signal arrives or the load fails. Returns the exit code."""
        started = time.perf_counter()
        gc.freeze()  # imported modules stay in memory: the collector need not visit them
        gc.enable()
        self._install_signal_handlers()
        self._watchdog.start(asyncio.get_running_loop())
        if self._ops_server:  # answers probes from the start
            self._ops_server.start()
        await self._server.start()
        await self._start_listening()
        exit_code = await self._run_until_stopped(started)
        await self._finish_shutdown()
        _log.info(self._final_event, exit_code=exit_code)
        return exit_code

    async def _start_listening(self) -> None:
        """Accept connections while the answerer is being loaded."""
        self._listen()
        self._log_start("listening", **self._urls())

    def _listen(self) -> None:
        for listener in self._listeners:
            self._server.listen(
                listener, tls=self._tls.context if self._tls else None, handshake_timeout=self._settings.header_timeout
            )

    async def _run_until_stopped(self, started: float) -> int:
        """Wait for the load and for a signal, then start to drain. Returns the exit code."""
        stop = asyncio.create_task(self._stop_event.wait())
        load = self._app[LOAD_TASK]
        await asyncio.wait({stop, load}, return_when=asyncio.FIRST_COMPLETED)
        if load.done():
            error = load.exception()
            if not self._should_keep_serving(error):
                self._step_level = "debug"  # a failed start, not a shutdown
                return EXIT_START_FAILED
            self._announce()
            if error is None:
                duration_ms = round((time.perf_counter() - started) * 1000, 1)
                for fields in self._answerer_fields():
                    self._log_start("ready", **fields, duration_ms=duration_ms)
        await stop
        await self._start_draining()
        return 0

    def _announce(self) -> None:
        """On a terminal, show the banner and log the settings that differ from their defaults."""
        if not log_stream.is_terminal or log_stream.level > logging.INFO:
            return
        log_stream.msg(
            format_banner(
                self._settings,
                describe_answerers(self._app[ANSWERERS]),
                **self._urls(),
                port_conflict=self._port_conflict,
            )
        )
        defaults = Settings().as_redacted_dict()
        changed = {name: value for name, value in self._settings.as_redacted_dict().items() if value != defaults[name]}
        if changed:
            _log.info("settings", **changed)

    def _log_start(self, event: str, **fields: object) -> None:
        """Log an event of the start; on a terminal at debug level, because the banner replaces it."""
        log = _log.debug if log_stream.is_terminal else _log.info
        log(event, **fields)

    def _should_keep_serving(self, load_error: BaseException | None) -> bool:
        """Log the error of the load, if any. Returns whether to serve."""
        if load_error is not None:
            log_load_failure(load_error)
        return load_error is None

    async def _start_draining(self) -> None:
        """Run steps 1 and 2. SIGINT skips the drain delay: no load balancer is involved."""
        with shutdown_step("fail_readiness", level=self._step_level):
            self._server.connections.drain()  # /readyz returns 503, and responses say `Connection: close`
        delay = 0.0 if self._stop_signal is signal.SIGINT else self._settings.drain_delay
        in_flight = self._app[INSTRUMENTATION].in_flight
        _log.info("draining", signal=self._stop_signal.name, delay_seconds=delay, in_flight=in_flight)
        with shutdown_step("drain_delay", delay, level=self._step_level):
            await asyncio.sleep(delay)

    async def _finish_shutdown(self) -> None:
        """Run steps 3 to 6."""
        settings, level = self._settings, self._step_level
        with shutdown_step("stop_listening", level=level):
            self._server.stop_listening()
        with shutdown_step("finish_requests", self._drain_timeout, level=level):
            await self._finish_requests()
        with shutdown_step("close_answerer", settings.shutdown_timeout, level=level):
            await self._server.close()
        with shutdown_step("flush_telemetry", settings.flush_timeout, level=level):
            self._watchdog.stop()
            if self._ops_server:
                self._ops_server.stop()
            await flush_telemetry(self._app[REQUEST_TRACER], settings.flush_timeout)

    async def _finish_requests(self) -> None:
        """Wait for requests in flight, and interrupt those that remain after the drain timeout."""
        instrumentation, loop = self._app[INSTRUMENTATION], asyncio.get_running_loop()
        deadline = loop.time() + self._drain_timeout
        await asyncio.sleep(0)  # lets requests begin that have arrived already
        is_idle = await instrumentation.wait_until_idle(self._drain_timeout)
        if is_idle and self._server.connections.all():
            await asyncio.sleep(IDLE_LINGER)
            is_idle = await instrumentation.wait_until_idle(max(deadline - loop.time(), 0.0))
        if is_idle:
            return
        _log.warning("drain_timeout", requests=instrumentation.in_flight, timeout_seconds=self._drain_timeout)
        self._server.cancel_requests(
            Unavailable("The server is shutting down and could not finish this answer. Send the request again.")
        )
        await instrumentation.wait_until_idle(INTERRUPT_GRACE_PERIOD)

    def _install_signal_handlers(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_config.handle_loop_exception)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup: goes on when the terminal is closed
            loop.add_signal_handler(number, self._on_signal, number)
        loop.add_signal_handler(signal.SIGUSR2, self._toggle_debug)
        # Not through the loop: SIGUSR1 asks for the stacks when the loop is blocked.
        signal.signal(signal.SIGUSR1, lambda *_: self._watchdog.request_dump("SIGUSR1"))

    def _on_signal(self, number: signal.Signals) -> None:
        """Shut down gracefully at the first signal, exit immediately at the second."""
        if self._stop_event.is_set():
            _log.warning("forced_exit", signal=number.name)
            log_stream.close(FORCED_EXIT_FLUSH_TIMEOUT)
            os._exit(128 + number)
        self._stop_signal = number
        self._stop_event.set()

    def _toggle_debug(self) -> None:
        _log.warning("log_level_changed", new_level=log_config.toggle_debug(self._settings.log_level))

    def _answerer_fields(self) -> Iterator[dict[str, str]]:
        """Yield the fields of each answerer."""
        for served in self._app[ANSWERERS]:
            answerer = served.answerer
            path = {"path": served.path} if served.name else {}
            yield {"answerer": answerer.name, **path, "kind": answerer.kind, "answerer_version": answerer.version}

    def _urls(self) -> dict[str, str]:
        """Return the base URL and, if there is one, the URL of the ops port."""
        scheme = "http" if self._tls is None else "https"
        urls = {"url": _listener_url(self._listeners[0], scheme) + self._settings.prefix}
        return urls | ({"ops_url": _listener_url(self._ops_server.listeners[0])} if self._ops_server else {})


@contextlib.contextmanager
def shutdown_step(name: StepName, bound: float = 0.0, *, level: Literal["debug", "info"]) -> Iterator[None]:
    """Log `shutdown_step` when the block ends.

    Args:
        name: The step.
        bound: Its configured time limit in seconds; 0 if the step does not wait. It is only logged: the block keeps
            to it, and may take INTERRUPT_GRACE_PERIOD more for interrupted requests.
        level: Log level.
    """
    started = time.monotonic()
    try:
        yield
    finally:
        log = _log.debug if level == "debug" else _log.info
        log(
            "shutdown_step",
            step=_STEP_NAMES.index(name) + 1,
            name=name,
            bound_ms=round(bound * 1000, 1),
            duration_ms=round((time.monotonic() - started) * 1000, 1),
        )


def log_load_failure(error: BaseException) -> None:
    """Log why the answerer could not be loaded: the message of a LoadError, else the traceback."""
    if isinstance(error, LoadError):
        _log.error("answerer_load_failed", error=str(error))
    else:
        _log.error("answerer_load_failed", exc_info=error)


def _create_tls(settings: Settings, app: web.Application) -> CertificateReloader | None:
    """Read the certificate, and watch it while the app runs. Returns None for plain HTTP. Raises StartupError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    tls = CertificateReloader(settings.tls_cert, settings.tls_key)
    app.cleanup_ctx.append(lambda _app: run_in_background(tls.watch))
    app[METRICS].add_collector(lambda: collect_certificate_metrics(tls))
    return tls


def _listener_url(listener: socket.socket, scheme: str = "http") -> str:
    """Return the listener's URL, with localhost for a wildcard address."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - a host to connect to, not to listen on
    return f"{scheme}://{host}:{port}"
