"""Instrumentation: every request gets an id, an access log line, metrics and, if it is sampled, a trace.

Malformed requests are counted, and logged at most once per second, because clients can send any number of them.
"""

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Callable, Mapping, MutableMapping
from time import monotonic
from typing import Final

import structlog
from aiohttp import web
from multidict import CIMultiDict, istr

from askd.context import (
    TRACEPARENT_HEADER,
    RequestContext,
    parse_trace_id,
    request_context_var,
)
from askd.drain_state import DrainState
from askd.httpserver.aiohttp_bridge import bridge_of
from askd.httpserver.cors import CorsPolicy
from askd.httpserver.request_parser import RequestHead
from askd.httpserver.response_templates import format_server_timing
from askd.telemetry.access_log import AccessLog
from askd.telemetry.log_throttle import LogThrottle
from askd.telemetry.metrics import MALFORMED_ROUTE, Metrics
from askd.telemetry.tracing import RequestTracer

REQUEST_ID_HEADER: Final = istr("X-Request-Id")
CLIENT_CLOSED_REQUEST: Final = 499
"""Status in logs and metrics if the client disconnected before the response. It is never sent."""

_REQUEST_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
_random: Final = random.Random()  # noqa: S311 - ids are unique, not secret; a system call each would cost more than the log line

_log = structlog.get_logger("askd.request")
_connection_log = structlog.get_logger("askd.connection")


class Instrumentation:
    """Begins and finishes the context of every request, and adds the common response headers.

    Args:
        metrics: Metrics of the app.
        drain_state: Responses close their connections while the server drains.
        cors: CORS policy, for response headers.
        access_log: Receives every request that is neither quiet nor shed.
        instance: Value of `X-Served-By`.
        tracing: Tracer; None disables tracing.
    """

    def __init__(
        self,
        metrics: Metrics,
        drain_state: DrainState,
        cors: CorsPolicy,
        *,
        access_log: AccessLog,
        instance: str,
        tracing: RequestTracer | None = None,
    ) -> None:
        self._request_metrics = metrics.create_request_metrics()
        self._clients_left_queue = metrics.clients_left_queue
        self._tracing = tracing
        self.is_tracing = tracing is not None
        """Whether requests may be traced."""
        self._drain_state = drain_state
        self._cors = cors
        self.cors_enabled = cors.is_enabled
        """Whether response headers depend on the request's `Origin`."""
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

    def begin(
        self, head: RequestHead, route: str, client: str, arrived_at: float, *, quiet: bool = False
    ) -> RequestContext:
        """Create the context of a request. The caller makes it the current one.

        Args:
            head: The request.
            route: Template of the route.
            client: Address of the client.
            arrived_at: When the first byte arrived, in seconds of `time.monotonic`.
            quiet: Whether it is a request to an ops endpoint.
        """
        headers = head.headers
        offered_id = headers.get(REQUEST_ID_HEADER)
        traceparent = headers.get(TRACEPARENT_HEADER)
        context = RequestContext(
            request_id=choose_request_id(offered_id),
            trace_id=parse_trace_id(traceparent) if traceparent else "",
            method=head.method,
            route=route,
            client=client,
            arrived_at=arrived_at,
            quiet=quiet,
        )
        self.in_flight += 1
        if quiet:
            self._quiet_in_flight += 1
        elif self._tracing is not None:
            context.sampling = self._tracing.sample(head.method, headers)
        return context

    def start_trace(self, context: RequestContext, head: RequestHead) -> None:
        """Start the trace of a request that is about to run code, which may add spans of its own."""
        if self._tracing is not None and not context.quiet:
            self._tracing.start(context, head.headers, head.target, context.sampling)

    def start_trace_from(self, context: RequestContext, head: RequestHead, parent: Mapping[str, str]) -> None:
        """Start the trace with the parent that the body names; without a valid one, that of the headers counts.

        Args:
            context: The request.
            head: Its head.
            parent: `traceparent` and `tracestate`, if the body has them.
        """
        trace_id = parse_trace_id(parent.get(TRACEPARENT_HEADER))
        if self._tracing is not None and trace_id:
            headers = CIMultiDict(head.headers)
            headers.update(parent)
            context.trace_id, context.sampling = trace_id, self._tracing.sample(head.method, headers)
            self._tracing.start(context, headers, head.target, context.sampling)
        else:
            context.trace_id = trace_id or context.trace_id
            self.start_trace(context, head)

    def finish(self, context: RequestContext, head: RequestHead) -> None:
        """Count, log and trace a request. Quiet requests are only counted as finished; shed ones are logged in sum."""
        duration = monotonic() - context.arrived_at
        self.in_flight -= 1
        if self._idle_event is not None and self.in_flight == 0:
            self._idle_event.set()
        if context.quiet:
            self._quiet_in_flight -= 1
            return
        self._request_metrics.observe(context.route, context.method, context.status, duration)
        if context.status == CLIENT_CLOSED_REQUEST and context.stages.queue is None:
            self._clients_left_queue.inc()
        if context.sampling is not None and self._tracing is not None:
            if context.span is not None:
                self._tracing.finish(context, duration)
            else:
                self._tracing.record_finished(context, head.headers, head.target, context.sampling, duration)
            self._request_metrics.set_exemplar(
                context.route,
                context.method,
                context.status,
                duration,
                trace_id=context.trace_id,
                span_id=context.span_id,
            )
        if context.was_shed:
            self.shed_log_throttle.record(context.client)
        else:
            self._access_log.write(context, duration)

    def finalize_response(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the common headers to a response before it is sent; streams call this themselves when they begin.

        aiohttp's `on_response_prepare` signal would cost two coroutines per response.
        """
        self.add_headers(request.headers, response.headers)
        bridge = bridge_of(request)
        closes = self._drain_state.is_draining
        if bridge is not None:
            closes = closes or bridge.connection.close_after_response_reason is not None or not bridge.head.keep_alive
        if closes:
            response.force_close()
            response.headers["Connection"] = "close"

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
        if self.cors_enabled:
            self._cors.add_headers(request_headers, response_headers)


def choose_request_id(offered: str | None) -> str:
    """Return the client's id if it is well formed (1 to 128 URL-safe characters), else 32 random hex digits."""
    if offered and _REQUEST_ID_PATTERN.fullmatch(offered):
        return offered
    return f"{_random.getrandbits(128):032x}"


class MalformedRequestCounter:
    """Counts requests that are not valid HTTP. `clock` returns monotonic seconds."""

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._request_metrics = metrics.create_request_metrics()
        self.log_throttle = LogThrottle(_connection_log.warning, "malformed_requests", clock=clock)

    def record(self, status: int, client: str) -> None:
        """Count a request that was answered with `status`, and log it now or in the next summary."""
        self._request_metrics.observe(MALFORMED_ROUTE, "", status, 0.0)
        self.log_throttle.record(client)
