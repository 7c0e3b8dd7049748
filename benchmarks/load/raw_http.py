"""HTTP/1.1 as bytes: requests that are ready to be sent, and the least that reads a response."""

from typing import Final, NamedTuple

END: Final = b"\r\n\r\n"


class Reply(NamedTuple):
    """One complete response. `size` is how many bytes of the buffer it took."""

    status: int
    head: bytes
    """Status line and fields, in lower case."""
    body: bytes
    size: int

    @property
    def closes(self) -> bool:
        """Whether the server ends the connection after it."""
        return b"\r\nconnection: close" in self.head

    def field(self, name: bytes) -> str:
        """One field's value, empty where it is missing; `name` in lower case."""
        return _field(self.head, name).decode()


def get(target: str, *fields: str, host: str = "127.0.0.1") -> bytes:
    """A GET request; `fields` are whole lines, such as `Accept: text/event-stream`."""
    return "\r\n".join((f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", "")).encode()


def read(buffer: bytes) -> Reply | None:
    """Read the response that the buffer begins with; None: it is not complete yet. Raises ValueError for no HTTP.

    A body without length or chunks has none here: every response of askd says where it ends.
    """
    cut = buffer.find(END)
    if cut < 0:
        return None
    head, start = buffer[:cut].lower(), cut + len(END)
    if b"\r\ntransfer-encoding: chunked" in head:
        return _chunked(buffer, head, start)
    end = start + int(_field(head, b"content-length") or 0)
    return Reply(int(head[9:12]), head, buffer[start:end], end) if len(buffer) >= end else None


def _chunked(buffer: bytes, head: bytes, start: int) -> Reply | None:
    parts: list[bytes] = []
    at = start
    while (line := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:line].partition(b";")[0], 16)
        end = line + 2 + size + 2
        if len(buffer) < end:
            return None
        if not size:
            return Reply(int(head[9:12]), head, b"".join(parts), end)
        parts.append(buffer[line + 2 : end - 2])
        at = end
    return None


def _field(head: bytes, name: bytes) -> bytes:
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    start = at + len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()
