"""What the pages share: the frame around the content, and the headers that belong to a page."""

import string
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from service.web.pages import bundle
from service.web.pages.html import Markup, element, join

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every page: nothing inline, nothing from elsewhere."""


class Page(NamedTuple):
    """A page that is made once. `etag` is weak: it stands for the plain and the compressed bytes."""

    body: bytes
    gzip: bytes
    etag: str
    policy: str = POLICY


def page(title: str, main: Markup, document: Mapping[str, Any], *, current: str, bundles: str) -> Page:
    """Make a whole page; `current` is its path below the prefix, `bundles` the stem of its style and its script."""
    about = document["x-answerer"]
    body = framed(
        f"{title} · {document['info']['title']}",
        main,
        prefix=prefix(document),
        name=element("span", element("b", about["kind"]), " ", about["name"], class_="served") if about["name"] else "",
        links=_links(document, current),
        style=f"{bundles}.css",
        script=f"{bundles}.js",
    )
    return Page(body, bundle.packed(body), f'W/"{bundle.digest(body)}"')


def framed(
    title: str, main: Markup, *, prefix: str, style: str, name: str = "", links: str = "", script: str = ""
) -> bytes:
    """Put the frame around the content of a page; `style` and `script` are bundles."""
    source = prefix + bundle.address(script) if script else ""
    values = {
        "title": title,
        "style": prefix + bundle.address(style),
        "script": element("script", type="module", src=source) if script else "",
        "home": f"{prefix}/",
        "name": name,
        "links": links,
        "main": main,
    }
    frame = string.Template(bundle.source("frame.html"))
    return frame.substitute({key: join(value) for key, value in values.items()}).encode()


def prefix(document: Mapping[str, Any]) -> str:
    """Return the path that everything is below; empty for none."""
    return str(document["servers"][0]["url"]).rstrip("/")


def place(document: Mapping[str, Any], path: str) -> str:
    """Return the address of a documented path, which may have a server entry of its own."""
    return str(document["paths"][path].get("servers", document["servers"])[0]["url"]).rstrip("/") + path


def _links(document: Mapping[str, Any], current: str) -> Markup:
    wanted = {"/": "Ask", "/docs": "Docs", "/openapi.json": "OpenAPI", "/metrics": "Metrics"}
    return join(
        element("a", label, href=place(document, path), aria_current="page" if path == current else None)
        for path, label in wanted.items()
        if path in document["paths"]
    )
