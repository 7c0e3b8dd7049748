"""Form fields made from JSON Schema, so that a page can send what the contract takes."""

import json
from collections.abc import Mapping
from typing import Any

from service.web.pages.html import Markup, element, inline, join

Schemas = Mapping[str, Any]
"""The document's `components.schemas`."""

_NUMBERS = {"integer": "numeric", "number": "decimal"}


def resolve(schema: Mapping[str, Any], schemas: Schemas) -> Mapping[str, Any]:
    """Follow references, and of "this or null" take this."""
    if "$ref" in schema:
        target = schemas.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return resolve({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, schemas)
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        return resolve({**options[0], **{key: value for key, value in schema.items() if key != "anyOf"}}, schemas)
    return schema


def field(id: str, given: Mapping[str, Any], schemas: Schemas, *, value: Any = None) -> Markup:
    """Make a labelled field of an OpenAPI parameter; `value` is what it starts with, None its default."""
    schema = resolve(given["schema"], schemas)
    shown = schema.get("default") if value is None else value
    described = given.get("description", "")
    hint = element("small", inline(described), id=f"{id}-hint") if described else None
    control = _control(
        schema,
        "" if shown is None else shown,
        dict(
            id=id,
            name=given["name"],
            required=bool(given.get("required")),
            data_in=given["in"],
            data_type=kind(schema),
            data_items=kind(resolve(schema.get("items", {}), schemas)) if kind(schema) == "array" else None,
            aria_describedby=f"{id}-hint" if described else None,
        ),
    )
    return element("div", element("label", given["name"], for_=id), control, hint, class_="field")


def kind(schema: Mapping[str, Any]) -> str:
    """Return how a field's text becomes a value: string (also where anything goes), integer, … or json."""
    found = schema.get("type")
    if isinstance(found, list):
        found = next((name for name in found if name != "null"), None)
    if found is None:
        return "string" if all(isinstance(option, str) for option in _enum(schema)) else "json"
    return found if found in {"string", "integer", "number", "boolean", "array"} else "json"


def _control(schema: Mapping[str, Any], shown: Any, attributes: dict[str, Any]) -> Markup:
    options = ["true", "false"] if schema.get("type") == "boolean" else [_text(option) for option in _enum(schema)]
    if options:
        blank = [] if attributes["required"] or shown != "" else [""]
        return element("select", (_option(text, _text(shown)) for text in blank + options), **attributes)
    found = attributes["data_type"]
    if found in {"array", "json"}:
        lines = "\n".join(map(_text, shown)) if isinstance(shown, list) else _text(shown)
        label = "one per line" if found == "array" else "JSON"
        return element("textarea", lines, rows=2, placeholder=label, **attributes)
    extra: dict[str, Any] = {"inputmode": _NUMBERS.get(found), "maxlength": schema.get("maxLength")}
    return element("input", type="text", value=_text(shown), autocomplete="off", **extra, **attributes)


def _enum(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _option(text: str, shown: str) -> Markup:
    return element("option", text, value=text, selected=text == shown)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def join_fields(fields: list[Markup]) -> Markup | None:
    """Group fields, or None where there are none."""
    return element("div", join(fields), class_="fields") if fields else None
