"""One operation of the reference: its parameters, body, responses, an example and the form to try it."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from service.web.pages import fields, shapes, shell
from service.web.pages.html import Markup, element, inline, join, prose

_HOST: Final = "http://localhost:2024"
"""Stands in static examples; a script puts the page's own origin there."""
_BEARER: Final = ' -H "Authorization: Bearer $ASKD_BEARER"'
_SAMPLES: Final = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": []}


def operation(path: str, method: str, document: Mapping[str, Any]) -> Markup:
    """Describe one operation."""
    given = document["paths"][path][method]
    title = element("h3", element("b", method.upper()), " ", element("code", shell.place(document, path)))
    return element(
        "section",
        title,
        element("p", inline(given.get("summary", ""))),
        _description(given, document),
        _part("Parameters", _parameters(given, document)),
        _part("Body", _body(given, document)),
        _part("Responses", _responses(given, document)),
        _part("Try it", _try(path, method, document)),
        id=f"operation-{given['operationId']}",
        class_="operation",
    )


def _description(given: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    """Show what an operation says of itself, unless the head of the page has said it."""
    text = given.get("description", "")
    return None if text in document["info"]["description"] else prose(text)


def _part(title: str, content: Markup | None) -> Markup | None:
    return join(element("h4", title), content) if content else None


def _resolved(given: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in given:
        return given
    _, _, group, name = str(given["$ref"]).split("/")
    found: Mapping[str, Any] = document["components"][group][name]
    return found


def parameters(given: Mapping[str, Any], document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an operation's parameters, references followed."""
    return [_resolved(one, document) for one in given.get("parameters", ())]


def _parameters(given: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    rows = [
        shapes.row(
            one["name"],
            shapes.shape(one["schema"]),
            one.get("description", ""),
            required=one.get("required", False),
            place=one["in"],
        )
        for one in parameters(given, document)
    ]
    return element("dl", rows, class_="rows") if rows else None


def _body(given: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    body = given.get("requestBody")
    if not body:
        return None
    schema = next(iter(body["content"].values()))["schema"]
    media = element("p", _codes(body["content"]), ": ", shapes.shape(schema), ". ", inline(body.get("description", "")))
    return join(media, shapes.rows(fields.resolve(schema, document["components"]["schemas"])))


def _codes(names: Mapping[str, Any]) -> Markup:
    return join(join(" or " if number else "", element("code", name)) for number, name in enumerate(names))


def _responses(given: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    found = {status: _resolved(one, document) for status, one in given["responses"].items()}
    rows = [_response(status, one) for status, one in found.items() if "x-codes" not in one]
    failures = [_failure(status, one["x-codes"]) for status, one in found.items() if "x-codes" in one]
    if failures:
        listed = element("ul", failures, class_="failures")
        rows.append(element("div", element("dt", "Problems"), element("dd", listed)))
    return element("dl", rows, class_="rows responses")


def _failure(status: str, codes: Sequence[str]) -> Markup:
    links = (join(", " if number else " ", element("a", code, href=f"#{code}")) for number, code in enumerate(codes))
    return element("li", element("code", status), links)


def _response(status: str, one: Mapping[str, Any]) -> Markup:
    said = join(inline(one["description"]), (_media(*item) for item in one.get("content", {}).items()))
    if one.get("headers"):
        said = join(said, element("small", "Headers: ", ", ".join(one["headers"])))
    return element("div", element("dt", element("code", status)), element("dd", said))


def _media(name: str, given: Mapping[str, Any]) -> Markup:
    description = given["schema"].get("description")
    return element(
        "p", element("code", name), " ", inline(description) if description else shapes.shape(given["schema"])
    )


def _try(path: str, method: str, document: Mapping[str, Any]) -> Markup:
    given = document["paths"][path][method]
    return element(
        "form",
        fields.join_fields(list(_fields(given, document))),
        _headers(given, document),
        element(
            "pre",
            element("code", _curl(path, method, document)),
            class_="curl",
            tabindex=0,
            role="group",
            aria_label="With curl",
        ),
        element("p", element("button", "Send", type="submit"), class_="send", hidden=True),
        element("div", class_="result", aria_live="polite"),
        class_="try",
        action=shell.place(document, path),
        data_method=method.upper(),
        data_guarded="security" in given,
        novalidate=True,
    )


def _fields(given: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Markup]:
    schemas, id = document["components"]["schemas"], given["operationId"]
    example = _example(given, document)
    body = given.get("requestBody", {}).get("content", {})
    query = [one for one in parameters(given, document) if one["in"] == "query"]
    for one in [*query, *_members(body, schemas)]:
        # What it means stands above already.
        bare = {**one, "description": ""}
        yield fields.field(f"{id}-{one['name']}", bare, schemas, value=example.get(one["name"]))
    if body:
        yield fields.field(f"{id}-content-type", _choice("Content-Type", body), schemas)
    media = given["responses"]["200"].get("content", {})
    if len(media) > 1:
        yield fields.field(f"{id}-accept", _choice("Accept", media), schemas)


def _headers(given: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    """Offer the request headers, folded away, because they are rarely wanted."""
    found = [
        fields.field(f"{given['operationId']}-{one['name']}", {**one, "description": ""}, {})
        for one in parameters(given, document)
        if one["in"] == "header"
    ]
    return element("details", element("summary", "Request headers"), fields.join_fields(found)) if found else None


def _members(body: Mapping[str, Any], schemas: fields.Schemas) -> list[Mapping[str, Any]]:
    if not body:
        return []
    schema = fields.resolve(next(iter(body.values()))["schema"], schemas)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "body", "schema": inner, "required": name in required}
        for name, inner in schema["properties"].items()
    ]


def _choice(name: str, media: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": {"type": "string", "enum": list(media)}}


def _example(given: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for what an operation requires: the first documented question, the first of each choice."""
    schemas = document["components"]["schemas"]
    body = given.get("requestBody", {}).get("content", {})
    required = [one for one in [*parameters(given, document), *_members(body, schemas)] if one.get("required")]
    return {one["name"]: _sample(one, document) for one in required}


def _sample(one: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    if one["name"] == "q":
        examples = document["paths"]["/ask"]["get"]["parameters"][0].get("examples", {})
        return next((example["value"] for example in examples.values()), "hello")
    schema = fields.resolve(one["schema"], document["components"]["schemas"])
    return next(iter([*schema.get("examples", ()), *schema.get("enum", ())]), _SAMPLES.get(fields.kind(schema)))


def _curl(path: str, method: str, document: Mapping[str, Any]) -> str:
    given = document["paths"][path][method]
    example = _example(given, document)
    address = _HOST + shell.place(document, path)
    token = _BEARER if "security" in given else ""
    if method == "get":
        return "curl " + shlex.quote(address + (f"?{urlencode(example)}" if example else "")) + token
    data = shlex.quote(json.dumps(example, ensure_ascii=False))
    return f"curl {shlex.quote(address)}{token} -H 'Content-Type: application/json' -d {data}"
