"""Page that shows a problem (RFC 9457) to a browser, with the same content as its JSON."""

import re
from collections.abc import Mapping
from typing import Any, Final

from askd.api.pages import layout
from askd.api.pages.home import ask_url
from askd.api.pages.layout import Markup, element, inline, join

_CODE_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]*")
_DETAIL_LABELS: Final = {"parameter": "Parameter", "instance": "Requested path", "request_id": "Request id"}


def problem_page(members: Mapping[str, Any], prefix: str) -> bytes:
    """Render the members of a problem; missing members are omitted."""
    title = str(members.get("title") or "Problem")
    main = element(
        "article",
        element("p", str(members.get("status", "")), class_="status"),
        element("h1", title),
        element("p", inline(str(members.get("detail") or "")), class_="detail"),
        _suggestions(members.get("suggestions") or (), prefix),
        _detail_list(members, prefix),
        class_="problem",
    )
    links = join(element("a", "Ask", href=f"{prefix}/"), element("a", "Docs", href=f"{prefix}/docs"))
    return layout.render_frame(title, main, prefix=prefix, style="problem.css", links=links)


def _suggestions(texts: Any, prefix: str) -> Markup | None:
    links = [element("li", element("a", str(text), href=ask_url(f"{prefix}/ask", str(text)))) for text in texts]
    return join(element("p", "Questions that have an answer:"), element("ul", links)) if links else None


def _detail_list(members: Mapping[str, Any], prefix: str) -> Markup:
    code = str(members.get("type") or "").rpartition("#")[2]
    is_known = bool(_CODE_PATTERN.fullmatch(code))
    link = element("a", code if is_known else "all problems", href=f"{prefix}/docs#{code if is_known else 'problems'}")
    rows = [("Documentation", link)]
    rows += [(label, element("code", str(members[key]))) for key, label in _DETAIL_LABELS.items() if members.get(key)]
    return element("dl", (element("div", element("dt", label), element("dd", value)) for label, value in rows))
