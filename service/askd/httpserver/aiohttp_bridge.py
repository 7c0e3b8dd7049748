"""Bridge between a connection and aiohttp, through public interfaces only.

aiohttp's server makes a handler per connection, which is an `asyncio.Protocol`. The bridge is the `asyncio.Transport`
of that handler: it feeds it one request at a time, and passes its output on to the connection.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from askd.errors import Problem
from askd.httpserver.connections import CloseReason
from askd.httpserver.request_parser import IncomingRequest, RequestHead

if TYPE_CHECKING:
    from askd.httpserver.protocol import HttpConnection

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class AiohttpBridge(asyncio.Transport):
    """The transport of aiohttp's handler on one connection.

    Args:
        connection: The connection.
        make_handler: aiohttp's server (`web.AppRunner.server`).
    """

    def __init__(self, connection: "HttpConnection", make_handler: Callable[[], asyncio.Protocol]) -> None:
        super().__init__()
        self.connection = connection
        self._handler = make_handler()
        self._request: IncomingRequest | None = None
        self._response_is_complete = False
        self._task: asyncio.Task[Any] | None = None
        self.has_begun_response = False
        """Whether a part of the response was written."""
        self.interruption: Problem | None = None
        """Problem to respond with because the handler was cancelled, or None."""
        self._is_closed = self._is_reading_paused = False
        self._handler.connection_made(self)

    # Called by the connection

    def start(self, request: IncomingRequest) -> None:
        """Pass a request to aiohttp."""
        self._request = request
        self._response_is_complete = self.has_begun_response = False
        self._task = self.interruption = None
        if request.head is not None:
            self._handler.data_received(encode_head(request.head))
            self.feed_body()

    def feed_body(self) -> None:
        """Pass the received part of the body to aiohttp."""
        request = self._request
        if request is None or request.head is None:
            return
        if request.body:
            data, request.body = bytes(request.body), bytearray()
            self._handler.data_received(b"%x\r\n%b\r\n" % (len(data), data) if request.head.is_chunked else data)
        if request.is_complete:
            if request.head.is_chunked:
                self._handler.data_received(b"0\r\n\r\n")
            self._finish_if_complete()

    def interrupt(self, problem: Problem | None) -> None:
        """Cancel the handler, which responds with the problem; None cancels it without a response."""
        self.interruption = problem
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Make the handler wait until the client has read."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Let the handler write again."""
        self._handler.resume_writing()

    def connection_lost(self, error: BaseException | None) -> None:
        """Tell the handler that the client has disconnected."""
        self._is_closed = True
        self._handler.connection_lost(error if isinstance(error, Exception) else None)

    # Called by request handlers

    @property
    def head(self) -> RequestHead:
        """Head of the current request."""
        if self._request is None or self._request.head is None:
            raise LookupError("no request is being handled on this connection")
        return self._request.head

    def begin(self) -> None:
        """Make the current task the one that `interrupt` cancels."""
        self._task = asyncio.current_task()
        if self.interruption is not None and self._task is not None:  # interrupted before the handler began
            self._task.cancel()

    def finish(self, response: web.StreamResponse) -> None:
        """End the request after its response was written in full."""
        self._task, self._response_is_complete = None, True
        if response.keep_alive:
            self._finish_if_complete()
        else:
            self.connection.close_after_response()

    def write_continue(self) -> None:
        """Send the interim response `100 Continue`, which does not count as a part of the response."""
        self.connection.write_data(CONTINUE)

    def _finish_if_complete(self) -> None:
        if self._response_is_complete and self._request is not None and self._request.is_complete:
            self._request = None
            self.connection.finish_bridged()

    # Called by aiohttp

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write a part of the response."""
        self.has_begun_response = True
        self.connection.write_data(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Write parts of the response."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Close the connection: the last response is sent, or the rest of a body did not arrive in time."""
        if not self._is_closed:
            self._is_closed = True
            is_unread = self._request is not None and not self._request.is_complete
            if is_unread:
                self.connection.record_close_reason(CloseReason.UNREAD_BODY)
            self.connection.close(lingers=is_unread)

    def abort(self) -> None:
        """Close the connection, as `close` does: aiohttp only aborts connections without an unsent response."""
        self.close()

    def is_closing(self) -> bool:
        """Return whether the connection closes as soon as all bytes are sent."""
        transport = self.connection.transport
        return self._is_closed or transport is None or transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return information about the transport to the client."""
        transport = self.connection.transport
        return default if transport is None else transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent yet."""
        transport = self.connection.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Stop reading the body, because the handler does not keep up."""
        self._is_reading_paused = True
        self.connection.pause_body(paused=True)

    def resume_reading(self) -> None:
        """Read the body again."""
        if self._is_reading_paused:  # aiohttp calls this for each request with a body
            self._is_reading_paused = False
            self.connection.pause_body(paused=False)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return aiohttp's handler."""
        return self._handler


def encode_head(head: RequestHead) -> bytes:
    """Return the head as bytes for aiohttp."""
    target = "*" if head.method == "CONNECT" else head.target  # aiohttp cannot route the authority of CONNECT
    method = "OPTIONS" if head.method == "CONNECT" else head.method
    lines = [f"{method} {target} HTTP/{head.version}", *(f"{name}: {value}" for name, value in head.headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def bridge_of(request: web.BaseRequest) -> AiohttpBridge | None:
    """Return the bridge of a request, or None if its connection is lost or is not one of this server."""
    transport = request.transport
    return transport if isinstance(transport, AiohttpBridge) else None
