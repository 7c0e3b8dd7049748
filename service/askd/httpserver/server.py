"""aiohttp's server, runner and site, extended with our connections, their sweep and TLS listeners.

The connection classes rely on attributes of aiohttp 3.14 that are not part of its documented API. They are listed here
and checked at startup, so that an incompatible version of aiohttp fails there and not at the first request.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_runner import BaseSite

from askd.errors import StartupError
from askd.httpserver.connections import ConnectionManager, PeriodicSweep
from askd.httpserver.fast_path_connection import FastPathHandler, WriteBatch
from askd.httpserver.protocol import HttpConnection, MalformedRequestCallback
from askd.httpserver.tls import CertificateReloader

REQUIRED_ATTRIBUTES: Final[Mapping[type, tuple[str, ...]]] = {
    RequestHandler: (
        *("connection_made", "connection_lost", "data_received", "handle_error", "close", "force_close"),
        "transport",
        "writing_paused",
        "_loop",
        "_pause_reading_for_buffer",
        "_resume_reading_for_buffer",
        "_resume_reading_if_drained",  # `start` calls it when it has taken half of the queue
        "_manager",  # the server; None once the connection is lost
        "_parser",  # its `message_consumed` must be called for each message taken from `_messages`
        "_messages",  # parsed requests that have not started: a deque of message and payload
        "_msg_queue_resume_size",  # queue length at which reading resumes
        "_buffer_paused",  # whether reading is paused because the queue is full
        "_max_msg_queue_size",  # queue length at which reading pauses
        "_waiter",  # a future while `start` waits for a message, else None
        "_request_factory",  # creates the request object; None after the connection is lost
        "_keepalive_handle",  # `start` creates a timer only if this is None
        "_current_request",  # None after the handler has returned
        "_lingering_time",
        "_close",
        "_force_close",
    ),
    web.Server: ("__call__", "pre_shutdown", "shutdown"),
    web.AppRunner: ("_make_server",),
    http_parser.RawRequestMessage: ("_replace", "method", "should_close", "upgrade"),
    http_parser.HttpRequestParser: ("feed_data", "message_consumed"),
}
SERVER_ATTRIBUTES: Final = (
    *("request_handler", "request_factory", "requests_count", "handler_cancellation"),
    *("_loop", "_kwargs"),
)
"""Attributes of a server instance."""
C_PARSER_MODULE: Final = "aiohttp._http_parser"
TLS_SHUTDOWN_TIMEOUT: Final = 5.0
"""Seconds to wait for the client's close_notify when a TLS connection is closed."""


def check_aiohttp(required: Mapping[type, tuple[str, ...]] = REQUIRED_ATTRIBUTES) -> None:
    """Check that aiohttp has the required attributes and uses its C parser.

    The pure-Python parser is ten times slower, and was more lenient in the past.

    Raises:
        StartupError: aiohttp is incompatible.
    """
    parser = http_parser.HttpRequestParser.__module__
    if parser != C_PARSER_MODULE:
        raise StartupError(
            f"aiohttp does not use its C parser but {parser}: install aiohttp from a wheel, and unset "
            f"AIOHTTP_NO_EXTENSIONS"
        )
    for owner, names in required.items():
        require_attributes(owner, *names)


def require_attributes(owner: object, *names: str) -> None:
    """Raise StartupError if a class or an instance lacks one of the attributes."""
    missing = sorted(set(names) - set(dir(owner)))  # `hasattr` would also find the attributes of the metaclass
    if missing:
        owner_class = owner if isinstance(owner, type) else type(owner)
        raise StartupError(
            f"aiohttp {aiohttp.__version__} is not supported: {owner_class.__name__}.{missing[0]} is missing. "
            f"Install aiohttp 3.14.5, or the version in requirements.lock"
        )


class HttpServer(web.Server):
    """aiohttp's server, creating `HttpConnection` for each connection.

    Args:
        on_malformed: Called for each malformed request.
        on_sweep: Called before each sweep over the connections, several times a second.
        fast_path: Answers `GET /ask` without an aiohttp handler. If None, aiohttp handles every request.
    """

    def __init__(
        self,
        aiohttp_server: web.Server,
        *,
        connection_manager: ConnectionManager,
        on_malformed: MalformedRequestCallback,
        on_sweep: Sequence[Callable[[], None]],
        fast_path: FastPathHandler | None,
    ) -> None:
        require_attributes(aiohttp_server, *SERVER_ATTRIBUTES)
        loop: asyncio.AbstractEventLoop = aiohttp_server._loop  # noqa: SLF001 - in SERVER_ATTRIBUTES
        options: dict[str, Any] = aiohttp_server._kwargs  # noqa: SLF001 - in SERVER_ATTRIBUTES
        super().__init__(
            aiohttp_server.request_handler,
            request_factory=aiohttp_server.request_factory,
            handler_cancellation=aiohttp_server.handler_cancellation,
            loop=loop,
            **options,
        )
        self.fast_path = fast_path
        self._write_batch = WriteBatch(loop)
        self._connection_manager = connection_manager
        self._on_malformed = on_malformed
        self._on_sweep = on_sweep
        self._periodic_sweep = PeriodicSweep(loop, self.sweep)
        self._periodic_sweep.start()

    def __call__(self) -> HttpConnection:
        """Create the protocol of a new connection."""
        options: dict[str, Any] = dict(
            connection_manager=self._connection_manager,
            on_malformed=self._on_malformed,
            write_batch=self._write_batch,
        )
        return HttpConnection(self, loop=self._loop, fast_path=self.fast_path, **options, **self._kwargs)

    def sweep(self) -> None:
        """Close the connections that have exceeded a limit."""
        for callback in self._on_sweep:
            callback()
        self._connection_manager.sweep()

    def pre_shutdown(self) -> None:
        """Close idle connections, and the others after their requests in flight."""
        self._connection_manager.drain()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        """Wait up to `timeout` seconds for the requests in flight, then close all connections."""
        await super().shutdown(timeout)
        self._periodic_sweep.stop()


class HttpServerRunner(web.AppRunner):
    """aiohttp's runner, creating an `HttpServer`."""

    def __init__(
        self,
        app: web.Application,
        connection_manager: ConnectionManager,
        *,
        on_malformed: MalformedRequestCallback,
        fast_path: FastPathHandler | None = None,
        on_sweep: Sequence[Callable[[], None]] = (),
        **options: Any,
    ) -> None:
        """Create a runner. Raises StartupError if aiohttp is incompatible."""
        check_aiohttp()
        super().__init__(app, access_log=None, **options)
        self._connection_manager = connection_manager
        self._on_malformed = on_malformed
        self._fast_path = fast_path
        self._on_sweep = on_sweep

    def drain(self) -> None:
        """Close every connection after its next response."""
        self._connection_manager.drain()

    @property
    def open_connections(self) -> int:
        """Number of open connections."""
        return len(self.server.connections) if self.server else 0

    def cancel_requests(self) -> None:
        """Cancel all requests in flight. The middleware then responds in their place."""
        for connection in self.server.connections if self.server else ():
            if isinstance(connection, HttpConnection):
                connection.cancel_request()

    async def _make_server(self) -> web.Server:
        # The method of aiohttp also starts the app, and has no setting for the class of the server.
        return HttpServer(
            await super()._make_server(),
            connection_manager=self._connection_manager,
            on_malformed=self._on_malformed,
            on_sweep=self._on_sweep,
            fast_path=self._fast_path,
        )


class TlsSite(web.SockSite):
    """A TLS listener with a certificate that is reloaded when its files change.

    Args:
        handshake_timeout: Seconds. The header timeout does not cover the handshake.
    """

    def __init__(
        self,
        runner: HttpServerRunner,
        sock: socket.socket,
        *,
        tls: CertificateReloader,
        backlog: int,
        handshake_timeout: float,
    ) -> None:
        """Create a site. Raises StartupError if aiohttp is incompatible."""
        require_attributes(BaseSite, "start", "_server")
        super().__init__(runner, sock, ssl_context=tls.context)
        self._protocol_factory = runner.server
        self._create_server = partial(
            asyncio.get_running_loop().create_server,
            sock=sock,
            ssl=tls.context,
            backlog=backlog,
            ssl_handshake_timeout=handshake_timeout,
            ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT,
        )

    async def start(self) -> None:
        """Start accepting connections.

        Overridden because aiohttp cannot set the handshake timeout, which is a minute by default.
        """
        await BaseSite.start(self)
        self._server = await self._create_server(self._protocol_factory)
