"""Request middleware: instrumentation, admission and error responses around every aiohttp handler."""

import asyncio
from typing import Final

from aiohttp import web

from askd.api.auth import AdmissionControl
from askd.api.instrumentation import Instrumentation
from askd.api.problems import ProblemRenderer, to_problem
from askd.context import escape_path
from askd.errors import Overloaded, Unavailable
from askd.httpserver import protocol
from askd.httpserver.client_address import ClientAddressResolver
from askd.httpserver.router import UNMATCHED_ROUTE, Handler, Route

CLIENT_CLOSED_REQUEST: Final = 499
"""Status in logs and metrics if the client disconnected before the response. It is never sent."""


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
        self._admission = admission
        self._client_resolver = client_resolver or ClientAddressResolver(())
        self._problem_renderer = problem_renderer

    def wrap(self, handler: Handler, route: Route) -> Handler:
        """Return the wrapped handler of a route."""
        instrumentation, check_admission = self._instrumentation, self._admission.check
        requires_admission, resolve_client = route.requires_admission, self._client_resolver.resolve

        async def handle_request(request: web.Request) -> web.StreamResponse:
            headers = request.headers
            client = resolve_client(request.remote, headers)
            method, arrived_at = request.method, protocol.arrival_time(request)
            if route.quiet:
                context = instrumentation.begin_request(method, route.template, headers, client, arrived_at, quiet=True)
            else:
                target, sampled = request.raw_path, instrumentation.decide_sampling(method, headers)
                context = instrumentation.begin_request(
                    method, route.template, headers, client, arrived_at, target=target, sampled=sampled
                )
                if route.template == UNMATCHED_ROUTE:
                    context.url_path = escape_path(target)
            try:
                try:
                    if requires_admission and (pending_check := check_admission(headers, context)) is not None:
                        await pending_check
                    response = await handler(request)
                except Exception as error:
                    context.was_shed = isinstance(error, Overloaded)
                    response = self._error_response(request, error)
                context.status = context.status or response.status
                if not response.prepared:
                    instrumentation.finalize_response(request, response)
            except asyncio.CancelledError:
                if (shutdown_response := self._shutdown_response(request)) is None:
                    context.status = CLIENT_CLOSED_REQUEST
                    raise
                response, context.status = shutdown_response, shutdown_response.status
                instrumentation.finalize_response(request, response)
            except BaseException:
                context.status = 500  # the error could not be rendered; HttpConnection.handle_error responds
                raise
            finally:
                instrumentation.finish_request(context, quiet=route.quiet)
            return response

        return handle_request

    def start_shutdown(self) -> None:
        """Respond with 503 to every request that is cancelled from now on; its client is still connected."""
        self._problem_renderer.shutdown_error = Unavailable(
            "The server is shutting down and could not finish this answer. Send the request again."
        )

    def _shutdown_response(self, request: web.Request) -> web.Response | None:
        """Return the response to a request cancelled by the shutdown, or None if its client has disconnected."""
        shutdown_error, task = self._problem_renderer.shutdown_error, asyncio.current_task()
        if shutdown_error is None or task is None or request.transport is None:
            return None
        task.uncancel()
        return self._problem_renderer.render_aiohttp(request, shutdown_error)

    def _error_response(self, request: web.Request, error: Exception) -> web.StreamResponse:
        if isinstance(error, ConnectionError) and request.transport is None:
            raise asyncio.CancelledError from error  # the client disconnected while the response was written
        return self._problem_renderer.render_aiohttp(request, to_problem(error))
