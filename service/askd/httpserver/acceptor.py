"""Acceptor: takes up to 256 waiting connections in each iteration of the event loop, and handles their first bytes.

uvloop accepts one connection per listener and iteration. If each iteration also runs code for milliseconds, clients
that open a connection for each request wait in the kernel's queue, where no limit of the server sees them. Here each
waiting connection is accepted and read. If its request is shed, it is refused and closed before the event loop has
allocated a transport for it. TLS connections, and those that have not sent anything yet, are left to the event loop.
"""

import asyncio
import errno
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

from askd.httpserver.early_transport import EarlyTransport
from askd.httpserver.protocol import HttpConnection

MAX_ACCEPTS_PER_ITERATION: Final = 256
"""Connections of one listener per loop iteration. The others wait for the next one."""
EARLY_READ_SIZE: Final = 64 << 10
"""Bytes that are read from a connection before the event loop takes it over."""
PAUSE_SECONDS: Final = 0.1
"""Seconds without accepting when the process or the machine has no file descriptors or memory for connections."""
TLS_SHUTDOWN_TIMEOUT: Final = 5.0
"""Seconds to wait for the client's close_notify when a TLS connection is closed."""
_OUT_OF_RESOURCES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_TCP_INFO_FORMAT: Final = struct.Struct("8B24I")
"""The beginning of `struct tcp_info` (linux/tcp.h), which later kernels only extend."""
_LAST_DATA_RECEIVED: Final = 8 + 11
"""Index of `tcpi_last_data_recv` in it: milliseconds since the last bytes arrived."""
_QUEUE_LENGTH: Final = 8 + 4
"""Index of `tcpi_unacked`: for a listener, the number of connections that wait to be accepted."""

_log = structlog.get_logger("askd.connection")


class Acceptor:
    """Accepts the connections of one listener.

    Args:
        listener: A listening, non-blocking socket.
        create_connection: Creates the protocol of a connection; the argument is whether its first bytes are handled
            before the event loop has a transport for it.
        on_accept_delay: Called with the seconds for which the first bytes of a connection waited in the kernel, once
            per iteration. Not called for TLS.
        tls: TLS context, or None for plain HTTP.
        handshake_timeout: Seconds for the TLS handshake.
    """

    def __init__(
        self,
        listener: socket.socket,
        create_connection: Callable[[bool], HttpConnection],
        *,
        on_accept_delay: Callable[[float], None],
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = 10.0,
    ) -> None:
        self._listener = listener
        self._create_connection = create_connection
        self._on_accept_delay = on_accept_delay
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
        self._loop.add_reader(self._listener.fileno(), self._accept_waiting, MAX_ACCEPTS_PER_ITERATION)

    def stop(self, *, accept_waiting: bool) -> None:
        """Close the listener.

        Args:
            accept_waiting: Whether to accept the connections that wait, which their clients consider accepted. False
                leaves them to another process that shares the listener.
        """
        self._loop.remove_reader(self._listener.fileno())
        if accept_waiting:
            self._accept_waiting(1 << 16)
        if self._pause is not None:
            self._pause.cancel()
        self._listener.close()

    @property
    def queue_length(self) -> int:
        """Number of connections that wait in the kernel to be accepted. Safe to call from any thread."""
        return _read_tcp_info(self._listener, _QUEUE_LENGTH)

    def _accept_waiting(self, limit: int) -> None:
        for count in range(limit):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    if not self._is_exhausted:
                        _log.warning("accept_paused", error=error.strerror, seconds=PAUSE_SECONDS)
                    self._is_exhausted = True
                    self._loop.remove_reader(self._listener.fileno())
                    self._pause = self._loop.call_later(PAUSE_SECONDS, self.start)
                    return
                continue  # the client has disconnected while it waited
            self._is_exhausted = False
            sock.setblocking(False)
            if self._tls_options:
                self._hand_over(sock, self._create_connection(False))
                continue
            self._handle_early(sock, is_first=not count)

    def _handle_early(self, sock: socket.socket, *, is_first: bool) -> None:
        """Handle the bytes that have arrived already, and let the event loop take the connection over."""
        try:
            data = sock.recv(EARLY_READ_SIZE)
        except BlockingIOError:
            self._hand_over(sock, self._create_connection(False))
            return
        except OSError:
            data = b""
        if not data:  # the client has disconnected while it waited
            sock.close()
            return
        if is_first:
            self._on_accept_delay(_read_tcp_info(sock, _LAST_DATA_RECEIVED) / 1000)
        connection = self._create_connection(True)
        transport = EarlyTransport(sock, lambda: connection.connection_lost(None))
        connection.connection_made(transport)
        if not transport.is_closing():
            connection.data_received(data)
        if not transport.is_closed:
            self._hand_over(sock, connection)

    def _hand_over(self, sock: socket.socket, connection: HttpConnection) -> None:
        task = self._loop.create_task(self._connect(sock, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket, connection: HttpConnection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, **self._tls_options)
        except (OSError, asyncio.CancelledError):  # the client has disconnected, or the TLS handshake has failed
            if connection.is_early:
                connection.connection_lost(None)
            sock.close()


def total_queue_length(acceptors: Iterable[Acceptor]) -> int:
    """Return the number of connections that wait in the kernel to be accepted."""
    return sum(acceptor.queue_length for acceptor in acceptors)


def _read_tcp_info(sock: socket.socket, index: int) -> int:
    """Return a field of the kernel's information about a socket; 0 where there is none (macOS, Unix sockets)."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_FORMAT.size)
    except OSError:
        return 0
    return int(_TCP_INFO_FORMAT.unpack(info)[index]) if len(info) == _TCP_INFO_FORMAT.size else 0
