"""The connection: aiohttp's own, with what it answers by itself made constant, counted and quiet.

Rests on these of aiohttp's (3.14), looked for at the start: `web_protocol.RequestHandler.handle_error`,
`web_server.Server.__call__`, `web_runner.AppRunner._make_server`, `Server._kwargs`, `Server._loop`.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import http_exceptions, http_parser, web
from aiohttp.web_protocol import RequestHandler

from service.errors import StartupError
from service.telemetry.metrics import MALFORMED, Metrics
from service.web import render

TOO_LONG: Final = (
    b'{"type":"about:blank","title":"Request line too long","status":414,'
    b'"detail":"The request line or a header is too long. Send the question with POST."}'
)
FAILED: Final = (
    b'{"type":"about:blank","title":"Internal error","status":500,"detail":"The server failed. Its log has the cause."}'
)
SUMMARY_EVERY: Final = 1.0
"""Seconds between two log lines about malformed requests, however many there are."""

C_PARSER: Final = "aiohttp._http_parser"

_log = structlog.get_logger("askd.connection")


def check(handler: type, server: type, runner: type) -> None:
    """Raise StartupError, with the mend, where aiohttp lacks what is rested on, or parses in Python.

    Its parser in Python is slower by an order of magnitude, and was more lenient in the past.
    """
    _look_for(handler, "handle_error")
    _look_for(server, "__call__")
    _look_for(runner, "_make_server")
    parser = http_parser.HttpRequestParser.__module__
    if parser != C_PARSER:
        raise StartupError(
            f"aiohttp's parser in C is not active ({parser} is): install aiohttp from a wheel, and unset "
            f"AIOHTTP_NO_EXTENSIONS"
        )


def _look_for(owner: object, *names: str) -> None:
    missing = sorted(set(names) - set(dir(owner)))  # a class has every name of its metaclass for `hasattr`
    if missing:
        kind = owner if isinstance(owner, type) else type(owner)
        raise StartupError(
            f"aiohttp {aiohttp.__version__} has no {kind.__name__}.{missing[0]}, which askd rests on: install another "
            f"version of it, such as the one in requirements.lock"
        )


class Malformed:
    """Counts requests that are no HTTP, and sums them up in the log. `clock` returns seconds that only rise."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tally = metrics.tally()
        self._clock = clock
        self._since = 0
        self._next = float("-inf")

    def seen(self, status: int, client: str) -> None:
        """Count one; logs at most one line a second."""
        self._tally.observe(MALFORMED, "", status, 0.0)
        self._since += 1
        now = self._clock()
        if now >= self._next:
            _log.warning("malformed requests", count=self._since, last_client=client)
            self._since, self._next = 0, now + SUMMARY_EVERY


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("malformed",)

    malformed: Malformed

    def interrupt(self) -> None:
        """Cancel the exchange under way, if there is one."""
        if self._current_request is not None and self._task_handler is not None:
            self._task_handler.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with constant bytes and close; nothing of the input is echoed."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already on its way")
        if isinstance(exc, http_exceptions.HttpProcessingError):
            body = TOO_LONG if isinstance(exc, http_exceptions.LineTooLong) else render.MALFORMED
            status = HTTPStatus.REQUEST_URI_TOO_LONG if body is TOO_LONG else HTTPStatus.BAD_REQUEST
            self.malformed.seen(status, request.remote or "")
        else:
            body, status = FAILED, HTTPStatus.INTERNAL_SERVER_ERROR
            _log.error("uncaught error", exc_info=exc)
        response = web.Response(
            status=status, body=body, headers={"Content-Type": render.PROBLEM_TYPE, "Server": "askd"}
        )
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's server, with our connections."""

    malformed: Malformed

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        connection = Connection(self, loop=self._loop, **self._kwargs)
        connection.malformed = self.malformed
        return connection


class Runner(web.AppRunner):
    """aiohttp's runner, with our server."""

    def __init__(self, app: web.Application, metrics: Metrics, **options: Any) -> None:
        """Raise StartupError where aiohttp is not what is rested on."""
        check(RequestHandler, web.Server, web.AppRunner)
        super().__init__(app, access_log=None, **options)
        self._malformed = Malformed(metrics)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.server.connections) if self.server else 0

    def interrupt(self) -> None:
        """Cancel every exchange that is under way, so that what is around it answers in its place."""
        for connection in self.server.connections if self.server else ():
            if isinstance(connection, Connection):
                connection.interrupt()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        _look_for(made, "request_handler", "request_factory", "handler_cancellation", "_loop", "_kwargs")
        server = Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,  # noqa: SLF001 - listed above
            **made._kwargs,  # noqa: SLF001 - listed above
        )
        server.malformed = self._malformed
        return server
