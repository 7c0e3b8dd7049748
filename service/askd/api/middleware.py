"""Request middleware: instrumentation, admission and error responses around every aiohttp handler."""

import asyncio

import structlog
from aiohttp import web

from askd.api.admission import AdmissionControl
from askd.api.instrumentation import CLIENT_CLOSED_REQUEST, Instrumentation
from askd.api.problems import ProblemRenderer, to_problem
from askd.context import RequestContext, escape_path, request_context_var
from askd.errors import Overloaded
from askd.httpserver import responses
from askd.httpserver.aiohttp_bridge import AiohttpBridge, bridge_of
from askd.httpserver.client_address import ClientAddressResolver
from askd.httpserver.connections import CloseReason
from askd.httpserver.router import UNMATCHED_ROUTE, Handler, Route

_log = structlog.get_logger("askd.connection")


class RequestMiddleware:
    """Wraps handlers, so that any exception is logged, counted and rendered as a problem.

    Args:
        client_resolver: Resolves client addresses behind proxies; None uses the address of the peer.
    """

    def __init__(
        self,
        instrumentation: Instrumentation,
        problem_renderer: ProblemRenderer,
        admission: AdmissionControl,
        *,
        client_resolver: ClientAddressResolver | None = None,
    ) -> None:
        self._instrumentation = instrumentation
        self._admission = None if admission.is_noop else admission
        self._client_resolver = client_resolver or ClientAddressResolver(())
        self._problem_renderer = problem_renderer

    def wrap(self, handler: Handler, route: Route) -> Handler:
        """Return the wrapped handler of a route. It sends the response itself, so that it knows when that is done."""

        async def handle_request(request: web.Request) -> web.StreamResponse:
            bridge = bridge_of(request)
            if bridge is None:
                raise asyncio.CancelledError  # the client disconnected before the handler began
            bridge.begin()
            head, client = bridge.head, bridge.connection.peer_address
            if self._client_resolver.trusts_proxies:
                client = self._client_resolver.resolve(client, head.headers)
            context = self._instrumentation.begin(
                head, route.template, client, bridge.connection.arrived_at, quiet=route.quiet
            )
            request_context_var.set(context)
            if route.template == UNMATCHED_ROUTE:
                context.url_path = escape_path(head.target)
            if route.starts_trace and self._instrumentation.is_tracing:
                self._instrumentation.start_trace(context, head)
            try:
                response = await self._respond(request, handler, route, context, bridge)
                await response.prepare(request)
                await response.write_eof()
            except ConnectionError as error:
                context.status = CLIENT_CLOSED_REQUEST
                raise asyncio.CancelledError from error
            except asyncio.CancelledError:
                context.status = CLIENT_CLOSED_REQUEST
                raise
            finally:
                self._instrumentation.finish(context, head)
            bridge.finish(response)
            return response

        return handle_request

    async def _respond(
        self, request: web.Request, handler: Handler, route: Route, context: RequestContext, bridge: AiohttpBridge
    ) -> web.StreamResponse:
        """Return the response of the handler, or that to its error."""
        try:
            try:
                if self._admission is not None and route.requires_admission:
                    check = self._admission.check(request.headers, context)
                    if check is not None:
                        await check
                response = await handler(request)
            except Exception as error:
                context.was_shed = isinstance(error, Overloaded)
                if isinstance(error, ConnectionError) and request.transport is None:
                    raise asyncio.CancelledError from error  # the client disconnected while the response was written
                response = self._problem_renderer.render_aiohttp(request, to_problem(error), route.encode_problem)
        except asyncio.CancelledError:
            problem, task = bridge.interruption, asyncio.current_task()
            if problem is None or task is None or request.transport is None or bridge.has_begun_response:
                raise
            task.uncancel()
            response = self._problem_renderer.render_aiohttp(request, problem, route.encode_problem)
        except Exception as error:
            _log.error("connection_error", exc_info=error)
            bridge.connection.record_close_reason(CloseReason.FAILED)
            context.status = responses.INTERNAL_ERROR.status
            return responses.StaticStreamResponse(responses.INTERNAL_ERROR)
        context.status = context.status or response.status
        if not response.prepared:
            self._instrumentation.finalize_response(request, response)
        return response
