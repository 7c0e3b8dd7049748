"""Instrumentation: every request gets an id, an access log line, metrics and, if it is sampled, a trace.

Malformed requests are counted, and logged at most once per second, because clients can send any number of them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, MutableMapping
from time import monotonic
from typing import Final, NamedTuple

import structlog
from aiohttp import web
from multidict import istr

from askd.context import (
    TRACEPARENT_HEADER,
    RequestContext,
    choose_request_id,
    format_server_timing,
    parse_trace_id,
    request_context_var,
)
from askd.guards.health import Health, Phase
from askd.httpserver.cors import CorsPolicy
from askd.telemetry.access_log import AccessLog, format_request_fields
from askd.telemetry.log_throttle import LogThrottle
from askd.telemetry.metrics import MALFORMED_ROUTE, Metrics, Series
from askd.telemetry.tracing import RequestTracer, SamplingDecision

REQUEST_ID_HEADER: Final = istr("X-Request-Id")

_log = structlog.get_logger("askd.request")
_connection_log = structlog.get_logger("askd.connection")


class RequestLabels(NamedTuple):
    """Metric series and log fields of one combination of route, method and status."""

    series: Series
    log_fields: str


class Instrumentation:
    """Begins and finishes the context of every request, and adds the common response headers.

    Args:
        metrics: Metrics of the app.
        health: Health of the app; responses close their connections while it drains.
        cors: CORS policy, for response headers.
        access_log: Receives every request that is neither quiet nor shed.
        instance: Value of `X-Served-By`.
        tracing: Tracer; None disables tracing.
    """

    def __init__(
        self,
        metrics: Metrics,
        health: Health,
        cors: CorsPolicy,
        *,
        access_log: AccessLog,
        instance: str,
        tracing: RequestTracer | None = None,
    ) -> None:
        self._request_metrics = metrics.create_request_metrics()
        self._tracing = tracing
        self.decide_sampling = tracing.sample if tracing else _never_sample
        """Decides by method and headers whether a request is traced; None means that it is not."""
        self._health = health
        self._cors = cors
        self._access_log = access_log
        self._instance = instance
        self.shed_log_throttle = LogThrottle(_log.warning, "requests_shed")
        self.in_flight = 0
        """Requests that have begun and not finished, including those to ops endpoints."""
        self._quiet_in_flight = 0
        self._idle_event: asyncio.Event | None = None

    @property
    def active_requests(self) -> int:
        """Requests in flight, without those to ops endpoints."""
        return self.in_flight - self._quiet_in_flight

    async def wait_until_idle(self, timeout: float) -> bool:
        """Wait until no request is in flight; return False after `timeout` seconds."""
        self._idle_event = asyncio.Event()
        if self.in_flight == 0:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle_event.wait()
        return self.in_flight == 0

    def begin_request(
        self,
        method: str,
        route: str,
        headers: Mapping[str, str],
        client: str,
        arrived: float,
        *,
        target: str | None = None,
        sampled: SamplingDecision | None = None,
        quiet: bool = False,
    ) -> RequestContext:
        """Create the context of a request and make it the current one.

        Args:
            method: HTTP method.
            route: Template of the route.
            headers: Request headers.
            client: Address of the client.
            arrived: When the first byte arrived, in seconds of `time.monotonic`.
            target: Raw path and query; None if the request is never traced.
            sampled: Result of `decide_sampling`.
            quiet: Whether it is a request to an ops endpoint. Must be the same in `finish_request`.
        """
        context = RequestContext(
            request_id=choose_request_id(headers.get(REQUEST_ID_HEADER)),
            trace_id=parse_trace_id(headers.get(TRACEPARENT_HEADER)),
            method=method,
            route=route,
            client=client,
            arrived_at=arrived,
        )
        request_context_var.set(context)
        self.in_flight += 1
        if quiet:
            self._quiet_in_flight += 1
        if self._tracing is not None and target is not None:
            self._tracing.start(context, headers, target, sampled)
        return context

    def finish_request(self, context: RequestContext, *, quiet: bool) -> None:
        """Count and log the request. Quiet requests are neither counted nor logged; shed requests are logged in sum."""
        duration = monotonic() - context.arrived_at
        self.in_flight -= 1
        if self._idle_event is not None and self.in_flight == 0:
            self._idle_event.set()
        if quiet:
            self._quiet_in_flight -= 1
            return
        self._request_metrics.observe(context.route, context.method, context.status, duration)
        if self._tracing is not None and context.span is not None:
            self._tracing.finish(context, duration)
            self._record_exemplar(context, duration)
        if context.was_shed:
            self.shed_log_throttle.record(context.client)
        else:
            self._access_log.write(context, duration)

    @property
    def is_context_optional(self) -> bool:
        """Whether `finish_without_context` records everything that `finish_request` would, for an untraced request."""
        return not self._cors.is_enabled and self._access_log.supports_compact

    def labels_for(self, route: str, method: str, status: int) -> RequestLabels:
        """Return the labels that `finish_without_context` and `finish_shed` take."""
        return RequestLabels(
            self._request_metrics.get_series(route, method, status), format_request_fields(route, method, status)
        )

    def finish_without_context(
        self, labels: RequestLabels, request_id: str, arrived: float, *, client: str, trace_id: str, cache_ms: str
    ) -> str:
        """Count and log a request for which no context was created.

        Args:
            labels: Result of `labels_for`.
            request_id: Id of the request.
            arrived: When the first byte arrived, in seconds of `time.monotonic`.
            client: Address of the client.
            trace_id: Id of the trace, or empty.
            cache_ms: Duration of the cache lookup in milliseconds, or empty.

        Returns:
            The duration of the request in milliseconds.
        """
        duration = monotonic() - arrived
        self._request_metrics.observe_series(labels.series, duration)
        milliseconds = f"{duration * 1e3:.3f}"
        self._access_log.write_compact((labels.log_fields, request_id, trace_id, milliseconds, cache_ms, client))
        return milliseconds

    def finish_traced(
        self, context: RequestContext, headers: Mapping[str, str], target: str, sampled: SamplingDecision
    ) -> None:
        """Count, log and trace a request whose context was never the current one, because no user code ran."""
        duration = monotonic() - context.arrived_at
        self._request_metrics.observe(context.route, context.method, context.status, duration)
        if self._tracing is not None:
            self._tracing.record_finished(context, headers, target, sampled, duration)
            self._record_exemplar(context, duration)
        self._access_log.write(context, duration)

    def finish_shed(self, labels: RequestLabels, arrived: float, *, client: str) -> float:
        """Count a request that was shed before a context was created; return its duration in seconds."""
        now = monotonic()
        duration = now - arrived
        self._request_metrics.observe_series(labels.series, duration)
        self.shed_log_throttle.record(client, now)
        return duration

    def _record_exemplar(self, context: RequestContext, duration: float) -> None:
        ids = dict(trace_id=context.trace_id, span_id=context.span_id)
        self._request_metrics.set_exemplar(context.route, context.method, context.status, duration, **ids)

    def finalize_response(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the common headers to a response before it is sent; streams call this themselves when they begin.

        aiohttp's `on_response_prepare` signal would cost two coroutines per response.
        """
        self.add_headers(request.headers, response.headers)
        if self._health.phase is Phase.DRAINING:
            response.force_close()
            response.headers["Connection"] = "close"

    @property
    def cors_enabled(self) -> bool:
        """Whether response headers depend on the request's `Origin`."""
        return self._cors.is_enabled

    def add_headers(self, request_headers: Mapping[str, str], response_headers: MutableMapping[str, str]) -> None:
        """Add the headers that all responses have."""
        context = request_context_var.get()
        if context is not None:
            response_headers["X-Request-Id"] = context.request_id
            response_headers["Server-Timing"] = format_server_timing(context, monotonic())
            if context.rate_limit_headers is not None:
                response_headers["RateLimit-Policy"], response_headers["RateLimit"] = context.rate_limit_headers
        response_headers["X-Served-By"] = self._instance
        response_headers["X-Content-Type-Options"] = "nosniff"
        response_headers["Server"] = "askd"
        self._cors.add_headers(request_headers, response_headers)


class MalformedRequestCounter:
    """Counts requests that are not valid HTTP. `clock` returns monotonic seconds."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._request_metrics = metrics.create_request_metrics()
        self.log_throttle = LogThrottle(_connection_log.warning, "malformed_requests", clock=clock)

    def record(self, status: int, client: str) -> None:
        """Count a request that was answered with `status`, and log it now or in the next summary."""
        self._request_metrics.observe(MALFORMED_ROUTE, "", status, 0.0)
        self.log_throttle.record(client)


def _never_sample(_method: str, _headers: Mapping[str, str]) -> None:
    return None
