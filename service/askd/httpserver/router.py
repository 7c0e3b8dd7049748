"""Routes: a table of paths and methods; HEAD, OPTIONS, 405, 404 and `Expect` come out right for each by itself."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import hdrs, web

from service.errors import ExpectationFailed, MethodNotAllowed, NotFound
from service.web.cors import Cors

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

UNMATCHED: Final = "unmatched"


class Route(NamedTuple):
    """What is known of a route: its template, for metrics and logs, and how its exchanges are treated."""

    template: str
    quiet: bool = False
    """Whether its exchanges are left out of the log."""
    guarded: bool = False
    """Whether its exchanges pass the admission."""


Around = Callable[[Handler, Route], Handler]
"""Puts what every exchange has around a handler."""


class Routes:
    """The routes of one app. `around` is put around each handler; `prefix` before each path that does not opt out.

    aiohttp's middlewares would do the same for three coroutines and a copy of the handler's chain in each exchange.
    """

    def __init__(self, app: web.Application, around: Around, *, cors: Cors, prefix: str = "") -> None:
        self._router = app.router
        self._around = around
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
        guarded: bool = False,
    ) -> None:
        """Add the methods of one path. GET brings HEAD; OPTIONS and 405 tell which methods there are.

        `template` is what metrics call the route; None: the path without the prefix. OPTIONS and what is refused with
        405 are never `guarded`: a preflight has no token.
        """
        methods = sorted({"OPTIONS", *handlers} | ({"HEAD"} if "GET" in handlers else set()))
        route = Route(template or path or "/", quiet)
        guards = route._replace(guarded=guarded)

        async def refuse(request: web.Request) -> web.StreamResponse:
            raise MethodNotAllowed(request.method[:20], methods)

        async def options(request: web.Request) -> web.StreamResponse:
            allow = {"Allow": ", ".join(methods)}
            return web.Response(status=204, headers=self._cors.preflight(request.headers) or allow)

        table = {
            "OPTIONS": options,
            **handlers,
            **({"HEAD": handlers["GET"]} if "GET" in handlers else {}),
            "*": refuse,
        }
        resource = self._router.add_resource((self.prefix if below_prefix else "") + path)
        for method, handler in table.items():
            around = self._around(handler, guards if method in {"HEAD", *handlers} else route)
            resource.add_route(method, around, expect_handler=self._expecting(route))

    def add_rest(self) -> None:
        """Add what answers every path that has no route; must come last."""

        async def not_found(request: web.Request) -> web.StreamResponse:
            if request.method == "OPTIONS" and (headers := self._cors.preflight(request.headers)):
                return web.Response(status=204, headers=headers)  # or a page's script would never see the 404
            raise NotFound("There is nothing at this path. See /docs for what there is.")

        route = Route(UNMATCHED)
        rest = _Rest("/{rest:.*}")
        rest.found = rest.add_route("*", self._around(not_found, route), expect_handler=self._expecting(route))
        self._router.register_resource(rest)

    def _expecting(self, route: Route) -> Callable[[web.Request], Awaitable[Any]]:
        """Make what meets an `Expect`: who reads the body sends `100 Continue`, so there is nothing to do for that."""

        async def refuse(_request: web.Request) -> web.StreamResponse:
            raise ExpectationFailed("This Expect is not met. Leave it out, or send 100-continue.")

        refused = self._around(refuse, route)

        async def expecting(request: web.Request) -> web.StreamResponse | None:
            met = request.headers.get(hdrs.EXPECT, "").strip().lower() == "100-continue"
            return None if met else await refused(request)

        return expecting


class _Rest(web.DynamicResource):
    """Matches everything, also what is no path: the `*` of OPTIONS, the address of CONNECT.

    What no resource matches aiohttp would answer by itself where it has an `Expect`, past what is around our handlers.
    """

    found: web.ResourceRoute

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo, set[str]]:
        return web.UrlMappingMatchInfo({}, self.found), set()
