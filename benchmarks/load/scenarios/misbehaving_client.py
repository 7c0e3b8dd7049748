"""Rude clients: they begin, then drip, or do not read what they asked for. And when the server had enough of each."""

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DRIP: Final = 0.5
"""Seconds between two drops."""
LOOK: Final = 0.25
"""Seconds between two looks at the server's sockets."""
BUFFER: Final = 4096
"""Bytes that the client's kernel takes without it."""
_OPEN: Final = {"01", "03", "08"}
"""States of a connection that the server has not ended: established, half open, ended by the client (proc(5))."""


class Rude:
    """Sends `start`, then a `drip` every now and then. `reads`: bytes that it takes with each drop, None: all."""

    def __init__(self, start: bytes = b"", *, drip: bytes = b"", reads: int | None = None) -> None:
        self._start, self._drip, self._reads = start, drip, reads
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._got = b""
        self.port = 0
        """Its own port, by which the server's side of the connection is found."""
        self.began = 0.0
        self.lasted: float | None = None
        """Seconds from its first byte until the server ended the connection; None: it is still open."""

    @property
    def status(self) -> str:
        """The status that it has read, or what it got instead."""
        return self._got[9:12].decode(errors="replace") if self._got.startswith(b"HTTP/1.") else "nothing"

    async def open(self, port: int) -> None:
        """Connect, and begin."""
        self._socket = made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(made, ("127.0.0.1", port))
        self.port, self.began = made.getsockname()[1], time.monotonic()
        if self._start:
            await loop.sock_sendall(made, self._start)
        self._task = loop.create_task(self._live(made))

    async def _live(self, made: socket.socket) -> None:
        while True:
            if not self._goes_on(made):
                return
            await asyncio.sleep(DRIP)

    def _goes_on(self, made: socket.socket) -> bool:
        """Take what it takes, and send a drop; says whether it has something to go on for."""
        try:
            if self._reads != 0:
                data = made.recv(self._reads or 1 << 16)
                self._got = (self._got + data)[:BUFFER]
                return bool(data)
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            if self._drip:
                made.send(self._drip)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Go."""
        if self._task:
            self._task.cancel()
        if self._socket:
            self._socket.close()


async def note_ends(port: int, rudes: Sequence[Rude]) -> None:
    """Look, until cancelled, which connections the server has ended, and note when.

    The client could not tell: the end of a connection stands behind the bytes that it does not read.
    """
    while True:
        alive, now = still_open(port), time.monotonic()
        for rude in rudes:
            if rude.port and rude.lasted is None and rude.port not in alive:
                rude.lasted = now - rude.began
        await asyncio.sleep(LOOK)


def still_open(port: int) -> set[int]:
    """The clients' ports of all IPv4 connections to a port of 127.0.0.1 that the server has not ended."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    here = f"0100007F:{port:04X}"
    return {int(remote[-4:], 16) for _, local, remote, state, *_ in lines if local == here and state in _OPEN}
