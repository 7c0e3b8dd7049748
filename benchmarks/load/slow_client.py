"""Clients that send or read slowly or not at all, and the times at which the server closes them."""

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SEND_INTERVAL: Final = 0.5
"""Seconds between two small sends or reads."""
POLL_INTERVAL: Final = 0.25
"""Seconds between two reads of the server's sockets."""
RECEIVE_BUFFER: Final = 4096
"""Receive buffer of the client in bytes."""
_OPEN_STATES: Final = {"01", "03", "08"}
"""TCP states of a connection that the server has not closed: established, SYN received, close wait (proc(5))."""


class SlowClient:
    """Sends bytes at the start and small pieces later.

    Args:
        start: Bytes to send immediately.
        piece: Bytes to send every SEND_INTERVAL.
        read_size: Number of bytes to read every SEND_INTERVAL; None reads everything, 0 nothing.
    """

    def __init__(self, start: bytes = b"", *, piece: bytes = b"", read_size: int | None = None) -> None:
        self._start, self._piece, self._read_size = start, piece, read_size
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._received = b""
        self.port = 0
        """Port of the client, which identifies the connection in /proc/net/tcp."""
        self.started_at = 0.0
        self.lifetime: float | None = None
        """Seconds until the server closed the connection; None while it is open."""

    @property
    def status(self) -> str:
        """The received status, or `nothing`."""
        return self._received[9:12].decode(errors="replace") if self._received.startswith(b"HTTP/1.") else "nothing"

    async def open(self, port: int) -> None:
        """Connect, send the first bytes, and continue in the background."""
        self._socket = sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        self.port, self.started_at = sock.getsockname()[1], time.monotonic()
        if self._start:
            await loop.sock_sendall(sock, self._start)
        self._task = loop.create_task(self._run(sock))

    async def _run(self, sock: socket.socket) -> None:
        while True:
            if not self._send_and_receive(sock):
                return
            await asyncio.sleep(SEND_INTERVAL)

    def _send_and_receive(self, sock: socket.socket) -> bool:
        """Read and send once. Returns False if the connection has ended."""
        try:
            if self._read_size != 0:
                data = sock.recv(self._read_size or 1 << 16)
                self._received = (self._received + data)[:RECEIVE_BUFFER]
                return bool(data)
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            if self._piece:
                sock.send(self._piece)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._task:
            self._task.cancel()
        if self._socket:
            self._socket.close()


async def record_lifetimes(port: int, clients: Sequence[SlowClient]) -> None:
    """Record when the server closes each connection, until cancelled.

    A client cannot notice the end of a connection before it has read all bytes, so this reads /proc/net/tcp.
    """
    while True:
        open_ports, now = open_client_ports(port), time.monotonic()
        for client in clients:
            if client.port and client.lifetime is None and client.port not in open_ports:
                client.lifetime = now - client.started_at
        await asyncio.sleep(POLL_INTERVAL)


def open_client_ports(port: int) -> set[int]:
    """Return the client ports of the IPv4 connections to a port of 127.0.0.1 that the server has not closed."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    server = f"0100007F:{port:04X}"
    return {int(remote[-4:], 16) for _, local, remote, state, *_ in lines if local == server and state in _OPEN_STATES}
