"""The site: `/`, `/docs`, `/openapi.json` and what the pages need; pages for browsers, JSON for programs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import hdrs, web

from service import __version__
from service.errors import NotFound
from service.guards.health import Health
from service.models import Answerer, Contract
from service.settings import Settings
from service.web import render
from service.web.negotiate import prefers_html, takes_gzip
from service.web.routes import Routes

if TYPE_CHECKING:
    from service.web.pages import Page

FOREVER: Final = "public, max-age=31536000, immutable"


class Made(NamedTuple):
    """The contract as JSON, and the pages that are made from it."""

    contract: bytes
    docs: "Page"
    home: "Page"


class Site:
    """The handlers of everything that is for reading. `longest` is the longest question in characters."""

    def __init__(self, settings: Settings, answerer: Answerer, health: Health, *, longest: int, instance: str) -> None:
        self._settings = settings
        self._answerer = answerer
        self._health = health
        self._longest = longest
        self._instance = instance
        self._made: tuple[Contract, Made] | None = None

    def add_to(self, routes: Routes) -> None:
        """Add the routes below the prefix; the assets count as one route."""
        prefix, guarded = self._settings.prefix, self._settings.docs_need_token
        routes.add("/", {"GET": self.home}, guarded=guarded)
        if prefix:
            routes.add("", {"GET": self.home}, guarded=guarded)
        routes.add("/docs", {"GET": self.docs}, guarded=guarded)
        routes.add("/openapi.json", {"GET": self.contract}, guarded=guarded)
        routes.add("/assets/{name}", {"GET": self.asset}, template="/assets")

    def _pages(self) -> "Made":
        """Return the contract, its page and the home page; made anew when the answerer tells another contract."""
        contract = self._answerer.contract
        if self._made is not None and self._made[0] is contract:
            return self._made[1]
        from service.web import openapi, pages  # noqa: PLC0415 - a start without readers does not wait for them

        loaded = self._health.answers
        document = openapi.document(self._settings, self._answerer if loaded else None, max_length=self._longest)
        made = Made(render.encode(document), pages.docs(document), pages.home(document))
        if loaded:
            self._made = contract, made
        return made

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """`GET /assets/{name}`: a script or style, whose name has a hash of its bytes."""
        from service.web import pages  # noqa: PLC0415 - as above

        asset = pages.assets().get(f"/assets/{request.match_info['name']}")
        if asset is None:
            raise NotFound("There is no such asset. Load the page again: its assets have changed.")
        headers = {"Content-Type": asset.media_type, "Cache-Control": FOREVER}
        return _packed(request, asset.body, asset.gzip, headers)

    async def docs(self, request: web.Request) -> web.StreamResponse:
        """`GET /docs`: the reference for people, the contract for programs."""
        if prefers_html(request.headers.get(hdrs.ACCEPT, "")):
            return _page(request, self._pages().docs)
        return await self.contract(request)

    async def contract(self, _request: web.Request) -> web.StreamResponse:
        """`GET /openapi.json`."""
        headers = {"Content-Type": render.JSON_TYPE, "Vary": "Accept", "Cache-Control": "no-cache"}
        return web.Response(body=self._pages().contract, headers=headers)

    async def home(self, request: web.Request) -> web.StreamResponse:
        """`GET /`: the home page for people, what runs here for programs."""
        if prefers_html(request.headers.get(hdrs.ACCEPT, "")):
            return _page(request, self._pages().home)
        headers = {"Content-Type": render.JSON_TYPE, "Vary": "Accept", "Cache-Control": "no-cache"}
        return web.Response(body=render.encode(self._about()), headers=headers)

    def _about(self) -> Mapping[str, Any]:
        prefix = self._settings.prefix
        links = {"ask": f"{prefix}/ask", "docs": f"{prefix}/docs", "openapi": f"{prefix}/openapi.json"}
        if self._settings.ops_port is None:
            links |= {"metrics": "/metrics", "livez": "/livez", "readyz": "/readyz", "startupz": "/startupz"}
        return {"name": "askd", "version": __version__, "instance": self._instance, "links": links}


def _page(request: web.Request, page: "Page") -> web.Response:
    headers = {
        "Content-Type": render.HTML_TYPE,
        "Content-Security-Policy": page.policy,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-cache",
        "Vary": "Accept, Accept-Encoding",
        "ETag": page.etag,
    }
    if render.matches(request.headers.get(hdrs.IF_NONE_MATCH, ""), page.etag.removeprefix("W/")):
        return web.Response(status=304, headers=headers)
    return _packed(request, page.body, page.gzip, headers)


def _packed(request: web.Request, body: bytes, gzip: bytes, headers: dict[str, str]) -> web.Response:
    headers.setdefault("Vary", "Accept-Encoding")
    if takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        headers["Content-Encoding"] = "gzip"
        body = gzip
    return web.Response(body=body, headers=headers)
