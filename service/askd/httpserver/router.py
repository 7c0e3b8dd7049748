"""Routes: a table of paths and methods, with HEAD, OPTIONS, 404, 405 and `Expect` handled for every route."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import hdrs, web

from askd.errors import ExpectationFailed, MethodNotAllowed, NotFound
from askd.httpserver.cors import CorsPolicy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

UNMATCHED_ROUTE: Final = "unmatched"


class Route(NamedTuple):
    """Properties of a route that the middleware needs."""

    template: str
    """Name of the route in metrics and logs."""
    quiet: bool = False
    """Whether its requests are left out of the access log and the request metrics."""
    requires_admission: bool = False
    """Whether its requests are subject to authentication and the rate limit."""
    encode_problem: Callable[..., bytes] | None = None
    """Encodes problems in the route's own format; None is problem+json."""
    starts_trace: bool = True
    """Whether the trace starts before the handler; otherwise the handler starts it, with the parent in the body."""


Middleware = Callable[[Handler, Route], Handler]
"""Wraps the handler of a route."""


class Router:
    """Routes of one app.

    aiohttp middlewares are not used: they would add three coroutines and a copy of the handler chain per request.

    Args:
        middleware: Wraps each handler.
        prefix: Prefix of all paths added with `below_prefix`.
    """

    def __init__(self, app: web.Application, middleware: Middleware, *, cors: CorsPolicy, prefix: str = "") -> None:
        self._dispatcher = app.router
        self._middleware = middleware
        self._cors = cors
        self.prefix = prefix

    def add(
        self,
        path: str,
        handlers: Mapping[str, Handler],
        *,
        below_prefix: bool = True,
        template: str | None = None,
        quiet: bool = False,
        requires_admission: bool = False,
        encode_problem: Callable[..., bytes] | None = None,
        starts_trace: bool = True,
    ) -> None:
        """Add a path. GET also adds HEAD; OPTIONS and 405 responses list the methods.

        Args:
            path: Path of the route.
            handlers: Handlers by method.
            below_prefix: Whether the prefix applies to the path.
            template: Name of the route in metrics and logs; None uses the path without the prefix.
            quiet: Whether the requests are left out of the access log and the request metrics.
            requires_admission: Whether authentication and the rate limit apply. They never apply to OPTIONS (a
                preflight carries no token) and to unsupported methods.
            encode_problem: Encodes problems in the route's own format; None is problem+json.
            starts_trace: Whether the trace starts before the handler.
        """
        methods = sorted({"OPTIONS", *handlers} | ({"HEAD"} if "GET" in handlers else set()))
        open_route = Route(template or path or "/", quiet, encode_problem=encode_problem)
        handler_route = open_route._replace(requires_admission=requires_admission, starts_trace=starts_trace)

        async def method_not_allowed(request: web.Request) -> web.StreamResponse:
            raise MethodNotAllowed(request.method[:20], methods)

        async def options(request: web.Request) -> web.StreamResponse:
            allow = {"Allow": ", ".join(methods)}
            return web.Response(status=204, headers=self._cors.preflight_headers(request.headers) or allow)

        table = {
            "OPTIONS": options,
            **handlers,
            **({"HEAD": handlers["GET"]} if "GET" in handlers else {}),
            # Last, because aiohttp rejects routes that are added after `*`.
            "*": method_not_allowed,
        }
        resource = self._dispatcher.add_resource((self.prefix if below_prefix else "") + path)
        for method, handler in table.items():
            wrapped = self._middleware(handler, handler_route if method in {"HEAD", *handlers} else open_route)
            resource.add_route(method, wrapped, expect_handler=self._make_expect_handler(open_route))

    def add_not_found_route(self) -> None:
        """Add the 404 response for all other paths. Must be called last."""

        async def not_found(request: web.Request) -> web.StreamResponse:
            # A preflight must succeed, or the script of the page cannot read the 404 of the actual request.
            if request.method == "OPTIONS" and (headers := self._cors.preflight_headers(request.headers)):
                return web.Response(status=204, headers=headers)
            raise NotFound("There is nothing at this path. See /docs for the available paths.")

        route = Route(UNMATCHED_ROUTE)
        resource = _CatchAllResource("/{rest:.*}")
        resource.route = resource.add_route(
            "*", self._middleware(not_found, route), expect_handler=self._make_expect_handler(route)
        )
        self._dispatcher.register_resource(resource)

    def _make_expect_handler(self, route: Route) -> Callable[[web.Request], Awaitable[Any]]:
        """Return a handler that rejects unknown expectations.

        `100-continue` needs no action here: the handler that reads the body sends `100 Continue`.
        """

        async def expectation_failed(_request: web.Request) -> web.StreamResponse:
            raise ExpectationFailed("This expectation is not supported. Omit Expect, or send 100-continue.")

        reject = self._middleware(expectation_failed, route)

        async def handle_expect(request: web.Request) -> web.StreamResponse | None:
            is_supported = request.headers.get(hdrs.EXPECT, "").strip().lower() == "100-continue"
            return None if is_supported else await reject(request)

        return handle_expect


class _CatchAllResource(web.DynamicResource):
    """Matches every target, including those that are not paths: `OPTIONS *` and the authority of CONNECT.

    If no resource matches, aiohttp responds to a request with `Expect` itself, without the middleware.
    """

    route: web.ResourceRoute

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo, set[str]]:
        return web.UrlMappingMatchInfo({}, self.route), set()
