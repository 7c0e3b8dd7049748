"""A transport that records writes instead of sending them."""

import asyncio
from typing import Any


class FakeTransport(asyncio.Transport):
    """Appends each write to a list, which several transports may share."""

    def __init__(self, written: list[bytes] | None = None) -> None:
        super().__init__()
        self.written = [] if written is None else written

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Record the data."""
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        """Return False: the transport never closes."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return a peer address, and no other information."""
        return ("127.0.0.1", 5) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        """Return 0: all data counts as sent."""
        return 0

    def close(self) -> None:
        """Do nothing."""
