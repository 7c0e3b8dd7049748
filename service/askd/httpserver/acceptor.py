"""Acceptor: takes up to 256 waiting connections in each iteration of the event loop, and handles their first bytes.

uvloop accepts one connection per listener and iteration. If each iteration also runs code for milliseconds, clients
that open a connection for each request wait in the kernel's queue, where no limit of the server sees them. Here each
waiting connection is accepted and read. If a request is shed, its 503 is sent and the connection closed before the
event loop creates its own transport. A connection that has sent nothing has only a small `EarlyTransport` and no TLS
state, so many of them cost little memory. It counts toward the connection limit, and can be evicted, as soon as it is
accepted.
"""

import asyncio
import contextlib
import errno
import math
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

from askd.httpserver.early_transport import EarlyTransport
from askd.httpserver.protocol import HttpConnection

MAX_ACCEPTS_PER_ITERATION: Final = 256
"""Connections of one listener per loop iteration. The others wait for the next one."""
MAX_SECONDS_PER_ITERATION: Final = 0.01
"""Seconds of accepting and of handling the first bytes of one listener per loop iteration."""
EARLY_READ_SIZE: Final = 64 << 10
"""Bytes that are read from a connection before the event loop takes it over."""
PAUSE_SECONDS: Final = 0.1
"""Seconds without accepting when the process or the machine has no file descriptors or memory for connections."""
TLS_SHUTDOWN_TIMEOUT: Final = 5.0
"""Seconds to wait for the client's close_notify when a TLS connection is closed."""
_OUT_OF_RESOURCES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_TCP_INFO_FORMAT: Final = struct.Struct("=B23xI24xI")
"""Three fields of `struct tcp_info` (linux/tcp.h; newer kernels only append fields): `tcpi_state`; `tcpi_unacked`,
which for a listener is the number of connections that wait to be accepted; `tcpi_last_data_recv`, milliseconds since
the last bytes arrived."""
_CLOSE_WAIT: Final = 8
"""State of a connection whose client has ended its sending side (linux/tcp_states.h)."""

_log = structlog.get_logger("askd.connection")


class Acceptor:
    """Accepts the connections of one listener.

    Args:
        listener: A listening, non-blocking socket.
        create_connection: Creates the protocol of a connection.
        may_accept: Returns False if the next connection has to wait for the next iteration of the event loop.
        on_accept_delay: Called with the seconds for which the first bytes of a connection waited in the kernel, once
            per iteration. Not called for TLS.
        tls: TLS context, or None for plain HTTP.
        handshake_timeout: Seconds for the TLS handshake.
        spare_descriptors: File descriptors to hold open, and to give up one by one for connections of this listener
            when the process has no others.
    """

    def __init__(
        self,
        listener: socket.socket,
        create_connection: Callable[[], HttpConnection],
        *,
        may_accept: Callable[[], bool],
        on_accept_delay: Callable[[float], None],
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = 10.0,
        spare_descriptors: int = 0,
    ) -> None:
        self._listener = listener
        self._create_connection = create_connection
        self._may_accept = may_accept
        self._on_accept_delay = on_accept_delay
        self._spare_descriptors = SpareDescriptors(spare_descriptors)
        self.pauses = 0
        """How often accepting was paused because descriptors or memory had run out."""
        self._tls_options: dict[str, Any] = {}
        if tls is not None:
            self._tls_options = dict(
                ssl=tls, ssl_handshake_timeout=handshake_timeout, ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT
            )
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_exhausted = False  # whether the last attempt to accept found no descriptor or memory

    def start(self) -> None:
        """Start accepting."""
        self._pause = None
        self._loop.add_reader(
            self._listener.fileno(), self._accept_waiting, MAX_ACCEPTS_PER_ITERATION, MAX_SECONDS_PER_ITERATION
        )

    def stop(self, *, accept_waiting: bool) -> None:
        """Close the listener.

        Args:
            accept_waiting: Whether to accept the connections that wait, which their clients consider accepted. False
                leaves them to another process that shares the listener.
        """
        self._loop.remove_reader(self._listener.fileno())
        if accept_waiting:
            self._may_accept = lambda: True
            self._accept_waiting(1 << 16, math.inf)
        if self._pause is not None:
            self._pause.cancel()
        self._spare_descriptors.close()
        self._listener.close()

    @property
    def queue_length(self) -> int:
        """Number of connections that wait in the kernel to be accepted. Safe to call from any thread."""
        return _read_tcp_info(self._listener)[1]

    def _accept_waiting(self, limit: int, seconds: float) -> None:
        self._spare_descriptors.refill()
        ends_at = time.monotonic() + seconds
        for count in range(limit):
            if not self._may_accept() or (count and time.monotonic() >= ends_at):
                return
            try:
                sock, peer_address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    continue  # the client has disconnected while it waited
                if self._spare_descriptors.release():
                    continue
                self._pause_accepting(error)
                return
            self._is_exhausted = False
            sock.setblocking(False)
            data = self._read_first(sock)
            if data == b"":  # the client has disconnected while it waited
                sock.close()
                continue
            self._add(sock, peer_address, data, is_first=not count and data is not None and not self._tls_options)

    def _pause_accepting(self, error: OSError) -> None:
        if not self._is_exhausted:
            _log.warning("accept_paused", error=error.strerror, seconds=PAUSE_SECONDS)
        self._is_exhausted = True
        self.pauses += 1
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(PAUSE_SECONDS, self.start)

    def _read_first(self, sock: socket.socket) -> bytes | None:
        """Return the bytes that have arrived: None without any, empty if the client has disconnected.

        With TLS it is only one byte, which the handshake reads again.
        """
        try:
            return sock.recv(1, socket.MSG_PEEK) if self._tls_options else sock.recv(EARLY_READ_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _add(self, sock: socket.socket, peer_address: object, data: bytes | None, *, is_first: bool) -> None:
        """Count a connection, which may evict another one, and handle its first bytes now or when they arrive."""
        state, _, milliseconds = (0, 0, 0) if data is None else _read_tcp_info(sock)
        if is_first:
            self._on_accept_delay(milliseconds / 1000)
        connection = self._create_connection()
        transport = EarlyTransport(
            sock, peer_address, lambda: connection.connection_lost(None), is_tls=bool(self._tls_options)
        )
        transport.holds_writes = data is not None
        connection.connection_made(transport)
        if transport.is_closed:  # the connection limit is reached
            return
        if data is None:
            self._wait(sock, connection, transport)
        else:
            has_ended = state == _CLOSE_WAIT
            self._handle(sock, connection, transport, data, waited=milliseconds / 1000, has_ended=has_ended)

    def _wait(self, sock: socket.socket, connection: HttpConnection, transport: EarlyTransport) -> None:
        descriptor = sock.fileno()

        def read() -> None:
            data = self._read_first(sock)
            if data is None:
                return
            self._loop.remove_reader(descriptor)
            transport.close_socket = sock.close
            if data:
                self._handle(sock, connection, transport, data)
            else:
                transport.abort()

        def close() -> None:
            self._loop.remove_reader(descriptor)
            sock.close()

        transport.close_socket, transport.bytes_came_later = close, True
        self._loop.add_reader(descriptor, read)

    def _handle(
        self,
        sock: socket.socket,
        connection: HttpConnection,
        transport: EarlyTransport,
        data: bytes,
        *,
        waited: float = 0.0,
        has_ended: bool = False,
    ) -> None:
        """Handle the first bytes, which have waited in the kernel for so many seconds; the event loop takes over then.

        `has_ended` tells that the client has ended its sending side.
        """
        if not self._tls_options and not transport.is_closing():
            connection.data_received(data, waited)
        if has_ended and not connection.eof_received():  # now, before the answerer works for a client that has given up
            transport.close()
        transport.flush()
        if transport.is_closed:
            return
        task = self._loop.create_task(self._hand_over_to_loop(sock, connection))
        transport.close_socket = task.cancel  # the event loop may use the socket already
        self._tasks.add(task)

        def finish(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if transport.is_closed:
                sock.close()

        task.add_done_callback(finish)

    async def _hand_over_to_loop(self, sock: socket.socket, connection: HttpConnection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, **self._tls_options)
        except (OSError, asyncio.CancelledError):  # disconnected, evicted, or the TLS handshake has failed
            if isinstance(connection.transport, EarlyTransport):
                connection.connection_lost(None)
            sock.close()


class SpareDescriptors:
    """Descriptors that are kept open, and given up when all others are used.

    Args:
        size: Number of descriptors.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._descriptors: list[int] = []
        self.refill()

    def refill(self) -> None:
        """Take as many descriptors as are missing, if the process has them."""
        with contextlib.suppress(OSError):
            while len(self._descriptors) < self._size:
                self._descriptors.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def release(self) -> bool:
        """Close one descriptor. Returns False if none is left."""
        if not self._descriptors:
            return False
        os.close(self._descriptors.pop())
        return True

    def close(self) -> None:
        """Close all descriptors."""
        self._size = 0
        while self.release():
            pass


def total_queue_length(acceptors: Iterable[Acceptor]) -> int:
    """Return the number of connections that wait in the kernel to be accepted."""
    return sum(acceptor.queue_length for acceptor in acceptors)


def _read_tcp_info(sock: socket.socket) -> tuple[int, int, int]:
    """Return `_TCP_INFO_FORMAT` of a socket; zeros where there is none (macOS, Unix sockets)."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return 0, 0, 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_FORMAT.size)
    except OSError:
        return 0, 0, 0
    return _TCP_INFO_FORMAT.unpack(info) if len(info) == _TCP_INFO_FORMAT.size else (0, 0, 0)
