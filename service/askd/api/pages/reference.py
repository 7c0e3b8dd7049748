"""API reference: every operation, problem and schema, readable without JavaScript."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from askd.api.pages import layout, schema_view
from askd.api.pages.html import Markup, element, inline, join, render_paragraphs
from askd.api.pages.operation import operation_section


def reference_page(document: Mapping[str, Any]) -> layout.Page:
    """Render the API reference from the OpenAPI document."""
    info = document["info"]
    article = element(
        "article",
        element("h1", info["title"]),
        element("p", inline(info["summary"]), class_="lead") if "summary" in info else None,
        _authorize_form(document),
        render_paragraphs(info["description"]),
        (_tag_section(tag, document) for tag in document["tags"]),
        element("h2", "Problems", id="problems"),
        render_paragraphs(
            "The body of an error response has the type `application/problem+json`. The fragment of its `type` is one "
            "of the codes below. Search the server's log for its `request_id` to find the cause."
        ),
        element("dl", map(_problem_entry, document["x-problems"]), class_="rows problems"),
        element("h2", "Schemas", id="schemas"),
        (_schema_section(name, document["components"]["schemas"]) for name in document["components"]["schemas"]),
    )
    main = element("div", _navigation(document), article, class_="reference")
    return layout.build_page("Docs", main, document, current_path="/docs", bundle_name="docs")


def _authorize_form(document: Mapping[str, Any]) -> Markup | None:
    """Return the form for the token, or None if no operation requires one. A script adds the field and shows it."""
    scheme = document["components"].get("securitySchemes", {}).get("bearer")
    if scheme is None:
        return None
    note = element(
        "small",
        inline(scheme["description"]),
        " “Send” adds it to requests that require one. It is only kept in memory until you leave or reload this page.",
        id="token-note",
    )
    heading = element("h2", "Authorize", id="authorize")
    label = element("label", "Bearer token", for_="token")
    return element("form", heading, label, note, class_="token", data_token=True, hidden=True)


def _iter_operations(
    document: Mapping[str, Any], tag: str | None = None
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, Mapping) and (tag is None or tag in operation["tags"]):
                yield path, method, operation


def _tag_section(tag: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    heading = element("h2", str(tag["name"]).capitalize(), id=f"tag-{tag['name']}")
    content = join(
        render_paragraphs(tag.get("description", "")),
        (operation_section(path, method, document) for path, method, _ in _iter_operations(document, tag["name"])),
    )
    if not tag.get("x-collapsed"):
        return join(heading, content)
    return element("details", element("summary", heading), content, class_="tag")


def _problem_entry(problem: Mapping[str, Any]) -> Markup:
    retry = (
        element("p", "The response has a ", element("code", "Retry-After"), " header.") if problem["retry"] else None
    )
    status = element("small", str(problem["status"]))
    term = element("dt", element("code", problem["code"]), " ", status)
    return element("div", term, element("dd", inline(problem["meaning"]), retry), id=problem["code"])


def _schema_section(name: str, schemas: Mapping[str, Any]) -> Markup:
    schema = schemas[name]
    description = schema.get("description")
    properties = schema_view.property_list(schema)
    if properties:
        example = schema_view.example_block(schema, schemas, f"Example of {name}")
        content = join(properties, element("details", element("summary", "Example"), example))
    else:
        raw = json.dumps(schema, ensure_ascii=False, indent=2)
        content = element("pre", element("code", raw), tabindex=0, role="group", aria_label=f"Schema of {name}")
    return element(
        "section",
        element("h3", element("code", name)),
        element("p", inline(description)) if description else None,
        content,
        id=f"schema-{name}",
        class_="schema",
    )


def _navigation(document: Mapping[str, Any]) -> Markup:
    """Return the search field, which a script shows, and the contents, which a script closes on a narrow screen."""
    search = element(
        "div",
        element("label", "Search", for_="search"),
        element("input", id="search", type="search", autocomplete="off", spellcheck="false"),
        element("p", id="search-status", role="status"),
        class_="search",
        hidden=True,
    )
    links = [_tag_links(tag, document) for tag in document["tags"]]
    links += [element("li", element("a", title, href=f"#{title.lower()}")) for title in ("Problems", "Schemas")]
    contents = element("details", element("summary", "Contents"), element("ul", links), open=True)
    return element("nav", search, contents, aria_label="Contents", class_="contents")


def _tag_links(tag: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    links = join(_operation_link(*operation) for operation in _iter_operations(document, tag["name"]))
    if not tag.get("x-collapsed"):
        return links
    summary = element("summary", str(tag["name"]).capitalize())
    return element("li", element("details", summary, element("ul", links)))


def _operation_link(path: str, method: str, operation: Mapping[str, Any]) -> Markup:
    return element(
        "li", element("a", element("b", method.upper()), " ", path, href=f"#operation-{operation['operationId']}")
    )
