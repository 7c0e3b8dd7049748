"""The reference: every operation, schema and problem, readable without script."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from service.web.pages import shapes, shell
from service.web.pages.html import Markup, element, inline, join, prose
from service.web.pages.operation import operation


def docs(document: Mapping[str, Any]) -> shell.Page:
    """Make the reference from the contract."""
    about = document["info"]
    article = element(
        "article",
        element("h1", about["title"]),
        element("p", inline(about["summary"]), class_="lead"),
        prose(about["description"]),
        _token(document),
        (_group(tag, document) for tag in document["tags"]),
        element("h2", "Problems", id="problems"),
        prose(
            "A failed request gets a body of type `application/problem+json`. The last part of its `type` is one of "
            "these codes. `request_id` finds the cause in the log."
        ),
        element("dl", map(_problem, document["x-problems"]), class_="rows problems"),
        element("h2", "Schemas", id="schemas"),
        (_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    )
    main = element("div", _contents(document), article, class_="reference")
    return shell.page("Docs", main, document, current="/docs", bundles="docs")


def _token(document: Mapping[str, Any]) -> Markup | None:
    """Say which token is asked for, and leave room for the field in which a script takes it."""
    scheme = document["components"].get("securitySchemes", {}).get("bearer")
    if scheme is None:
        return None
    note = element(
        "small",
        inline(scheme["description"]),
        " It stays on this page, in memory, until you leave it or load it again.",
        id="token-note",
    )
    label = element("label", "Token for what you try", for_="token")
    return element("form", label, note, class_="token", data_token=True, hidden=True)


def _operations(document: Mapping[str, Any], tag: str | None = None) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, given in item.items():
            if isinstance(given, Mapping) and (tag is None or tag in given["tags"]):
                yield path, method, given


def _group(tag: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    heading = element("h2", str(tag["name"]).capitalize(), id=f"tag-{tag['name']}")
    found = (operation(path, method, document) for path, method, _ in _operations(document, tag["name"]))
    return join(heading, prose(tag["description"]), found)


def _problem(given: Mapping[str, Any]) -> Markup:
    again = element("p", "Sent with ", element("code", "Retry-After"), ".") if given["retry"] else None
    status = element("small", str(given["status"]))
    term = element("dt", element("code", given["code"]), " ", status)
    return element("div", term, element("dd", inline(given["meaning"]), again), id=given["code"])


def _schema(name: str, schema: Mapping[str, Any]) -> Markup:
    description = schema.get("description")
    about = element("p", inline(description)) if description else None
    raw = json.dumps(schema, ensure_ascii=False, indent=2)
    content = shapes.rows(schema) or element(
        "pre", element("code", raw), tabindex=0, role="group", aria_label=f"Schema of {name}"
    )
    return element(
        "section", element("h3", element("code", name)), about, content, id=f"schema-{name}", class_="schema"
    )


def _contents(document: Mapping[str, Any]) -> Markup:
    links = [
        element("li", element("a", element("b", method.upper()), " ", path, href=f"#operation-{given['operationId']}"))
        for path, method, given in _operations(document)
    ]
    links += [element("li", element("a", word, href=f"#{word.lower()}")) for word in ("Problems", "Schemas")]
    return element("nav", element("ul", links), aria_label="Contents", class_="contents")
