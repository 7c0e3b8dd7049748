"""Transport of a connection whose first bytes are handled before the event loop has a transport for it."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any


class EarlyTransport(asyncio.Transport):
    """Writes to the socket at once, and keeps the bytes that it does not take.

    Args:
        sock: The accepted, non-blocking socket.
        on_closed: Called when the socket was closed, because everything was sent.
    """

    def __init__(self, sock: socket.socket, on_closed: Callable[[], None]) -> None:
        super().__init__()
        self._sock = sock
        self._on_closed = on_closed
        self.unsent = b""
        """Bytes that the socket did not take."""
        self._is_closing = False
        self.is_closed = False
        """Whether the socket is closed."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send the data."""
        if self.is_closed:
            return
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # the client has disconnected
            sent = len(data)
        self.unsent = bytes(data[sent:])

    def close(self) -> None:
        """Close the connection: now if everything was sent, else when the event loop has sent the rest."""
        if not self._is_closing:
            self._is_closing = True
            if not self.unsent:
                self._close_socket()

    def can_write_eof(self) -> bool:
        """Return whether the client can be told that nothing follows, which requires that everything was sent."""
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
            self._sock.close()
            self._on_closed()

    def is_closing(self) -> bool:
        """Return whether the connection closes as soon as everything is sent."""
        return self._is_closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the socket, or the address of the peer."""
        if name == "socket":
            return self._sock
        if name == "peername" and not self.is_closed:
            try:
                return self._sock.getpeername()
            except OSError:  # the client has disconnected
                return default
        return default

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent yet."""
        return len(self.unsent)

    def pause_reading(self) -> None:
        """Do nothing: nothing is read before the event loop takes over, and the connection then pauses it."""

    def resume_reading(self) -> None:
        """Do nothing."""
