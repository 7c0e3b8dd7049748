"""The block `settings` of chart/values.yaml, and the bounds of durations, made from service/settings/."""

import dataclasses
import json
import re
import textwrap
from typing import Any, Final

from service import options, units
from service.settings import Settings

Field = dataclasses.Field[Any]

DERIVED: Final = {
    "answerer": "answerer.spec",
    "host": "service.ipFamilies",
    "port": "constant",
    "ops_port": "ops.port",
    "tokens_file": "auth.existingSecret",
    "tls_cert": "tls.existingSecret",
    "tls_key": "tls.existingSecret",
    "redis_url": "redis.existingSecret",
    "upstream_key_file": "answerer.upstreamKey",
}
"""Settings that the chart derives, each with the value that it is derived from."""

_DURATION: Final = r"[0-9]+(\.[0-9]+)?\s*(ms|s|m|h)?"
_SIZE_TEXT: Final = r"^[0-9]+(\.[0-9]+)?\s*(B|KiB|MiB|GiB)?$"
_FIXED: Final[dict[Any, dict[str, Any]]] = {
    units.boolean: {"type": "boolean"},
    units.share: {"type": "number", "minimum": 0, "maximum": 1},
    units.rate: {"type": "string", "pattern": r"^[1-9][0-9]{0,8}\s*/\s*[smh]$"},
    units.path: {"type": "string", "pattern": r"^((/[A-Za-z0-9._~-]+)+)?$"},
}
_ITEMS: Final = {
    "networks": {"type": "string", "pattern": r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"},
    "origins": {"type": "string", "pattern": r"^(\*|https?://[A-Za-z0-9.:\[\]-]+/?)$"},
    "buckets": {"type": ["string", "number"], "pattern": f"^{_DURATION}$", "exclusiveMinimum": 0},
}
_WHOLE: Final = re.compile(r"a whole number from (\d+) to (\d+)")
_SIZE: Final = re.compile(r"a size .* from (\d+) to (\d+)")


def fields() -> list[Field]:
    """Return the settings that are values of the chart, in their order."""
    return [field for field in dataclasses.fields(Settings) if field.name not in DERIVED]


def camel(name: str) -> str:
    """`drain_delay` → `drainDelay`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def block() -> str:
    """Return the lines of values.yaml between its two marks."""
    lines = ["# Settings of askd; docs/settings.md says more. null: not set.", "settings:"]
    for field in fields():
        lines += textwrap.wrap(field.metadata["help"], 116, initial_indent="  # ", subsequent_indent="  # ")
        lines.append(f"  # @ {json.dumps(schema(field))}")
        lines.append(f"  {camel(field.name)}: {json.dumps(default(field))}")
    return "\n".join(lines)


def default(field: Field) -> Any:
    """Return the default as one writes it in YAML; durations and sizes as text with a unit."""
    if _reader(field) == "buckets":
        text = options.default_text(field)
        assert text
        return text.split(",")
    if isinstance(field.default, tuple):
        return list(field.default)
    if _reader(field) == "share":
        return json.loads(options.default_text(field) or "null")
    if isinstance(field.default, float) or _SIZE.search(options.allowed(field) or ""):
        return options.default_text(field)
    return field.default


def schema(field: Field) -> dict[str, Any]:
    """Return what values may be, as JSON Schema."""
    found = _schema(field)
    if field.default is None:
        kinds = found.get("type", [])
        found["type"] = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
    return found


def _schema(field: Field) -> dict[str, Any]:
    read, text, kind = field.metadata["read"], options.allowed(field) or "", _reader(field)
    if read in _FIXED:
        return dict(_FIXED[read])
    if kind in _ITEMS:
        return {
            "type": "array",
            "items": _ITEMS[kind],
            **({"minItems": 1, "maxItems": 40} if kind == "buckets" else {}),
        }
    if found := _WHOLE.search(text) or _SIZE.search(text):
        bounds = {"minimum": int(found[1]), "maximum": int(found[2])}
        return {"type": "integer", **bounds} if _WHOLE.fullmatch(text) else {**_texts(text), **bounds}
    if text.startswith("a duration"):
        low, high = bounds_of(field)
        bound = {"minimum": low, **({"maximum": high} if high else {})}
        return {"type": ["string", "number"], "pattern": f"^{_DURATION}$", **bound}
    words = options.choices(field)
    return {"type": "string", **({"enum": words} if words else {})}


def _texts(text: str) -> dict[str, Any]:
    """Return what a whole number or size may be as a text: `auto`, or with a unit."""
    return {"type": ["integer", "string"], "pattern": "^auto$" if "auto" in text else _SIZE_TEXT}


def bounds_of(field: Field) -> tuple[float, float | None]:
    """Return the least and the most that a duration may be, in seconds; None: there is no most."""
    text = options.allowed(field) or ""
    low, high = re.search(r"at least ([\d.e+-]+)s", text), re.search(r"at most ([\d.e+]+)s", text)
    return (float(low[1]) if low else 0.0, float(high[1]) if high else None)


def bounds_template() -> str:
    """Return templates/_bounds.tpl: for each duration the least and the most in milliseconds, and what to give."""
    table = {}
    for field in fields():
        text = options.allowed(field) or ""
        if text.startswith("a duration"):
            low, high = bounds_of(field)
            table[camel(field.name)] = [low * 1000, high * 1000 if high else 1e15, text]
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
    return (
        "{{/* Made from service/settings/ by `make chart-files`: change it there. A schema bounds durations that are\n"
        "     numbers, this those that are texts: milliseconds from, to, and what to give. */}}\n"
        '{{- define "askd.durationBounds" -}}\n{\n' + rows + "\n}\n{{- end }}\n"
    )


def _reader(field: Field) -> str:
    return str(getattr(field.metadata["read"], "__name__", ""))
