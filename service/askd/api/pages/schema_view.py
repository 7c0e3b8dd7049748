"""Describe JSON Schema in English: the type of a value, its limits, and an example."""

import json
from collections.abc import Mapping
from typing import Any, Final

from askd.api.pages.html import Markup, element, inline, join
from askd.api.pages.schema_example import example_value

_HANDLED_KEYWORDS: Final = {
    "description", "default", "examples", "title", "type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "items",
    "properties", "required", "additionalProperties", "pattern",
    "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
    "minProperties", "maxProperties", "format", "uniqueItems", "multipleOf", "deprecated",
}  # fmt: skip
_FORMATS: Final = {
    "date-time": "date and time (RFC 3339)",
    "date": "date (RFC 3339)",
    "time": "time of day (RFC 3339)",
    "duration": "duration (ISO 8601)",
    "email": "email address",
    "uri": "URI",
    "uri-reference": "URI or relative reference",
    "uuid": "UUID",
    "ipv4": "IPv4 address",
    "ipv6": "IPv6 address",
    "ipv4network": "IPv4 network",
    "ipv6network": "IPv6 network",
    "binary": "bytes",
    "byte": "bytes in base64",
    "password": "password",
    "regex": "regular expression",
}
_RANGES: Final = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "items"),
    ("minProperties", "maxProperties", "properties"),
    ("minimum", "maximum", ""),
)


def schema_summary(schema: Mapping[str, Any]) -> Markup:
    """Describe a schema on one line; keywords without an English description are appended as JSON."""
    parts = [_type_summary(schema), *map(_limit_markup, [*_format_words(schema), *_range_limits(schema)])]
    if "pattern" in schema:
        is_not_blank = schema["pattern"] == r"\S"
        parts.append(join("not blank") if is_not_blank else join("matching ", element("code", schema["pattern"])))
    if "default" in schema:
        parts.append(join("default ", element("code", _json(schema["default"]))))
    unhandled = {key: value for key, value in schema.items() if key not in _HANDLED_KEYWORDS}
    if unhandled:
        parts.append(element("code", _json(unhandled)))
    return join((join(", " if index else "", part) for index, part in enumerate(parts)))


def _limit_markup(text: str) -> Markup:
    return join(text)


def _type_summary(schema: Mapping[str, Any]) -> Markup:
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return element("a", name, href=f"#schema-{name}")
    if "const" in schema or "enum" in schema:
        options = [schema["const"]] if "const" in schema else schema["enum"]
        return _join_alternatives([element("code", _json(option)) for option in options])
    for key, separator in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if key in schema:
            return _join_alternatives([schema_summary(option) for option in schema[key]], separator)
    return _named_type(schema)


def _named_type(schema: Mapping[str, Any]) -> Markup:
    schema_type = schema.get("type", "anything")
    name = " or ".join(schema_type) if isinstance(schema_type, list) else str(schema_type)
    if name == "array" and "items" in schema:
        return join("array of ", schema_summary(schema["items"]))
    inner = schema.get("additionalProperties")
    if name == "object" and isinstance(inner, Mapping) and inner:
        return join("object, each value ", schema_summary(inner))
    return join(name)


def _join_alternatives(alternatives: list[Markup], separator: str = " or ") -> Markup:
    return join(join(separator if index else "", alternative) for index, alternative in enumerate(alternatives))


def _format_words(schema: Mapping[str, Any]) -> list[str]:
    words = []
    if "format" in schema:
        words.append(_FORMATS.get(schema["format"], f"format {schema['format']}"))
    if schema.get("uniqueItems"):
        words.append("without duplicates")
    if "multipleOf" in schema:
        words.append(f"a multiple of {schema['multipleOf']}")
    if schema.get("deprecated"):
        words.append("deprecated")
    return words


def _range_limits(schema: Mapping[str, Any]) -> list[str]:
    limits = []
    for low, high, unit in _RANGES:
        if low in schema and high in schema:
            limits.append(f"{schema[low]} to {schema[high]} {unit}".strip())
        elif low in schema:
            limits.append(f"at least {schema[low]} {unit}".strip())
        elif high in schema:
            limits.append(f"at most {schema[high]} {unit}".strip())
    words = {"exclusiveMinimum": "above", "exclusiveMaximum": "below"}
    return limits + [f"{word} {schema[key]}" for key, word in words.items() if key in schema]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def example_block(schema: Mapping[str, Any], schemas: Mapping[str, Any], label: str) -> Markup:
    """Return an example value as indented JSON; `schemas` are the targets of references."""
    text = json.dumps(example_value(schema, schemas), ensure_ascii=False, indent=2)
    return element("pre", element("code", text), class_="example", tabindex=0, role="group", aria_label=label)


def property_list(schema: Mapping[str, Any]) -> Markup | None:
    """Return the properties of an object and their nested properties; None if the schema lists none."""
    required = schema.get("required", ())
    rows = [
        property_row(
            name,
            schema_summary(inner),
            inner.get("description", ""),
            required=name in required,
            nested=_nested_properties(inner),
        )
        for name, inner in schema.get("properties", {}).items()
    ]
    return element("dl", rows, class_="rows") if rows else None


def _nested_properties(schema: Mapping[str, Any]) -> Markup | None:
    return property_list(schema) or (
        _nested_properties(schema["items"]) if isinstance(schema.get("items"), Mapping) else None
    )


def property_row(
    name: str,
    summary: Markup,
    description: str,
    *,
    required: bool = False,
    location: str = "",
    nested: Markup | None = None,
) -> Markup:
    """Return one entry of a definition list; `summary` describes the type, `nested` lists nested properties."""
    required_mark = element("i", "required") if required else None
    location_mark = element("small", location) if location else None
    paragraph = element("p", inline(description)) if description else None
    term = element("dt", element("code", name), " ", location_mark, required_mark)
    return element("div", term, element("dd", element("span", summary, class_="type"), paragraph, nested))
