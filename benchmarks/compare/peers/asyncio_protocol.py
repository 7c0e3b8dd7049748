"""Upper bound: an `asyncio.Protocol` on uvloop that writes a constant response without parsing. Argument: PORT."""

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
    """Responds to every blank line."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request."""
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        self._transport.write(RESPONSE * len(requests))


async def main() -> None:
    """Serve until the process is terminated."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
