"""Workers as the supervisor starts and sees them, and the control channel between the two.

The supervisor passes a WorkerBootstrap in an environment variable. After that, the worker sends WorkerMessages as lines
of JSON and the supervisor sends commands as lines of one word.
"""

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final, Literal

import msgspec

from askd import reload
from askd.config import Settings
from askd.httpserver.sockets import Listeners
from askd.reload import WORKER_VARIABLE

SWAP_COMMAND: Final = "swap"
"""Command to stop accepting now, because another worker has taken over. All other commands are names of signals."""

_FRAME_PATTERN: Final = re.compile(r" {2}(\S.*?:\d+)(: .*)?")
_MAX_ERROR_LENGTH: Final = 500


class WorkerBootstrap(msgspec.Struct, frozen=True, kw_only=True):
    """Start parameters of a worker. File descriptors are inherited."""

    channel_fd: int
    listener_fds: list[int]
    ops_listener_fds: list[int] | None
    """None if the main port serves the ops endpoints."""
    port_conflict: str
    """Sentence that names the holder of the default port. Empty if that port was free."""
    replaces_running_worker: bool
    """Whether another worker serves, so that this one need not accept connections before its load is over."""
    settings: Settings
    """The settings that the supervisor started with."""
    load_error: str | None
    """The error to serve instead of the user's code, in one line. None to load the code."""


class WorkerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """State that a worker reports.

    `serving`: it accepts connections, and responds with 503 if there is an `error`. `imported`: it has imported code
    from `folders`. `stopped_accepting`: another worker has taken over. `start_failed`: it exits because of `error`.
    """

    event: Literal["serving", "imported", "stopped_accepting", "start_failed"]
    error: str = ""
    folders: list[str] = []
    """Folders of the user's code, without askd, the standard library and installed packages."""


class ControlChannel:
    """The worker's end of the channel."""

    def __init__(self, bootstrap: WorkerBootstrap) -> None:
        self.bootstrap = bootstrap
        self.socket = _adopt_socket(bootstrap.channel_fd)

    def send(self, message: WorkerMessage) -> None:
        """Send a message to the supervisor. Does nothing if the supervisor has exited."""
        with contextlib.suppress(OSError):
            self.socket.sendall(msgspec.json.encode(message) + b"\n")

    def receive_commands(self) -> list[str]:
        """Return the commands received, when the socket is readable. Empty if the supervisor has exited."""
        try:
            return self.socket.recv(256).decode().split()
        except ConnectionError:  # a reset: the supervisor has exited without reading our last message
            return []

    def listeners(self) -> Listeners:
        """Return the inherited listening sockets."""
        ops_fds = self.bootstrap.ops_listener_fds
        return Listeners(
            [_adopt_socket(fd) for fd in self.bootstrap.listener_fds],
            None if ops_fds is None else [_adopt_socket(fd) for fd in ops_fds],
            self.bootstrap.port_conflict,
        )


def _adopt_socket(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)  # processes that the user's code starts must not keep the port open
    adopted = socket.socket(fileno=fd)
    adopted.setblocking(False)
    return adopted


@cache
def get_control_channel() -> ControlChannel:
    """Return this worker's channel. Raises ValidationError if this process is not a worker."""
    return ControlChannel(msgspec.json.decode(reload.worker_bootstrap_json or "", type=WorkerBootstrap))


class WorkerProcess:
    """A running worker, as the supervisor sees it. `on_message` is called on the event loop."""

    def __init__(
        self,
        pid: int,
        channel: socket.socket,
        on_message: "Callable[[WorkerProcess, WorkerMessage], None]",
        *,
        serves_load_error: bool,
    ) -> None:
        self.pid = pid
        self.serves_load_error = serves_load_error
        self._channel = channel
        self._on_message = on_message
        self._buffer = b""
        channel.setblocking(False)
        asyncio.get_running_loop().add_reader(channel, self.read_messages)

    def send_command(self, command: str) -> None:
        """Send SWAP_COMMAND or the name of a signal."""
        with contextlib.suppress(OSError):  # the worker has exited: SIGCHLD reports that
            self._channel.sendall(command.encode() + b"\n")

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """Read the last messages of the exited process, and close the channel."""
        self.read_messages()
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()

    def read_messages(self) -> None:
        """Pass on each complete message that has arrived."""
        with contextlib.suppress(OSError):
            while data := self._channel.recv(1 << 16):
                self._buffer += data
            asyncio.get_running_loop().remove_reader(self._channel)  # end of file
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._on_message(self, msgspec.json.decode(line, type=WorkerMessage))


class WorkerLauncher:
    """Starts workers with the supervisor's command line and its listening sockets."""

    def __init__(
        self, settings: Settings, listeners: Listeners, *, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._listener_fds = _make_inheritable(listeners.main)
        self._ops_listener_fds = None if listeners.ops is None else _make_inheritable(listeners.ops)
        self._port_conflict = listeners.port_conflict
        self._command = list(command)
        self._environment = environment

    def start(
        self,
        on_message: Callable[[WorkerProcess, WorkerMessage], None],
        *,
        replaces_running_worker: bool,
        load_error: str | None = None,
    ) -> WorkerProcess:
        """Start a worker, which serves `load_error` instead of the user's code if that is not None. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            bootstrap = WorkerBootstrap(
                channel_fd=theirs.fileno(),
                listener_fds=self._listener_fds,
                ops_listener_fds=self._ops_listener_fds,
                port_conflict=self._port_conflict,
                replaces_running_worker=replaces_running_worker,
                settings=self._settings,
                load_error=load_error,
            )
            environment = {**self._environment, WORKER_VARIABLE: msgspec.json.encode(bootstrap).decode()}
            # SIGINT stays blocked until the worker has a handler, because a terminal sends Ctrl-C to it as well.
            pid = os.posix_spawn(self._command[0], self._command, environment, setsigmask=[signal.SIGINT])
        return WorkerProcess(pid, ours, on_message, serves_load_error=load_error is not None)


def _make_inheritable(listeners: Sequence[socket.socket]) -> list[int]:
    """Let workers inherit the sockets. Returns the file descriptors."""
    for listener in listeners:
        listener.set_inheritable(True)
    return [listener.fileno() for listener in listeners]


def one_line_error(error: BaseException) -> str:
    """Return an error as `main.py:4: ModuleNotFoundError: No module named 'x'`, or the first line of its message.

    It relies on the format of errors in user code (`askd.answerers.user_code.exceptions`): a heading, then the
    user's frames indented by two spaces, then the exception.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    frames = [index for index, line in enumerate(lines) if _FRAME_PATTERN.fullmatch(line)]
    if not frames or frames[-1] + 1 == len(lines):
        return lines[0][:_MAX_ERROR_LENGTH]
    location = _FRAME_PATTERN.fullmatch(lines[frames[-1]])
    return f"{location[1] if location else ''}: {lines[frames[-1] + 1].strip()}"[:_MAX_ERROR_LENGTH]
