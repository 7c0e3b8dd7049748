"""The HTTP server of one port: its listeners, its connections, and aiohttp for all that the fast path leaves to it."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from aiohttp import web

from askd.errors import Problem
from askd.httpserver.acceptor import Acceptor, total_queue_length
from askd.httpserver.connections import CloseReason, ConnectionManager
from askd.httpserver.deferred_writes import DeferredWrites
from askd.httpserver.protocol import HttpConnection
from askd.httpserver.request_parser import DEFAULT_MAX_HEAD_SIZE, HeadCache, RequestHead

KEEPALIVE_DISABLED: Final = 86_400.0 * 365
"""Keep-alive time-out of aiohttp in seconds. The sweep closes idle connections; aiohttp does not see most requests."""
MAX_PENDING_EVICTIONS: Final = 32
"""Evicted connections that are not closed yet with which accepting waits, so that their descriptors are free first."""
SWEEP_INTERVAL: Final = 0.25
"""Seconds between two sweeps. A connection may be closed this much too late."""
HALF_CLOSE_WINDOW: Final = 0.1
"""Seconds after a request in which the end of the client's input does not mean that the client has left."""

MalformedRequestCallback = Callable[[int, str], None]
"""Called with the response status and the client address of each malformed request."""


class PendingResponse(Protocol):
    """A request that is being answered in its own task, which calls `HttpConnection.complete_pending` at its end."""

    deadline: float | None
    """Reading of the connection's clock, or None without a deadline."""

    def cancel(self, problem: Problem | None) -> None:
        """Respond with the problem instead; None if the client has disconnected."""


FastPathHandler = Callable[[RequestHead, HttpConnection], bytes | PendingResponse | None]
"""Handles a request without a body.

Returns the response, or the pending response; None passes the request to aiohttp. The response must contain
`Connection: close` if `HttpConnection.closes_after` returns true. Must not block.
"""


class HttpServer:
    """Serves an app on any number of listeners.

    Args:
        app: The app, whose start-up and clean-up the server runs.
        connections: Limits of the connections.
        on_malformed: Called for each malformed request.
        on_sweep: Called before each sweep over the connections, several times a second.
        on_accept_delay: Called with seconds that a connection waited in the kernel with its first bytes (a sample).
        fast_path: Answers `GET /ask` without aiohttp. None leaves every request to aiohttp.
        max_line_size: Maximum length of a request target in bytes.
        max_head_size: Maximum length of a request line and its headers together in bytes.
        lingering_time: Seconds for which an unread body is discarded after the response.
        shutdown_timeout: Seconds that `close` waits for requests in flight.
    """

    def __init__(
        self,
        app: web.Application,
        connections: ConnectionManager,
        *,
        on_malformed: MalformedRequestCallback,
        on_sweep: Sequence[Callable[[], None]] = (),
        on_accept_delay: Callable[[float], None] = lambda _seconds: None,
        fast_path: FastPathHandler | None = None,
        max_line_size: int = 8190,
        max_head_size: int = DEFAULT_MAX_HEAD_SIZE,
        lingering_time: float = 2.0,
        shutdown_timeout: float = 1.0,
    ) -> None:
        self.app = app
        self.connections = connections
        self.clock = connections.clock
        self.on_malformed = on_malformed
        self._on_sweep = on_sweep
        self._on_accept_delay = on_accept_delay
        self.fast_path = fast_path
        self.max_line_size, self.max_head_size = max_line_size, max_head_size
        self.cached_heads = HeadCache()
        self.half_close_window = HALF_CLOSE_WINDOW
        """See HALF_CLOSE_WINDOW."""
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE_DISABLED,
            lingering_time=lingering_time,
            # The parser of this package has smaller limits.
            max_line_size=2 * max_head_size,
            max_field_size=2 * max_head_size,
            max_headers=256,
            shutdown_timeout=shutdown_timeout,
        )
        self._acceptors: list[Acceptor] = []

    async def start(self) -> None:
        """Start the app."""
        self._loop = asyncio.get_running_loop()
        self.deferred_writes = DeferredWrites(self._loop)
        self._sweep_timer = self._loop.call_later(SWEEP_INTERVAL, self._schedule_sweep)
        await self._runner.setup()

    def listen(
        self,
        listener: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        handshake_timeout: float = 10.0,
        spare_descriptors: int = 0,
    ) -> None:
        """Accept connections on a listening, non-blocking socket.

        Args:
            listener: The socket.
            tls: TLS context, or None for plain HTTP.
            handshake_timeout: Seconds for the TLS handshake.
            spare_descriptors: See `Acceptor`.
        """
        acceptor = Acceptor(
            listener,
            lambda: HttpConnection(self),
            may_accept=lambda: self.connections.pending_evictions < MAX_PENDING_EVICTIONS,
            on_accept_delay=self._on_accept_delay,
            tls=tls,
            handshake_timeout=handshake_timeout,
            spare_descriptors=spare_descriptors,
        )
        self._acceptors.append(acceptor)
        acceptor.start()

    def make_aiohttp_handler(self) -> asyncio.Protocol:
        """Create aiohttp's handler of a connection."""
        if self._runner.server is None:
            raise RuntimeError("the server has not been started")
        return self._runner.server()

    @property
    def accept_queue_length(self) -> int:
        """Number of connections that wait in the kernel to be accepted. Safe to call from any thread."""
        return total_queue_length(self._acceptors)

    @property
    def accept_pauses(self) -> int:
        """How often a listener has paused because descriptors or memory had run out. Safe to call from any thread."""
        return sum(acceptor.pauses for acceptor in self._acceptors)

    def _schedule_sweep(self) -> None:
        """Sweep two loop iterations later, and again after the interval.

        After a stall of the loop, requests may be waiting unread in the sockets, and a loop may run due timers before
        it polls its sockets. After two iterations they have been read, so that active clients are not timed out.
        """
        self._sweep_timer = self._loop.call_later(SWEEP_INTERVAL, self._schedule_sweep)
        self._loop.call_soon(self._loop.call_soon, self.sweep)

    def sweep(self) -> None:
        """Close the connections that have exceeded a limit."""
        for callback in self._on_sweep:
            callback()
        self.connections.sweep()

    def stop_listening(self, *, accept_waiting: bool = True) -> None:
        """Close the listeners; first accept the connections that wait, unless another process takes them."""
        acceptors, self._acceptors = self._acceptors, []
        for acceptor in acceptors:
            acceptor.stop(accept_waiting=accept_waiting)

    def cancel_requests(self, problem: Problem) -> None:
        """Respond to all requests in flight with a problem."""
        for connection in self.connections.all():
            if isinstance(connection, HttpConnection):
                connection.cancel_request(problem)

    async def close(self) -> None:
        """Stop listening, close the connections after their requests in flight, and clean up the app."""
        self.stop_listening()
        self.connections.drain()
        for connection in self.connections.all():
            if isinstance(connection, HttpConnection) and not connection.is_busy:
                connection.close()
        await self._runner.cleanup()
        self._sweep_timer.cancel()
        for connection in self.connections.all():
            connection.close_with_reason(CloseReason.DRAIN)
        await asyncio.sleep(0)  # lets the event loop close the transports
