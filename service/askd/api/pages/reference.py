"""API reference: every operation, problem and schema, readable without JavaScript."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from askd.api.pages import layout, schema_view
from askd.api.pages.layout import Markup, element, inline, join, render_paragraphs
from askd.api.pages.operation import operation_section


def reference_page(document: Mapping[str, Any]) -> layout.Page:
    """Render the API reference from the OpenAPI document."""
    info = document["info"]
    article = element(
        "article",
        element("h1", info["title"]),
        element("p", inline(info["summary"]), class_="lead"),
        render_paragraphs(info["description"]),
        _token_form(document),
        (_tag_section(tag, document) for tag in document["tags"]),
        element("h2", "Problems", id="problems"),
        render_paragraphs(
            "The body of an error response has the type `application/problem+json`. The fragment of its `type` is one "
            "of the codes below. Search the server's log for its `request_id` to find the cause."
        ),
        element("dl", map(_problem_entry, document["x-problems"]), class_="rows problems"),
        element("h2", "Schemas", id="schemas"),
        (_schema_section(name, schema) for name, schema in document["components"]["schemas"].items()),
    )
    main = element("div", _table_of_contents(document), article, class_="reference")
    return layout.build_page("Docs", main, document, current_path="/docs", bundle_name="docs")


def _token_form(document: Mapping[str, Any]) -> Markup | None:
    """Return the form for the token, or None if no operation requires one. A script adds the field and shows it."""
    scheme = document["components"].get("securitySchemes", {}).get("bearer")
    if scheme is None:
        return None
    note = element(
        "small",
        inline(scheme["description"]),
        " The token is only kept in memory until you leave or reload this page.",
        id="token-note",
    )
    label = element("label", "Token for “Try it”", for_="token")
    return element("form", label, note, class_="token", data_token=True, hidden=True)


def _iter_operations(
    document: Mapping[str, Any], tag: str | None = None
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, Mapping) and (tag is None or tag in operation["tags"]):
                yield path, method, operation


def _tag_section(tag: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    heading = element("h2", str(tag["name"]).capitalize(), id=f"tag-{tag['name']}")
    sections = (
        operation_section(path, method, document) for path, method, _ in _iter_operations(document, tag["name"])
    )
    return join(heading, render_paragraphs(tag["description"]), sections)


def _problem_entry(problem: Mapping[str, Any]) -> Markup:
    retry = (
        element("p", "The response has a ", element("code", "Retry-After"), " header.") if problem["retry"] else None
    )
    status = element("small", str(problem["status"]))
    term = element("dt", element("code", problem["code"]), " ", status)
    return element("div", term, element("dd", inline(problem["meaning"]), retry), id=problem["code"])


def _schema_section(name: str, schema: Mapping[str, Any]) -> Markup:
    description = schema.get("description")
    paragraph = element("p", inline(description)) if description else None
    raw = json.dumps(schema, ensure_ascii=False, indent=2)
    content = schema_view.property_list(schema) or element(
        "pre", element("code", raw), tabindex=0, role="group", aria_label=f"Schema of {name}"
    )
    return element(
        "section", element("h3", element("code", name)), paragraph, content, id=f"schema-{name}", class_="schema"
    )


def _table_of_contents(document: Mapping[str, Any]) -> Markup:
    links = [
        element(
            "li", element("a", element("b", method.upper()), " ", path, href=f"#operation-{operation['operationId']}")
        )
        for path, method, operation in _iter_operations(document)
    ]
    links += [element("li", element("a", title, href=f"#{title.lower()}")) for title in ("Problems", "Schemas")]
    return element("nav", element("ul", links), aria_label="Contents", class_="contents")
