"""Layout shared by all pages: the frame around the content, and navigation."""

import string
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from askd.api.pages.asset_bundles import bundle_path, content_hash, gzip_compress, read_asset
from askd.api.pages.html import Markup, element, join

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Policy of every page: no inline scripts or styles, and no other hosts."""


class CompressedBody(NamedTuple):
    """A plain and a compressed body. The ETag is weak because it covers both."""

    body: bytes
    gzip: bytes
    etag: str


def compress(body: bytes) -> CompressedBody:
    """Compress a body."""
    return CompressedBody(body, gzip_compress(body), f'W/"{content_hash(body)}"')


class Page(NamedTuple):
    """A rendered page, as `CompressedBody`."""

    body: bytes
    gzip: bytes
    etag: str
    content_security_policy: str = CONTENT_SECURITY_POLICY


def build_page(
    title: str,
    main: Markup,
    document: Mapping[str, Any],
    *,
    current_path: str,
    bundle_name: str,
    answerer_info: Mapping[str, Any] | None = None,
) -> Page:
    """Render a page with navigation.

    Args:
        title: Title of the page, shown before that of the document.
        main: Content of the page.
        document: The OpenAPI document.
        current_path: Path of the page below the path prefix.
        bundle_name: Name of its style sheet and script bundles, without the extension.
        answerer_info: Kind and name of the answerer that the page is about; None uses those of the only one.
    """
    if answerer_info is None:
        answerer_info = {"kind": "", "name": ""} if "x-answerers" in document else document["x-answerer"]
    name = answerer_info["name"]
    body = render_frame(
        f"{title} · {document['info']['title']}",
        main,
        prefix=url_prefix(document),
        name=element("span", element("b", answerer_info["kind"]), " ", name, class_="answerer") if name else "",
        links=_navigation_links(document, current_path),
        style=f"{bundle_name}.css",
        script=f"{bundle_name}.js",
    )
    return Page(*compress(body))


def render_frame(
    title: str, main: Markup, *, prefix: str, style: str, name: str = "", links: str = "", script: str = ""
) -> bytes:
    """Render the content inside the frame; `style` and `script` are names of bundles."""
    source = prefix + bundle_path(script) if script else ""
    values = {
        "title": title,
        "style": prefix + bundle_path(style),
        "script": element("script", type="module", src=source) if script else "",
        "home": f"{prefix}/",
        "name": name,
        "links": links,
        "main": main,
    }
    frame = string.Template(read_asset("frame.html"))
    return frame.substitute({key: join(value) for key, value in values.items()}).encode()


def url_prefix(document: Mapping[str, Any]) -> str:
    """Return the path prefix of the server; empty if it has none."""
    return str(document["servers"][0]["url"]).rstrip("/")


def url_path(document: Mapping[str, Any], path: str) -> str:
    """Return the URL path of a documented path. Ops endpoints override the document's `servers`."""
    return str(document["paths"][path].get("servers", document["servers"])[0]["url"]).rstrip("/") + path


def _navigation_links(document: Mapping[str, Any], current_path: str) -> Markup:
    labels = {"/": "Ask", "/docs": "Docs", "/openapi.json": "OpenAPI", "/metrics": "Metrics"}
    return join(
        element("a", label, href=url_path(document, path), aria_current="page" if path == current_path else None)
        for path, label in labels.items()
        if path in document["paths"]
    )
