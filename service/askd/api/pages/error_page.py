"""Page that shows a problem (RFC 9457) to a browser, with the same content as its JSON."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from askd.api.pages import layout
from askd.api.pages.home import QUESTION_LABEL, ask_url
from askd.api.pages.html import Markup, element, inline, join

_CODE_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]*")
_MAX_FIELDS: Final = 50
_DETAIL_LABELS: Final = {"parameter": "Parameter", "instance": "Requested path", "request_id": "Request id"}


def problem_page(members: Mapping[str, Any], prefix: str, query: str = "") -> bytes:
    """Render the members of a problem; missing members are omitted.

    Args:
        members: The members.
        prefix: Path prefix of the server.
        query: Query string of the request. If it has a question, the page has a form to change it and ask again.
    """
    title = str(members.get("title") or "Problem")
    main = element(
        "article",
        element("p", str(members.get("status", "")), class_="status"),
        element("h1", title),
        element("p", inline(str(members.get("detail") or "")), class_="detail"),
        _requested_input(members, query),
        _ask_again_form(members, prefix, query),
        _suggestions(members.get("suggestions") or (), prefix),
        _detail_list(members, prefix),
        class_="problem",
    )
    links = join(element("a", "Ask", href=f"{prefix}/"), element("a", "Docs", href=f"{prefix}/docs"))
    return layout.render_frame(title, main, prefix=prefix, style="problem.css", links=links)


def _requested_input(members: Mapping[str, Any], query: str) -> Markup | None:
    """Return the question, and the input that the graph needs to answer it; None if it needs none."""
    if "interrupt" not in members:
        return None
    value = members["interrupt"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
    question = dict(_query_values(query)).get("q", "")
    return join(
        element("p", "You asked ", element("q", question), "."),
        element("pre", element("code", text), tabindex=0, role="group", aria_label="Requested input"),
    )


def _ask_again_form(members: Mapping[str, Any], prefix: str, query: str) -> Markup | None:
    """Return a form with the question and the parameters of the request; None if it had no question."""
    values = _query_values(query)
    question = next((value for name, value in values if name == "q"), None)
    if question is None:
        return None
    is_reply = "interrupt" in members
    value = "" if is_reply else question
    box = element("input", id="q", name="q", value=value, required=True, autocomplete="off")
    fields = [_parameter_field(number, *pair) for number, pair in enumerate(values) if pair[0] != "q"]
    return element(
        "form",
        element("label", "Your reply" if is_reply else QUESTION_LABEL, for_="q"),
        element("div", box, element("button", "Reply" if is_reply else "Ask again", type="submit"), class_="line"),
        element("div", fields, class_="fields") if fields else None,
        action=_form_action(members, prefix),
        method="get",
        class_="again",
    )


def _form_action(members: Mapping[str, Any], prefix: str) -> str:
    if members.get("status") == HTTPStatus.UNAUTHORIZED:
        return f"{prefix}/"  # only the home page can send a token
    path = str(members.get("instance") or "")
    return path if path.startswith(f"{prefix}/ask") else f"{prefix}/ask"


def _query_values(query: str) -> list[tuple[str, str]]:
    """Return the names and values of a query string; an empty list if it is too long to be edited by a person."""
    try:
        return parse_qsl(query.encode(errors="replace").decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return []


def _parameter_field(number: int, name: str, value: str) -> Markup:
    label = element("label", name, for_=f"p-{number}")
    control = element("input", id=f"p-{number}", name=name, value=value, autocomplete="off")
    return element("div", label, control, class_="field")


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
