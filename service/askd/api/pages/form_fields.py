"""Form fields from JSON Schema."""

import json
from collections.abc import Mapping
from typing import Any, Final

from askd.api.pages.html import Markup, element, inline, join
from askd.api.pages.schema_example import resolve_schema

Schemas = Mapping[str, Any]
"""The document's `components.schemas`."""

_INPUT_MODES: Final = {"integer": "numeric", "number": "decimal"}


def form_field(id: str, parameter: Mapping[str, Any], schemas: Schemas, *, value: Any = None) -> Markup:
    """Return a labelled form field for an OpenAPI parameter.

    Args:
        id: Id of the control.
        parameter: The parameter, without references.
        schemas: Targets of references in its schema.
        value: Initial value; None uses the default of the schema.
    """
    schema = resolve_schema(parameter["schema"], schemas)
    initial_value = schema.get("default") if value is None else value
    description = parameter.get("description", "")
    hint = element("small", inline(description), id=f"{id}-hint") if description else None
    is_array = value_type(schema) == "array"
    control = _control(
        schema,
        "" if initial_value is None else initial_value,
        dict(
            id=id,
            name=parameter["name"],
            required=bool(parameter.get("required")),
            data_in=parameter["in"],
            data_type=value_type(schema),
            data_items=value_type(resolve_schema(schema.get("items", {}), schemas)) if is_array else None,
            aria_describedby=f"{id}-hint" if description else None,
        ),
    )
    return element("div", element("label", parameter["name"], for_=id), control, hint, class_="field")


def value_type(schema: Mapping[str, Any]) -> str:
    """Return how scripts convert the text of a field: string, integer, number, boolean, array or json.

    A schema that accepts anything is a string.
    """
    schema_type = schema.get("type")
    if isinstance(schema_type, list):
        schema_type = next((name for name in schema_type if name != "null"), None)
    if schema_type is None:
        return "string" if all(isinstance(option, str) for option in _enum_values(schema)) else "json"
    return schema_type if schema_type in {"string", "integer", "number", "boolean", "array"} else "json"


def _control(schema: Mapping[str, Any], value: Any, attributes: dict[str, Any]) -> Markup:
    options = (
        ["true", "false"] if schema.get("type") == "boolean" else [to_text(option) for option in _enum_values(schema)]
    )
    if options:
        empty_option = [] if attributes["required"] or value != "" else [""]
        return element("select", (_option(text, to_text(value)) for text in empty_option + options), **attributes)
    data_type = attributes["data_type"]
    if data_type in {"array", "json"}:
        lines = "\n".join(map(to_text, value)) if isinstance(value, list) else to_text(value)
        placeholder = "one per line" if data_type == "array" else "JSON"
        return element("textarea", lines, rows=2, placeholder=placeholder, **attributes)
    extra: dict[str, Any] = {"inputmode": _INPUT_MODES.get(data_type), "maxlength": schema.get("maxLength")}
    return element("input", type="text", value=to_text(value), autocomplete="off", **extra, **attributes)


def _enum_values(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _option(text: str, selected_text: str) -> Markup:
    return element("option", text, value=text, selected=text == selected_text)


def to_text(value: Any) -> str:
    """Return a value as the text of a field: JSON, unless it is text already."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def join_fields(fields: list[Markup]) -> Markup | None:
    """Group the fields; None if the list is empty."""
    return element("div", join(fields), class_="fields") if fields else None
