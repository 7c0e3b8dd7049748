"""HTTP/1.1 as bytes: GET requests, and a minimal parser of responses."""

from typing import Final, NamedTuple

HEAD_END: Final = b"\r\n\r\n"


class Response(NamedTuple):
    """A complete response. `size` is its number of bytes in the buffer."""

    status: int
    head: bytes
    """Status line and headers in lowercase."""
    body: bytes
    size: int

    @property
    def closes_connection(self) -> bool:
        """Whether the response has `Connection: close`."""
        return b"\r\nconnection: close" in self.head

    def header(self, name: bytes) -> str:
        """Return the value of a header, empty if it is missing. `name` must be lowercase."""
        return _header(self.head, name).decode()


def get_request(target: str, *fields: str, host: str = "127.0.0.1") -> bytes:
    """Return a GET request; `fields` are header lines such as `Accept: text/event-stream`."""
    return "\r\n".join((f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", "")).encode()


def parse_response(buffer: bytes) -> Response | None:
    """Return the response at the beginning of the buffer, or None if it is incomplete.

    A response without length and chunks has an empty body, because askd always sends one of them.

    Raises:
        ValueError: The buffer does not contain HTTP.
    """
    head_end = buffer.find(HEAD_END)
    if head_end < 0:
        return None
    head, start = buffer[:head_end].lower(), head_end + len(HEAD_END)
    if b"\r\ntransfer-encoding: chunked" in head:
        return _parse_chunked(buffer, head, start)
    end = start + int(_header(head, b"content-length") or 0)
    return Response(int(head[9:12]), head, buffer[start:end], end) if len(buffer) >= end else None


def _parse_chunked(buffer: bytes, head: bytes, start: int) -> Response | None:
    parts: list[bytes] = []
    position = start
    while (line := buffer.find(b"\r\n", position)) >= 0:
        size = int(buffer[position:line].partition(b";")[0], 16)
        end = line + 2 + size + 2
        if len(buffer) < end:
            return None
        if not size:
            return Response(int(head[9:12]), head, b"".join(parts), end)
        parts.append(buffer[line + 2 : end - 2])
        position = end
    return None


def _header(head: bytes, name: bytes) -> bytes:
    position = head.find(b"\r\n" + name + b":")
    if position < 0:
        return b""
    start = position + len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()
