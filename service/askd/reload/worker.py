"""Worker process of `--reload`: the server on inherited sockets, which serves load errors as 503."""

import asyncio
import dataclasses
import functools
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from askd import reload
from askd.answerers.user_code.user_module import loaded_code_folders
from askd.app import ANSWERERS, LOAD_TASK, create_app
from askd.config import Settings
from askd.errors import LoadError, StartupError
from askd.httpserver.sockets import Listeners
from askd.models import Answer, Answerer, ProgressCallback, Question
from askd.process.server import Server, log_load_failure, serve, set_up_logging
from askd.reload.supervisor import WorkerBootstrap
from askd.telemetry import log_config, tracing

LINGER: Final = 0.25
"""Seconds for which idle connections stay open: a request that is on its way is still served."""

_FRAME_PATTERN: Final = re.compile(r" {2}(\S.*?:\d+)(: .*)?")
_FOLDER_PATTERN: Final = re.compile(r"(?<![\w:/.])(/[^\s/:'\"]+)+/(?=[^\s/])")
_MAX_ERROR_LENGTH: Final = 500

_log = structlog.get_logger("askd.reload")


@functools.cache
def _bootstrap() -> WorkerBootstrap:
    return msgspec.json.decode(reload.worker_bootstrap_json or "", type=WorkerBootstrap)


@functools.cache
def _adopt_socket(fd: int) -> socket.socket:
    """Return the socket of an inherited file descriptor. Cached, because a second one would close it at its end."""
    os.set_inheritable(fd, False)  # processes that the user's code starts must not keep the port open
    adopted = socket.socket(fileno=fd)
    adopted.setblocking(False)
    return adopted


def run_command(work: Callable[[], Any]) -> Any:
    """Run the command line's `work`; serve an error that the supervisor has passed, or one of a changed variable.

    Raises:
        StartupError: The first worker cannot start.
    """
    bootstrap = _bootstrap()
    if not bootstrap.load_error:
        try:
            return work()
        except StartupError as error:
            if bootstrap.changed_at is None:
                raise
            load_error: BaseException = error
    else:
        load_error = LoadError(bootstrap.load_error)
    log_config.configure(bootstrap.settings.log_level, bootstrap.settings.log_format)
    return _serve(bootstrap.settings, _FailedAnswerer(load_error))


def run(settings: Settings, *, unknown: Mapping[str, str | None]) -> int:
    """Serve as a worker until the supervisor ends it. Returns the exit code. Raises StartupError.

    The listeners belong to the supervisor: changed addresses take effect after a restart.
    """
    bootstrap = _bootstrap()
    log_config.configure(settings.log_level, settings.log_format)
    inherited = {name: getattr(bootstrap.settings, name) for name in ("host", "port", "ops_port", "reload")}
    if any(getattr(settings, name) != value for name, value in inherited.items()):
        _log.warning("restart_required", **inherited)
    settings = dataclasses.replace(settings, **inherited)
    if bootstrap.changed_at is None:
        set_up_logging(settings, unknown)
    return _serve(settings, None)


def _serve(settings: Settings, answerer: Answerer | None) -> int:
    return serve(Worker(settings, answerer))


class _FailedAnswerer(Answerer):
    """Answerer whose load fails with an error from outside of the user's code."""

    kind = name = "none"

    def __init__(self, load_error: BaseException) -> None:
        self._load_error = load_error

    async def load(self, progress: ProgressCallback) -> None:
        raise self._load_error

    async def answer(self, question: Question) -> Answer:
        raise self._load_error  # not reached, because the load fails


class Worker(Server):
    """Server under a supervisor. It accepts connections once the load has ended, successful or not."""

    def __init__(self, settings: Settings, answerer: Answerer | None) -> None:
        bootstrap = _bootstrap()
        # Bytecode is taken for current if the source has the same size and the same second of its last change, so code
        # that is saved twice in a second might not be seen.
        sys.dont_write_bytecode = True
        ops_fds = bootstrap.ops_listener_fds
        listeners = Listeners(
            [_adopt_socket(fd) for fd in bootstrap.listener_fds],
            None if ops_fds is None else [_adopt_socket(fd) for fd in ops_fds],
            bootstrap.port_conflict,
        )
        app = create_app(settings, answerer=answerer, tracer=tracing.create_request_tracer(settings))
        super().__init__(settings, app, listeners)
        self._changed_at = bootstrap.changed_at
        self._channel = _adopt_socket(bootstrap.channel_fd)
        self._final_event = "worker_stopped"
        self._step_level = "debug"

    def _install_signal_handlers(self) -> None:
        """Ignore SIGINT: a terminal sends Ctrl-C to both processes, and the supervisor sends SIGTERM then."""
        super()._install_signal_handlers()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the supervisor started us with it blocked
        loop.add_reader(self._channel, self._on_supervisor_exit)

    def _on_supervisor_exit(self) -> None:
        """Stop: the channel has been closed."""
        asyncio.get_running_loop().remove_reader(self._channel)
        self._stop_event.set()

    async def _start_listening(self) -> None:
        load, stop = self._app[LOAD_TASK], asyncio.create_task(self._stop_event.wait())
        await asyncio.wait({load, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            return
        if error := load.exception():
            for answerer in self._app[ANSWERERS]:
                if not answerer.health.is_loaded:
                    answerer.health.set_load_failed(describe_error(error))
        if self._changed_at is None:
            await super()._start_listening()
        else:
            self._listen()

    def _announce(self) -> None:
        """Announce the first worker only."""
        if self._changed_at is None and not _bootstrap().load_error:
            super()._announce()

    def _should_keep_serving(self, load_error: BaseException | None) -> bool:
        """Serve in any case; a load error is served as 503."""
        if load_error is not None:
            if not _bootstrap().load_error:  # else the supervisor has logged it
                log_load_failure(load_error)
            if load_error.__cause__ is not None:
                _log.error("code_load_traceback", exc_info=load_error.__cause__)
            error, fallback = describe_error(load_error), "503 until the code loads"
            _log.warning("code_load_failed", error=error, fallback=fallback)
        elif self._changed_at is not None:
            duration_ms = round((time.monotonic() - self._changed_at) * 1000, 1)
            _log.info("code_reloaded", duration_ms=duration_ms)
        self._channel.sendall(json.dumps(self._code_folders()).encode())
        self._channel.shutdown(socket.SHUT_WR)
        return True

    def _code_folders(self) -> list[str]:
        """Return the folders that the code was imported from, in this process or in its worker processes."""
        in_processes = (folder for served in self._app[ANSWERERS] for folder in served.answerer.code_folders)
        return sorted({*loaded_code_folders(), *in_processes})

    async def _start_draining(self) -> None:
        """Stop accepting at once, and leave the connections that wait to the next worker, which shares the sockets."""
        self._server.stop_listening(accept_waiting=False)
        self._server.connections.drain()
        if self._ops_server:
            await asyncio.to_thread(self._ops_server.stop)
        await asyncio.sleep(LINGER)


def describe_error(error: BaseException) -> str:
    """Return an error as `main.py:4: ModuleNotFoundError: No module named 'x'`, or the first line of its message.

    Clients see it, so that paths are shown without their folders. It relies on the format of errors in user code
    (`askd.answerers.user_code.exceptions`): a heading, then the user's frames indented by two spaces, then the
    exception.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    frames = [index for index, line in enumerate(lines[:-1]) if _FRAME_PATTERN.fullmatch(line)]
    text = lines[0]
    if frames and (location := _FRAME_PATTERN.fullmatch(lines[frames[-1]])):
        text = f"{location[1]}: {lines[frames[-1] + 1].strip()}"
    return _FOLDER_PATTERN.sub("", text)[:_MAX_ERROR_LENGTH]
