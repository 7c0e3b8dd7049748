"""The `settings` block of chart/values.yaml and the bounds of durations, generated from service/askd/config/."""

import dataclasses
import inspect
import json
import textwrap
from typing import Any, Final

from askd.cli import settings_help
from askd.config import Settings

Field = dataclasses.Field[Any]

DERIVED_SETTINGS: Final = {
    "answerer": "answerer.spec",
    "host": "service.ipFamilies",
    "port": "constant",
    "ops_port": "ops.port",
    "tokens_file": "auth.existingSecret",
    "tls_cert": "tls.existingSecret",
    "tls_key": "tls.existingSecret",
    "redis_url": "redis.existingSecret",
    "mcp_secret": "mcp.existingSecret",
    "upstream_api_key_file": "answerer.upstreamKey",
}
"""Settings that the chart derives from another value, with that value."""

_MAX_MILLISECONDS: Final = 1e15
"""Upper bound of durations without a maximum, because JSON cannot express infinity."""
_DURATION_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h)?$"
_SIZE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?\s*(B|KiB|MiB|GiB)?$"
_SCHEMA_BY_READER: Final[dict[str, dict[str, Any]]] = {
    "boolean": {"type": "boolean"},
    "fraction": {"type": ["number", "string"], "pattern": r"^(1(\.0+)?|0?\.[0-9]+|0)$", "minimum": 0, "maximum": 1},
    "string": {"type": "string"},
    "graph_memory": {"type": "string", "pattern": r"^(memory|sqlite:.+)?$"},  # a URL has a password: from a Secret
    "rate": {"type": "string", "pattern": r"^[1-9][0-9]{0,8}\s*/\s*[smh]$"},
    "path": {"type": "string", "pattern": r"^((/[A-Za-z0-9._~-]+)+)?$"},
    "networks": {
        "type": ["array", "string"],
        "pattern": r"^[0-9a-fA-F.:/, ]*$",
        "items": {"type": "string", "pattern": r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"},
    },
    "origins": {
        "type": ["array", "string"],
        "pattern": r"^(\*|https?://\S+)?$",
        "items": {"type": "string", "pattern": r"^(\*|https?://[A-Za-z0-9.:\[\]-]+/?)$"},
    },
    "bucket_bounds": {
        "type": "array",
        "items": {"type": ["string", "number"], "pattern": _DURATION_PATTERN, "exclusiveMinimum": 0},
        "minItems": 1,
        "maxItems": 40,
    },
    "integer": {"type": "integer"},
    "auto_or_integer": {"type": ["integer", "string"], "pattern": "^auto$"},
    "size": {"type": ["integer", "string"], "pattern": _SIZE_PATTERN},
    "duration": {"type": ["string", "number"], "pattern": _DURATION_PATTERN},
}
"""Schema of the values of each reader in `askd.config.fields`, without the bounds of a single setting."""


def chart_fields() -> list[Field]:
    """Return the settings that are values of the chart, in the order of the fields."""
    return [field for field in dataclasses.fields(Settings) if field.name not in DERIVED_SETTINGS]


def camel_case(name: str) -> str:
    """`drain_delay` → `drainDelay`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def settings_block() -> str:
    """Return the lines of values.yaml between `BEGIN settings` and `END settings`."""
    lines = [
        "# Settings of askd. docs/reference/settings.md has the details.",
        "settings:",
    ]
    for field in chart_fields():
        lines += ["  # @schema", f"  # {json.dumps(field_schema(field))}", "  # @schema"]
        lines += textwrap.wrap(field.metadata["help"], 116, initial_indent="  # -- ", subsequent_indent="  # ")
        lines.append(f"  {camel_case(field.name)}: {json.dumps(yaml_default(field))}")
    return "\n".join(lines)


def yaml_default(field: Field) -> Any:
    """Return the default as a user would write it in YAML: durations and sizes are text with a unit."""
    reader = _reader_name(field)
    if reader == "bucket_bounds":
        return (settings_help.format_default(field) or "").split(",")
    if isinstance(field.default, tuple):
        return list(field.default)
    if reader == "fraction":
        return json.loads(settings_help.format_default(field) or "null")
    return settings_help.format_default(field) if reader in {"duration", "size"} else field.default


def field_schema(field: Field) -> dict[str, Any]:
    """Return the JSON Schema of a setting's values."""
    schema = _value_schema(field)
    if field.default is None:
        types = schema["type"]
        schema["type"] = [*([types] if isinstance(types, str) else types), "null"]
    return schema


def _value_schema(field: Field) -> dict[str, Any]:
    if words := settings_help.choices(field):
        return {"type": "string", "enum": words}
    if _reader_name(field) == "choices":
        words = inspect.getclosurevars(field.metadata["read"]).nonlocals["words"]
        return {"type": "array", "items": {"type": "string", "enum": list(words)}, "minItems": 1}
    schema = dict(_SCHEMA_BY_READER[_reader_name(field)])
    if bounds := _bounds(field.metadata["read"]):
        schema |= {"minimum": bounds[0]} | ({"maximum": bounds[1]} if bounds[1] < float("inf") else {})
    return schema


def _reader_name(field: Field) -> str:
    """Return the function of `askd.config.fields` that reads the setting, or that returned its reader."""
    return str(field.metadata["read"].__qualname__.partition(".")[0])


def _bounds(read: Any) -> tuple[float, float] | None:
    """Return the minimum and maximum of a number, duration or size, which its reader has as free variables."""
    if not inspect.isfunction(read):
        return None
    variables = inspect.getclosurevars(read).nonlocals
    if "read_integer" in variables:
        return _bounds(variables["read_integer"])
    return (variables["low"], variables["high"]) if "low" in variables else None


def bounds_template() -> str:
    """Return templates/_bounds.tpl: minimum and maximum of each duration in milliseconds, and its accepted text."""
    table = {}
    for field in chart_fields():
        bounds = _bounds(field.metadata["read"])
        if bounds and _reader_name(field) == "duration":
            low, high = (min(seconds * 1000, _MAX_MILLISECONDS) for seconds in bounds)
            table[camel_case(field.name)] = [low, high, settings_help.describe_accepted(field)]
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
    return (
        "{{/* Generated from service/askd/config/ by `make chart-files`. The schema bounds durations that are\n"
        "     numbers; this table bounds text: minimum and maximum in milliseconds, and the accepted text. */}}\n"
        '{{- define "askd.durationBounds" -}}\n{\n' + rows + "\n}\n{{- end }}\n"
    )
