"""One worker as the supervisor sees it: its process, and the supervisor's end of the link."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

import msgspec

from service.reload import VARIABLE
from service.reload.link import Post, Said
from service.settings import Settings


class Child:
    """A worker that runs. `heard` is called with each thing that it says, on the event loop."""

    def __init__(
        self, pid: int, link: socket.socket, heard: "Callable[[Child, Said], None]", *, stands_in: bool
    ) -> None:
        self.pid = pid
        self.stands_in = stands_in
        self._link = link
        self._heard = heard
        self._text = b""
        link.setblocking(False)
        asyncio.get_running_loop().add_reader(link, self.listen)

    def command(self, word: str) -> None:
        """Tell it SWAP or the name of a signal."""
        with contextlib.suppress(OSError):  # it has ended, of which SIGCHLD tells
            self._link.sendall(word.encode() + b"\n")

    def kill(self) -> None:
        """End it, whatever it does."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """Hear what it said last, and close the link. It must have ended."""
        self.listen()
        if self._link.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._link)
            self._link.close()

    def listen(self) -> None:
        """Read what it says, as far as that has come."""
        with contextlib.suppress(OSError):
            while data := self._link.recv(1 << 16):
                self._text += data
            asyncio.get_running_loop().remove_reader(self._link)  # the end of what it says
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            self._heard(self, msgspec.json.decode(line, type=Said))


class Launcher:
    """Starts workers: the supervisor's own command line again, with the sockets to listen on."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        ops_listeners: Sequence[socket.socket] | None,
        *,
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._listeners = _shared(listeners)
        self._ops_listeners = None if ops_listeners is None else _shared(ops_listeners)
        self._command = list(command)
        self._environment = environment

    def start(self, heard: Callable[[Child, Said], None], *, takes_over: bool, fault: str | None = None) -> Child:
        """Start a worker, one that stands in where there is a fault. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            post = Post(
                link=theirs.fileno(),
                listeners=self._listeners,
                ops_listeners=self._ops_listeners,
                takes_over=takes_over,
                settings=self._settings,
                fault=fault,
            )
            environment = {**self._environment, VARIABLE: msgspec.json.encode(post).decode()}
            # SIGINT stays blocked until the worker has a handler: Ctrl-C reaches it too
            pid = os.posix_spawn(self._command[0], self._command, environment, setsigmask=[signal.SIGINT])
        return Child(pid, ours, heard, stands_in=fault is not None)


def _shared(listeners: Sequence[socket.socket]) -> list[int]:
    """Let workers inherit the sockets; return their numbers."""
    for listener in listeners:
        listener.set_inheritable(True)
    return [listener.fileno() for listener in listeners]
