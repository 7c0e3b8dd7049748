"""Layout shared by all pages: the assets, HTML elements, the frame around the content, navigation."""

import functools
import gzip
import hashlib
import html
import re
import string
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Final, NamedTuple

_BUNDLES: Final = {
    "problem.css": ("base.css",),
    "home.css": ("base.css", "home.css"),
    "docs.css": ("base.css", "docs.css"),
    "home.js": ("request.js", "form.js", "stages.js", "answer.js", "history.js", "home.js"),
    "docs.js": ("request.js", "form.js", "stages.js", "docs.js"),
}
_MEDIA_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class Asset(NamedTuple):
    """A file that pages load, plain and compressed."""

    body: bytes
    gzip: bytes
    media_type: str


@functools.cache
def read_asset(name: str) -> str:
    """Return the text of a file in `assets/`."""
    return (resources.files(__package__) / "assets" / name).read_text("utf-8")


@functools.cache
def _bundles_by_name() -> Mapping[str, tuple[str, Asset]]:
    return {name: _build_bundle(name, parts) for name, parts in _BUNDLES.items()}


def _build_bundle(name: str, parts: tuple[str, ...]) -> tuple[str, Asset]:
    body = "\n".join(map(read_asset, parts)).encode()
    stem, _, extension = name.partition(".")
    path = f"/assets/{stem}.{content_hash(body)}.{extension}"
    return path, Asset(body, gzip_compress(body), _MEDIA_TYPES[extension])


def assets_by_path() -> Mapping[str, Asset]:
    """Return all assets by their paths below the path prefix."""
    return dict(_bundles_by_name().values())


def bundle_path(name: str) -> str:
    """Return the path of a bundle such as `home.css` below the path prefix."""
    return _bundles_by_name()[name][0]


def content_hash(body: bytes) -> str:
    """Return a short hash of the content, in hex."""
    return hashlib.sha256(body).hexdigest()[:16]


def gzip_compress(body: bytes) -> bytes:
    """Compress reproducibly: the output does not contain the current time."""
    return gzip.compress(body, 9, mtime=0)


_VOID_ELEMENTS: Final = {"br", "col", "hr", "img", "input", "link", "meta"}


class Markup(str):
    """Escaped HTML. Only this module creates it."""

    __slots__ = ()


Child = str | Iterable[str] | None
AttributeValue = str | int | None
"""Value of an attribute. bool is included, as a subclass of int."""


def element(name: str, /, *children: Child, **attributes: AttributeValue) -> Markup:
    """Return an element with these children; children that are not Markup are escaped.

    In attribute names a trailing underscore is dropped and the others become hyphens (`class_`, `data_in`). True sets
    a boolean attribute; False and None omit the attribute.
    """
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{opening}>" if name in _VOID_ELEMENTS else f"<{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Concatenate the children; None is skipped."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return html.escape(child) if isinstance(child, str) else join(*child)


def _attribute(key: str, value: AttributeValue) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def render_paragraphs(text: str) -> Markup:
    """Render a docstring: blank lines separate paragraphs, backticks mark code. Other markup is not supported."""
    parts = re.split(r"\n\s*\n", text.strip())
    return join(element("p", inline(" ".join(part.split()))) for part in parts if part.strip())


def inline(text: str) -> Markup:
    """Render one line of text; backticks mark code."""
    pieces = re.split(r"`([^`]+)`", text)
    return join(element("code", piece) if index % 2 else piece for index, piece in enumerate(pieces))


CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Policy of every page: no inline scripts or styles, and no other hosts."""


class Page(NamedTuple):
    """A rendered page. The ETag is weak because it covers both the plain and the compressed body."""

    body: bytes
    gzip: bytes
    etag: str
    content_security_policy: str = CONTENT_SECURITY_POLICY


def build_page(title: str, main: Markup, document: Mapping[str, Any], *, current_path: str, bundle_name: str) -> Page:
    """Render a page with navigation.

    Args:
        title: Title of the page, shown before that of the document.
        main: Content of the page.
        document: The OpenAPI document.
        current_path: Path of the page below the path prefix.
        bundle_name: Name of its style sheet and script bundles, without the extension.
    """
    answerer_info = document["x-answerer"]
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
    return Page(body, gzip_compress(body), f'W/"{content_hash(body)}"')


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
