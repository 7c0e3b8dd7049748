"""The limit: uvloop and `asyncio.Protocol`, one constant response for each blank line, no HTTP. Usage: raw.py PORT."""

import asyncio
import sys
from typing import Final, cast

import uvloop

BODY: Final = b'{"answer":"Hi"}'
RESPONSE: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


class Connection(asyncio.Protocol):
    """Answers, whatever was asked."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write to."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer each request that has come to its end."""
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        self._transport.write(RESPONSE * len(requests))


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
