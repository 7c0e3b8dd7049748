"""Transport of a connection before the event loop has one for it: until its first bytes, or its TLS handshake."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

_MORE_FOLLOWS: Final = getattr(socket, "MSG_MORE", 0)
"""Keeps the last packet back (Linux), so that the end of the connection goes with it: to send each packet of a refusal
costs as much as to render it."""


class EarlyTransport(asyncio.Transport):
    """Writes to the socket at once, and keeps the bytes that it does not take.

    Args:
        sock: The accepted, non-blocking socket.
        peer_address: Address of the client, as `accept()` returns it.
        on_closed: Called when the socket was closed, because everything was sent.
        is_tls: Whether a handshake follows. Nothing is written before it.
    """

    def __init__(
        self, sock: socket.socket, peer_address: object, on_closed: Callable[[], None], *, is_tls: bool = False
    ) -> None:
        super().__init__()
        self._sock = sock
        self._peer_address = peer_address
        self._on_closed = on_closed
        self._is_tls = is_tls
        self.close_socket: Callable[[], object] = sock.close
        """Closes the socket. Replaced while the event loop uses it."""
        self.bytes_came_later = False
        """Whether the first bytes arrived after the accept."""
        self.unsent = b""
        """Bytes that are not sent yet, or that the socket did not take."""
        self.holds_writes = False
        """Whether writes wait for `flush()` or `close()`."""
        self._is_closing = False
        self.is_closed = False
        """Whether the socket is closed."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send the data."""
        if self.is_closed or self._is_tls:
            return
        is_first = not self.unsent
        self.unsent += data
        if is_first and not self.holds_writes:
            self.flush()

    def flush(self, flags: int = 0) -> None:
        """Send what was written. From now on, writes are sent at once."""
        self.holds_writes = False
        if self.unsent and not self.is_closed:
            try:
                self.unsent = self.unsent[self._sock.send(self.unsent, flags) :]
            except BlockingIOError:
                return
            except OSError:  # the client has disconnected
                self.unsent = b""

    def close(self) -> None:
        """Close the connection: now if everything was sent, else when the event loop has sent the rest."""
        if not self._is_closing:
            self._is_closing = True
            if self.holds_writes:
                self.flush(_MORE_FOLLOWS)
            if not self.unsent:
                self._close_socket()

    def can_write_eof(self) -> bool:
        """Send what was kept, and return whether all is sent, so that the client can be told that nothing follows."""
        self.flush()
        return not self.unsent

    def write_eof(self) -> None:
        """Tell the client that nothing follows."""
        with contextlib.suppress(OSError):  # the client has disconnected
            self._sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close the connection now."""
        self._is_closing, self.unsent = True, b""
        self._close_socket()

    def _close_socket(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.close_socket()
            self._on_closed()

    def is_closing(self) -> bool:
        """Return whether the connection closes as soon as everything is sent."""
        return self._is_closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the socket, or the address of the peer."""
        return {"socket": self._sock, "peername": self._peer_address}.get(name, default)

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent yet."""
        return len(self.unsent)

    def pause_reading(self) -> None:
        """Do nothing: nothing is read before the event loop takes over, and the connection then pauses it."""

    def resume_reading(self) -> None:
        """Do nothing."""
