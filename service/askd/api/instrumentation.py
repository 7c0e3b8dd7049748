"""Observation: an id, a metric and a log line for every exchange, whatever becomes of it."""

import asyncio
import contextlib
from collections.abc import Mapping, MutableMapping
from time import monotonic
from typing import Final, NamedTuple

import structlog
from aiohttp import web
from multidict import istr

from service.guards.health import Health, Phase
from service.telemetry.exchange import CURRENT, TRACEPARENT, Exchange, request_id, server_timing, trace_id
from service.telemetry.exchange_log import ExchangeLog, kind_of
from service.telemetry.metrics import Metrics
from service.telemetry.summary import Summary
from service.telemetry.tally import Cell
from service.telemetry.tracing import Sampled, Tracing
from service.web.cors import Cors

REQUEST_ID: Final = istr("X-Request-Id")

_log = structlog.get_logger("askd.exchange")


class Kind(NamedTuple):
    """What counts the exchanges of one route, method and status, and how their log lines name these."""

    cell: Cell
    name: str


class Observer:
    """Opens and closes the record of each exchange, and puts what identifies it onto each response."""

    def __init__(
        self,
        metrics: Metrics,
        health: Health,
        cors: Cors,
        *,
        log: ExchangeLog,
        instance: str,
        tracing: Tracing | None = None,
    ) -> None:
        self._tally = metrics.tally()
        self._tracing = tracing
        self.decide = tracing.decide if tracing else _never
        """Decides, by method and headers, whether an exchange is traced; None: it is not, `answered` may do for it."""
        self._health = health
        self._cors = cors
        self._log = log
        self._instance = instance
        self.shed = Summary(_log.warning, "questions shed")
        self.in_flight = 0
        self._idle: asyncio.Event | None = None

    async def idle(self, seconds: float) -> bool:
        """Wait until no exchange is under way; False where one still is after so many seconds."""
        self._idle = asyncio.Event()
        if self.in_flight == 0:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self.in_flight == 0

    def begin(
        self,
        method: str,
        route: str,
        headers: Mapping[str, str],
        client: str,
        arrived: float,
        *,
        target: str | None = None,
        sampled: Sampled | None = None,
    ) -> Exchange:
        """Open the record of an exchange, whose first byte `arrived` then, and make it the current one.

        `target` is its path and query as they were sent; None: it is no matter for a trace, as probes are none.
        `sampled` is what `decide` returned for it.
        """
        exchange = Exchange(
            id=request_id(headers.get(REQUEST_ID)),
            trace_id=trace_id(headers.get(TRACEPARENT)),
            method=method,
            route=route,
            client=client,
            arrived=arrived,
        )
        CURRENT.set(exchange)
        self.in_flight += 1
        if self._tracing is not None and target is not None:
            self._tracing.begin(exchange, headers, target, sampled)
        return exchange

    def end(self, exchange: Exchange, *, quiet: bool) -> None:
        """Count the exchange and, unless `quiet`, log it; those that were shed in sum."""
        duration = monotonic() - exchange.arrived
        self.in_flight -= 1
        if self._idle is not None and self.in_flight == 0:
            self._idle.set()
        self._tally.observe(exchange.route, exchange.method, exchange.status, duration)
        if self._tracing is not None and exchange.span is not None:
            self._trace(self._tracing, exchange, duration)
        if exchange.shed:
            self.shed.seen(exchange.client)
        elif not quiet:
            self._log.write(exchange, duration)

    @property
    def plain(self) -> bool:
        """Whether `answered` tells all that is to be told of an exchange that is not traced, and `whole` of another."""
        return not self._cors.on and self._log.plain

    def kind(self, route: str, method: str, status: int) -> Kind:
        """Return what `answered` takes for exchanges of this kind."""
        return Kind(self._tally.cell(route, method, status), kind_of(route, method, status))

    def answered(self, kind: Kind, id: str, arrived: float, *, client: str, trace_id: str, cache: str) -> str:
        """Count and log an exchange without a record, as `end` does others; returns how long it took, in milliseconds.

        `cache` is how long the cache took, likewise; empty where it was not asked.
        """
        duration = monotonic() - arrived
        self._tally.count(kind.cell, duration)
        milliseconds = f"{duration * 1e3:.3f}"
        self._log.write_plain((kind.name, id, trace_id, milliseconds, cache, client))
        return milliseconds

    def whole(self, exchange: Exchange, headers: Mapping[str, str], target: str, sampled: Sampled) -> None:
        """Count, log and trace an exchange that is over, and was never the current one, as `end` does others."""
        duration = monotonic() - exchange.arrived
        self._tally.observe(exchange.route, exchange.method, exchange.status, duration)
        if self._tracing is not None:
            self._tracing.whole(exchange, headers, target, sampled, duration)
            self._keep(exchange, duration)
        self._log.write(exchange, duration)

    def shed_at_once(self, kind: Kind, arrived: float, *, client: str) -> float:
        """Count an exchange that was shed so early that there is no record of it, as `end` counts the others.

        Returns how long it took, in seconds.
        """
        now = monotonic()
        duration = now - arrived
        self._tally.count(kind.cell, duration)
        self.shed.seen(client, now)
        return duration

    def _trace(self, tracing: Tracing, exchange: Exchange, duration: float) -> None:
        tracing.end(exchange, duration)
        self._keep(exchange, duration)

    def _keep(self, exchange: Exchange, duration: float) -> None:
        """Keep its ids as those of an example of how long exchanges take."""
        ids = dict(trace_id=exchange.trace_id, span_id=exchange.span_id)
        self._tally.keep(exchange.route, exchange.method, exchange.status, duration, **ids)

    def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the id, the times and the rest that every response has onto this one, before it is sent.

        A stream does this itself when it begins. aiohttp's signal for it would cost every answer two coroutines.
        """
        self.put_on(request.headers, response.headers)
        if self._health.phase is Phase.DRAINING:
            response.force_close()
            response.headers["Connection"] = "close"

    @property
    def crosses(self) -> bool:
        """Whether responses depend on the origin that asks."""
        return self._cors.on

    def put_on(self, request: Mapping[str, str], response: MutableMapping[str, str]) -> None:
        """Put onto a response's headers what all of them have; `request` has those of the request."""
        exchange = CURRENT.get()
        if exchange is not None:
            response["X-Request-Id"] = exchange.id
            response["Server-Timing"] = server_timing(exchange, monotonic())
            if exchange.rate_limit is not None:
                response["RateLimit-Policy"], response["RateLimit"] = exchange.rate_limit
        response["X-Served-By"] = self._instance
        response["X-Content-Type-Options"] = "nosniff"
        response["Server"] = "askd"
        self._cors.expose(request, response)


def _never(_method: str, _headers: Mapping[str, str]) -> None:
    """Trace nothing."""
