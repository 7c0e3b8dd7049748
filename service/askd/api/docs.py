"""Documentation routes: `/`, `/docs`, `/openapi.json` and assets. Browsers get HTML, other clients get JSON."""

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import hdrs, web

from askd import __version__
from askd.api import rendering
from askd.api.ask_path import ask_path
from askd.api.served_answerers import ServedAnswerers
from askd.config import Settings
from askd.errors import NotFound
from askd.guards.health import Health
from askd.httpserver.negotiation import accepts_gzip, prefers_html
from askd.httpserver.router import Router
from askd.models import Contract

if TYPE_CHECKING:
    from askd.api.pages import CompressedBody, Page

IMMUTABLE_CACHE_CONTROL: Final = "public, max-age=31536000, immutable"


class RenderedDocs(NamedTuple):
    """The OpenAPI document as JSON, and the pages rendered from it."""

    openapi_json: "CompressedBody"
    reference_page: "Page"
    home_pages: Mapping[str, "Page"]
    """The home page of each answerer by name; that at `/` has an empty name."""


class DocsHandlers:
    """Handlers of the documentation routes.

    Args:
        settings: Settings of the server.
        answerers: Their contracts are documented.
        health: Reports whether the answerers have been loaded.
        max_question_length: Maximum length of a question in characters.
        instance: Name of this server, shown at `/`.
    """

    def __init__(
        self,
        settings: Settings,
        answerers: ServedAnswerers,
        health: Health,
        *,
        max_question_length: int,
        instance: str,
    ) -> None:
        self._settings = settings
        self._answerers = answerers
        self._health = health
        self._max_question_length = max_question_length
        self._instance = instance
        self._rendered: tuple[list[Contract], RenderedDocs] | None = None

    def register_routes(self, routes: Router) -> None:
        """Add the routes below the path prefix. All assets share one route in metrics and logs."""
        prefix, requires_token = self._settings.prefix, self._settings.docs_require_token
        routes.add("/", {"GET": self.home}, requires_admission=requires_token)
        if prefix:
            routes.add("", {"GET": self.home}, requires_admission=requires_token)
        routes.add("/docs", {"GET": self.docs}, requires_admission=requires_token)
        routes.add("/openapi.json", {"GET": self.openapi_json}, requires_admission=requires_token)
        if len(self._answerers) > 1:
            template = "/answerers"
            handlers = {"GET": self.answerer_home}
            routes.add("/answerers/{name}", handlers, template=template, requires_admission=requires_token)
        routes.add("/assets/{name}", {"GET": self.asset}, template="/assets")

    def _render_docs(self) -> "RenderedDocs":
        """Return the document and the pages. They are cached until the contract of an answerer changes."""
        contracts = [served.contract for served in self._answerers]
        if self._rendered is not None and all(map(operator.is_, self._rendered[0], contracts)):
            return self._rendered[1]
        from askd.api import openapi, pages  # noqa: PLC0415 - imported on demand to keep the start fast

        is_loaded, default = self._health.is_loaded, self._answerers.default
        several = self._answerers if len(self._answerers) > 1 else ()
        document = openapi.build_document(
            self._settings,
            default.answerer if is_loaded and default else None,
            max_length=self._max_question_length,
            named={served.name: served.answerer if is_loaded else None for served in several},
            has_default=default is not None,
        )
        first = ask_path("") if default else self._answerers[0].path
        home_paths = {"": first, **{served.name: served.path for served in several}}
        reference_page, serves_ask = pages.reference_page(document), "ask" in self._settings.formats
        home_pages = {
            name: pages.home_page(document, path) if serves_ask else reference_page for name, path in home_paths.items()
        }
        rendered = RenderedDocs(pages.compress(rendering.encode_json(document)), reference_page, home_pages)
        if is_loaded:
            self._rendered = contracts, rendered
        return rendered

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """`GET /assets/{name}`: a script or style sheet; its name contains a hash of its content."""
        from askd.api import pages  # noqa: PLC0415 - as above

        asset = pages.assets_by_path().get(f"/assets/{request.match_info['name']}")
        if asset is None:
            raise NotFound("This asset does not exist, or has changed. Reload the page that uses it.")
        headers = {"Content-Type": asset.media_type, "Cache-Control": IMMUTABLE_CACHE_CONTROL}
        return _response_with_optional_gzip(request, asset.body, asset.gzip, headers)

    async def docs(self, request: web.Request) -> web.StreamResponse:
        """`GET /docs`: the API reference for browsers, the OpenAPI document for other clients."""
        if prefers_html(request.headers.get(hdrs.ACCEPT, "")):
            return _page_response(request, self._render_docs().reference_page)
        return await self.openapi_json(request)

    async def openapi_json(self, request: web.Request) -> web.StreamResponse:
        """`GET /openapi.json`: the OpenAPI document."""
        return _cached_response(request, self._render_docs().openapi_json, {"Content-Type": rendering.JSON_TYPE})

    async def home(self, request: web.Request) -> web.StreamResponse:
        """`GET /`: the home page for browsers, name, version and links for other clients."""
        if prefers_html(request.headers.get(hdrs.ACCEPT, "")):
            return _page_response(request, self._render_docs().home_pages[""])
        headers = {"Content-Type": rendering.JSON_TYPE, "Vary": "Accept", "Cache-Control": "no-cache"}
        return web.Response(body=rendering.encode_json(self._service_info()), headers=headers)

    async def answerer_home(self, request: web.Request) -> web.StreamResponse:
        """`GET /answerers/{name}`: the home page of one of several answerers."""
        page = self._render_docs().home_pages.get(request.match_info["name"])
        if page is None:
            self._answerers.raise_not_found(request.match_info["name"])
        return _page_response(request, page)

    def _service_info(self) -> Mapping[str, Any]:
        prefix = self._settings.prefix
        serves_ask = "ask" in self._settings.formats
        links = {"ask": f"{prefix}/ask"} if self._answerers.default and serves_ask else {}
        if len(self._answerers) > 1 and serves_ask:
            links |= {f"ask/{served.name}": prefix + served.path for served in self._answerers}
        links |= {"docs": f"{prefix}/docs", "openapi": f"{prefix}/openapi.json"}
        if self._settings.ops_port is None:
            links |= {"metrics": "/metrics", "livez": "/livez", "readyz": "/readyz", "startupz": "/startupz"}
        return {"name": "askd", "version": __version__, "instance": self._instance, "links": links}


def _page_response(request: web.Request, page: "Page") -> web.Response:
    headers = {
        "Content-Type": rendering.HTML_TYPE,
        "Content-Security-Policy": page.content_security_policy,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
    return _cached_response(request, page, headers)


def _cached_response(request: web.Request, content: "CompressedBody | Page", headers: dict[str, str]) -> web.Response:
    """Return a response that clients may keep and revalidate, or 304."""
    headers |= {"Cache-Control": "no-cache", "Vary": "Accept, Accept-Encoding", "ETag": content.etag}
    if rendering.etag_matches(request.headers.get(hdrs.IF_NONE_MATCH, ""), content.etag.removeprefix("W/")):
        return web.Response(status=304, headers=headers)
    return _response_with_optional_gzip(request, content.body, content.gzip, headers)


def _response_with_optional_gzip(
    request: web.Request, body: bytes, gzip: bytes, headers: dict[str, str]
) -> web.Response:
    headers.setdefault("Vary", "Accept-Encoding")
    if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        headers["Content-Encoding"] = "gzip"
        body = gzip
    return web.Response(body=body, headers=headers)
