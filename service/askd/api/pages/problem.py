"""A failed exchange as a page for people; it shows what the problem+json says, and nothing more."""

import re
from collections.abc import Mapping
from typing import Any, Final

from service.web.pages import shell
from service.web.pages.home import asking
from service.web.pages.html import Markup, element, inline, join

_CODE: Final = re.compile(r"[a-z][a-z0-9-]*")


def problem(given: Mapping[str, Any], prefix: str) -> bytes:
    """Make the page of an RFC 9457 problem; members that are missing are left out."""
    title = str(given.get("title") or "Problem")
    main = element(
        "article",
        element("p", str(given.get("status", "")), class_="status"),
        element("h1", title),
        element("p", inline(str(given.get("detail") or "")), class_="detail"),
        _suggestions(given.get("suggestions") or (), prefix),
        _facts(given, prefix),
        class_="problem",
    )
    links = join(element("a", "Ask", href=f"{prefix}/"), element("a", "Docs", href=f"{prefix}/docs"))
    return shell.framed(title, main, prefix=prefix, style="problem.css", links=links)


def _suggestions(texts: Any, prefix: str) -> Markup | None:
    links = [element("li", element("a", str(text), href=asking(f"{prefix}/ask", str(text)))) for text in texts]
    return join(element("p", "These have an answer:"), element("ul", links)) if links else None


def _facts(given: Mapping[str, Any], prefix: str) -> Markup:
    code = str(given.get("type") or "").rpartition("#")[2]
    known = bool(_CODE.fullmatch(code))
    about = element("a", code if known else "all problems", href=f"{prefix}/docs#{code if known else 'problems'}")
    rows = [("What this means", about)]
    rows += [(label, element("code", str(given[key]))) for key, label in _SHOWN.items() if given.get(key)]
    return element("dl", (element("div", element("dt", label), element("dd", value)) for label, value in rows))


_SHOWN: Final = {"parameter": "Parameter", "instance": "Requested", "request_id": "Request id"}
