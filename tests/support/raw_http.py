"""HTTP requests as bytes, and a client connection that sends and receives them."""

import asyncio
from typing import NamedTuple

MALFORMED_REQUEST = b"GET /ask?q=x HTTP/1.1\r\nHost: askd\r\nHost: other\r\n\r\n"
HOST_HEADER = b"Host: askd\r\n"


def get_request(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: askd", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post_request(body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    """Return a `POST /ask`, with a Content-Length unless the headers frame the body."""
    is_framed = any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers)
    length = () if is_framed else (f"Content-Length: {len(body)}",)
    return get_request("/ask", f"Content-Type: {content_type}", *headers, *length, method="POST") + body


class RawResponse(NamedTuple):
    """A response as received."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawConnection:
    """A client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Read the status line and the headers."""
        async with asyncio.timeout(5):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def read_response(self, *, head_request: bool = False) -> RawResponse:
        """Read one response; for HEAD, without a body."""
        status, headers = await self.read_head()
        length = 0 if head_request else int(headers.get("content-length", 0))
        async with asyncio.timeout(5):
            return RawResponse(status, headers, await self.reader.readexactly(length))

    async def read_until_closed(self) -> bytes:
        """Read until the server closes the connection."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        await self.writer.wait_closed()


def statuses(data: bytes) -> list[int]:
    """Return the statuses of several responses."""
    return [int(response[:3]) for response in data.split(b"HTTP/1.1 ")[1:]]


async def read_bodies(client: RawConnection, count: int) -> list[bytes]:
    """Read responses and return their bodies."""
    return [(await client.read_response()).body for _ in range(count)]
