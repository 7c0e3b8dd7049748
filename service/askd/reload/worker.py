"""Worker process of `--reload`: the server on inherited sockets, which serves its load errors as 503."""

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

from askd.answerers.user_code.exceptions import is_user_file
from askd.app import HEALTH, LOAD_TASK, create_app
from askd.config import Settings
from askd.errors import LoadError, StartupError, Unavailable
from askd.models import Answer, Answerer, ProgressCallback, Question
from askd.process.server import Server, log_load_failure, serve, set_up_logging
from askd.reload.worker_process import SWAP_COMMAND, ControlChannel, WorkerMessage, get_control_channel, one_line_error
from askd.telemetry import log_config, tracing

SWAP_LINGER: Final = 0.25
"""Seconds for which idle connections stay open after a swap: a request that is on its way is still served."""

_log = structlog.get_logger("askd.reload")


def run_command(work: Callable[[], Any]) -> Any:
    """Run the command line's `work`, or serve the error that the supervisor has passed. Raises StartupError."""
    channel = get_control_channel()
    settings = channel.bootstrap.settings
    if channel.bootstrap.load_error is not None:
        log_config.configure(settings.log_level, settings.log_format)
        return _serve(channel, settings, FailedAnswerer(channel.bootstrap.load_error))
    try:
        return work()
    except StartupError as error:
        channel.send(WorkerMessage(event="start_failed", error=one_line_error(error)))
        raise


def run(settings: Settings, *, unknown: Mapping[str, str | None]) -> int:
    """Serve as a worker until the supervisor ends it. Returns the exit code. Raises StartupError.

    The listeners belong to the supervisor: changed addresses take effect after a restart.
    """
    channel = get_control_channel()
    log_config.configure(settings.log_level, settings.log_format)
    inherited = {name: getattr(channel.bootstrap.settings, name) for name in ("host", "port", "ops_port", "reload")}
    if any(getattr(settings, name) != value for name, value in inherited.items()):
        _log.warning("restart_required", **inherited)
    settings = dataclasses.replace(settings, **inherited)
    if not channel.bootstrap.replaces_running_worker:
        set_up_logging(settings, unknown)
    return _serve(channel, settings, None)


def _serve(channel: ControlChannel, settings: Settings, answerer: Answerer | None) -> int:
    app = create_app(settings, answerer=answerer, tracer=tracing.create_request_tracer(settings))
    return serve(Worker(settings, app, channel))


class FailedAnswerer(Answerer):
    """Answerer whose load fails with the error of a crashed worker."""

    kind = "none"
    name = "none"

    def __init__(self, load_error: str) -> None:
        self._load_error = load_error

    async def load(self, progress: ProgressCallback) -> None:
        """Raise LoadError."""
        raise LoadError(self._load_error)

    async def answer(self, question: Question) -> Answer:
        """Raise Unavailable. Not reached, because the load fails."""
        raise Unavailable(self._load_error)


class Worker(Server):
    """Server under a supervisor."""

    def __init__(self, settings: Settings, app: web.Application, channel: ControlChannel) -> None:
        super().__init__(settings, app, channel.listeners())
        self._channel = channel
        self._is_replaced = False

    def _install_signal_handlers(self) -> None:
        """Ignore SIGINT: a terminal sends Ctrl-C to both processes, and the supervisor passes it on as a command."""
        super()._install_signal_handlers()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the supervisor started us with it blocked
        loop.add_reader(self._channel.socket, self._on_command)

    def _on_command(self) -> None:
        """Obey the supervisor's command. Stop if the supervisor has exited."""
        commands = self._channel.receive_commands()
        if not commands:
            asyncio.get_running_loop().remove_reader(self._channel.socket)
        if self._stop_event.is_set():
            return
        self._is_replaced = SWAP_COMMAND in commands
        self._stop_signal = signal.SIGTERM if signal.SIGTERM.name in commands else signal.SIGINT
        self._stop_event.set()

    def _start_ops_server(self) -> None:
        if not self._channel.bootstrap.replaces_running_worker:
            super()._start_ops_server()

    async def _start_listening(self) -> None:
        """Listen at once, or after the load, successful or not, if another worker serves until then."""
        if not self._channel.bootstrap.replaces_running_worker:
            await super()._start_listening()
            return
        load, stop = self._app[LOAD_TASK], asyncio.create_task(self._stop_event.wait())
        await asyncio.wait({load, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            return
        self._record_load_error(load.exception())
        super()._start_ops_server()
        self._listen()

    def _announce(self) -> None:
        """Announce the first worker only."""
        if not self._channel.bootstrap.replaces_running_worker and self._channel.bootstrap.load_error is None:
            super()._announce()

    def _should_keep_serving(self, load_error: BaseException | None) -> bool:
        """Serve in any case; a load error is served as 503."""
        if load_error is not None and self._channel.bootstrap.load_error is None:  # else the supervisor has logged it
            log_load_failure(load_error)
            if load_error.__cause__ is not None:
                _log.error("code_load_traceback", exc_info=load_error.__cause__)
        self._record_load_error(load_error)
        error = "" if load_error is None else one_line_error(load_error)
        self._channel.send(WorkerMessage(event="serving", error=error))
        self._channel.send(WorkerMessage(event="imported", folders=_user_code_folders()))
        return True

    def _record_load_error(self, load_error: BaseException | None) -> None:
        if load_error is not None:
            self._app[HEALTH].set_load_failed(one_line_error(load_error))

    async def _start_draining(self, stop_signal: signal.Signals) -> None:
        if not self._is_replaced:
            await super()._start_draining(stop_signal)
            return
        self._final_event = "worker_replaced"
        self._shutdown_log.level = "debug"
        with self._shutdown_log.step("fail_readiness"):
            self._app[HEALTH].set_draining()
            self._server.drain()
        self._server.stop_listening(accept_waiting=False)  # the next worker shares the sockets
        if self._ops_server:
            await asyncio.to_thread(self._ops_server.stop)
        self._channel.send(WorkerMessage(event="stopped_accepting"))
        with self._shutdown_log.step("drain_delay", SWAP_LINGER):
            await asyncio.sleep(SWAP_LINGER)


def _user_code_folders() -> list[str]:
    """Return the folders of the user's modules, including modules that failed during their import."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    folders = {os.path.dirname(file) for file in files if isinstance(file, str)}  # noqa: PTH120 - faster, for a thousand modules
    working_directory = Path.cwd()
    return sorted(folder for folder in folders if is_user_file(f"{folder}{os.sep}", working_directory))
