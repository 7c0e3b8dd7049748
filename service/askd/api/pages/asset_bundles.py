"""Style sheets, scripts and icons of the pages: bundles with names that contain their hash."""

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
    "home.js": ("request.js", "form.js", "stages.js", "answer.js", "history.js", "conversation.js", "home.js"),
    "docs.js": ("request.js", "form.js", "stages.js", "samples.js", "docs.js", "search.js"),
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
