"""An example value for a JSON Schema: its own examples and defaults, else the simplest valid value."""

import math
from collections.abc import Mapping
from typing import Any, Final

_MAX_DEPTH: Final = 4
"""Levels of nested objects and arrays; deeper ones are empty, which ends the example of a recursive schema."""
_BY_FORMAT: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_BY_TYPE: Final = {"string": "text", "boolean": True, "null": None}


def resolve_schema(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve references, and reduce a nullable schema (`anyOf` with null) to its other alternative.

    Args:
        schema: The schema.
        schemas: The document's `components.schemas`.
    """
    if "$ref" in schema:
        target = schemas.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return resolve_schema({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, schemas)
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        return resolve_schema(
            {**options[0], **{key: value for key, value in schema.items() if key != "anyOf"}}, schemas
        )
    return schema


def example_value(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, depth: int = 0) -> Any:
    """Return an example value; `schemas` is the document's `components.schemas`, `depth` the current nesting."""
    resolved = resolve_schema(schema, schemas)
    given = [*resolved.get("examples", ()), *resolved.get("enum", ())]
    given += [resolved[key] for key in ("const", "default") if key in resolved]
    if given:
        return given[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if resolved.get(key):
            return example_value(resolved[key][0], schemas, depth=depth)
    match _type_name(resolved):
        case "object":
            properties = resolved.get("properties", {}) if depth < _MAX_DEPTH else {}
            return {name: example_value(inner, schemas, depth=depth + 1) for name, inner in properties.items()}
        case "array":
            items = resolved.get("items") if depth < _MAX_DEPTH else None
            return [example_value(items, schemas, depth=depth + 1)] if items else []
        case name:
            return _scalar_example(name, resolved)


def _type_name(schema: Mapping[str, Any]) -> str:
    name = schema.get("type", "object" if "properties" in schema else "")
    return next((each for each in name if each != "null"), "null") if isinstance(name, list) else str(name)


def _scalar_example(type_name: str, schema: Mapping[str, Any]) -> Any:
    if type_name not in {"integer", "number"}:
        return _BY_FORMAT.get(str(schema.get("format"))) or _BY_TYPE.get(type_name, "text")
    lowest = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    return min(max(1, lowest), schema.get("maximum", math.inf))
