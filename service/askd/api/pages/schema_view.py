"""JSON Schema in words: what a value is, where it may be found, what it may hold."""

import json
from collections.abc import Mapping
from typing import Any, Final

from service.web.pages.html import Markup, element, inline, join

_PLAIN: Final = {
    "description", "default", "examples", "title", "type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "items",
    "properties", "required", "additionalProperties", "pattern",
    "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
}  # fmt: skip
_RANGES: Final = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "items"),
    ("minimum", "maximum", ""),
)


def shape(schema: Mapping[str, Any]) -> Markup:
    """Describe a schema on one line; what has no words is added as JSON."""
    words = [_type(schema), *map(_limit, _limits(schema))]
    if "pattern" in schema:
        blank = schema["pattern"] == r"\S"
        words.append(join("not blank") if blank else join("matching ", element("code", schema["pattern"])))
    if "default" in schema:
        words.append(join("default ", element("code", _json(schema["default"]))))
    rest = {key: value for key, value in schema.items() if key not in _PLAIN}
    if rest:
        words.append(element("code", _json(rest)))
    return join((join(", " if number else "", word) for number, word in enumerate(words)))


def _limit(text: str) -> Markup:
    return join(text)


def _type(schema: Mapping[str, Any]) -> Markup:
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return element("a", name, href=f"#schema-{name}")
    if "const" in schema or "enum" in schema:
        options = [schema["const"]] if "const" in schema else schema["enum"]
        return _listed([element("code", _json(option)) for option in options])
    for key, glue in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if key in schema:
            return _listed([shape(option) for option in schema[key]], glue)
    return _named(schema)


def _named(schema: Mapping[str, Any]) -> Markup:
    found = schema.get("type", "anything")
    name = " or ".join(found) if isinstance(found, list) else str(found)
    if name == "array" and "items" in schema:
        return join("array of ", shape(schema["items"]))
    inner = schema.get("additionalProperties")
    if name == "object" and isinstance(inner, Mapping) and inner:
        return join("object, each value ", shape(inner))
    return join(name)


def _listed(pieces: list[Markup], glue: str = " or ") -> Markup:
    return join(join(glue if number else "", piece) for number, piece in enumerate(pieces))


def _limits(schema: Mapping[str, Any]) -> list[str]:
    found = []
    for low, high, unit in _RANGES:
        if low in schema and high in schema:
            found.append(f"{schema[low]} to {schema[high]} {unit}".strip())
        elif low in schema:
            found.append(f"at least {schema[low]} {unit}".strip())
        elif high in schema:
            found.append(f"at most {schema[high]} {unit}".strip())
    words = {"exclusiveMinimum": "above", "exclusiveMaximum": "below"}
    return found + [f"{word} {schema[key]}" for key, word in words.items() if key in schema]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def rows(schema: Mapping[str, Any]) -> Markup | None:
    """List the properties of an object, and theirs within; None where it names none."""
    required = schema.get("required", ())
    found = [
        row(name, shape(inner), inner.get("description", ""), required=name in required, within=_within(inner))
        for name, inner in schema.get("properties", {}).items()
    ]
    return element("dl", found, class_="rows") if found else None


def _within(schema: Mapping[str, Any]) -> Markup | None:
    return rows(schema) or (_within(schema["items"]) if isinstance(schema.get("items"), Mapping) else None)


def row(
    name: str,
    said: Markup,
    description: str,
    *,
    required: bool = False,
    place: str = "",
    within: Markup | None = None,
) -> Markup:
    """Make one entry of a list: a name, what it is, what it means, what is within."""
    mark = element("i", "required") if required else None
    where = element("small", place) if place else None
    about = element("p", inline(description)) if description else None
    term = element("dt", element("code", name), " ", where, mark)
    return element("div", term, element("dd", element("span", said, class_="shape"), about, within))
