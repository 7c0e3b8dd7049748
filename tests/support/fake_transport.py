"""A transport that goes nowhere."""

import asyncio
from typing import Any


class Pipe(asyncio.Transport):
    """Notes what is written, in one list with others if they are given it."""

    def __init__(self, written: list[bytes] | None = None) -> None:
        super().__init__()
        self.written = [] if written is None else written

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note it."""
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        """Say that it stays."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Know an address at the other end."""
        return ("127.0.0.1", 5) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        """Have sent everything."""
        return 0

    def close(self) -> None:
        """Do nothing."""
