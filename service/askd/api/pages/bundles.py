"""Scripts and styles of the pages, each bundle one file with a hash of its bytes in the name, so that it never ages."""

import functools
import gzip
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Final, NamedTuple

_BUNDLES: Final = {
    "problem.css": ("base.css",),
    "home.css": ("base.css", "home.css"),
    "docs.css": ("base.css", "docs.css"),
    "home.js": ("exchange.js", "form.js", "stages.js", "answer.js", "history.js", "home.js"),
    "docs.js": ("exchange.js", "form.js", "stages.js", "docs.js"),
}
_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class Asset(NamedTuple):
    """One file that pages refer to; its path changes with its bytes, so that it may be cached for ever."""

    body: bytes
    gzip: bytes
    media_type: str


@functools.cache
def source(name: str) -> str:
    """Return the text of one file in `assets/`."""
    return (resources.files(__package__) / "assets" / name).read_text("utf-8")


@functools.cache
def _named() -> Mapping[str, tuple[str, Asset]]:
    return {name: _built(name, parts) for name, parts in _BUNDLES.items()}


def _built(name: str, parts: tuple[str, ...]) -> tuple[str, Asset]:
    body = "\n".join(map(source, parts)).encode()
    stem, _, kind = name.partition(".")
    path = f"/assets/{stem}.{digest(body)}.{kind}"
    return path, Asset(body, packed(body), _TYPES[kind])


def assets() -> Mapping[str, Asset]:
    """Return every asset by its path below the prefix."""
    return dict(_named().values())


def address(name: str) -> str:
    """Return the path of a bundle such as `home.css`, below the prefix."""
    return _named()[name][0]


def digest(body: bytes) -> str:
    """Return a short name for these bytes."""
    return hashlib.sha256(body).hexdigest()[:16]


def packed(body: bytes) -> bytes:
    """Compress, to the same bytes at any time."""
    return gzip.compress(body, 9, mtime=0)
