"""Request parameters of a graph: the fields of its input schema and of its context schema.

Schemas are dataclasses, pydantic models or TypedDicts. LangGraph depends on pydantic, so pydantic validates the values
if it is imported; without it, all values are accepted.
"""

import dataclasses
import difflib
import json
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from askd.errors import BadQuestion
from askd.models import Parameter

RESERVED_NAMES: Final = frozenset({"q", "thread"})
"""Names of askd's own parameters."""
_LANGGRAPH_FIELDS: Final = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})
_MAX_SCHEMA_SIZE: Final = 4000
"""Maximum length of a field's JSON Schema in characters. A longer one, such as that of messages, is replaced by its
type, and the values are left to LangGraph's own validation."""
_MAX_SHOWN_CHARACTERS: Final = 40
_JSON_TYPES: Final = ("array", "object")


@dataclasses.dataclass(frozen=True)
class SchemaField:
    """One field of a schema."""

    name: str
    annotation: Any
    required: bool
    default: Any = None
    """None if the field has no default, or one that is computed."""
    description: str = ""


@dataclasses.dataclass(frozen=True)
class GraphParameter:
    """A field that requests may set."""

    name: str
    contract_entry: Parameter
    adapter: Any
    """A pydantic TypeAdapter, or None if values are not validated."""

    @property
    def takes_text(self) -> bool:
        """Return whether the field accepts any text."""
        types = _schema_types(self.contract_entry.schema)
        return not types or "string" in types

    @property
    def holds_text(self) -> bool:
        """Return whether every value of the field is text, or None."""
        return "string" in (types := _schema_types(self.contract_entry.schema)) and types <= {"string", "null"}

    def parse(self, value: Any, *, from_strings: bool) -> Any:
        """Validate a value: a list of strings if `from_strings`, else a JSON value. Raises BadQuestion."""
        if from_strings:
            value = self._from_strings(value)
        return self._validate(value, name=self.name)

    def parse_question(self, text: str) -> Any:
        """Return the value for the question's text: the text, or its JSON if the field takes no text.

        Raises:
            BadQuestion: The text does not fit the field.
        """
        return self._validate(text if self.takes_text else _parse_json(text), name="q")

    def _from_strings(self, values: Sequence[str]) -> Any:
        """Return the only string, the list of strings, or the JSON that the only string contains."""
        types = _schema_types(self.contract_entry.schema)
        if "array" in types and not (len(values) == 1 and values[0].lstrip().startswith("[")):
            return list(values)
        if len(values) != 1:
            raise BadQuestion(self.name, f"`{self.name}` is given {len(values)} times: give it once.")
        if "string" in types or (types and not types.intersection(_JSON_TYPES)):
            return values[0]
        return _parse_json(values[0])

    def _validate(self, value: Any, *, name: str) -> Any:
        if self.adapter is None:
            return value
        try:
            return self.adapter.validate_python(value)
        except Exception as error:  # pydantic's ValidationError, or an exception of the user's own validator
            raise BadQuestion(name, f"`{name}`: {_describe_errors(error)}.") from None


def create_parameters(fields: Sequence[SchemaField]) -> list[GraphParameter]:
    """Return the parameters for the fields of a schema, without private ones and those with names of askd's own."""
    return [
        _create_parameter(field)
        for field in fields
        if field.name not in RESERVED_NAMES and not field.name.startswith("_")
    ]


def parse_parameters(
    parameters: Sequence[GraphParameter], values: Mapping[str, Any], *, from_strings: bool
) -> dict[str, Any]:
    """Return the validated values of the parameters that the request has.

    Raises:
        BadQuestion: A parameter is missing, invalid or unknown.
    """
    result = {}
    _check_names([parameter.name for parameter in parameters], values)
    for parameter in parameters:
        if parameter.name in values:
            result[parameter.name] = parameter.parse(values[parameter.name], from_strings=from_strings)
        elif parameter.contract_entry.required:
            raise BadQuestion(parameter.name, f"`{parameter.name}` is missing.")
    return result


def _check_names(names: Sequence[str], values: Mapping[str, Any]) -> None:
    for name in values:
        if name not in names:
            similar = difflib.get_close_matches(name, names, n=1)
            known = ", ".join(f"`{known}`" for known in ("q", *names))
            hint = f"did you mean `{similar[0]}`?" if similar else f"use {known}."
            raise BadQuestion(name, f"`{name[:_MAX_SHOWN_CHARACTERS]}` is not a parameter: {hint}")


def configurable_fields(specs: Sequence[Any]) -> list[SchemaField]:
    """Return the fields for LangChain's specs of configurable fields, without those of LangGraph's checkpoints."""
    return [
        SchemaField(spec.id, spec.annotation, required=False, default=spec.default, description=spec.description or "")
        for spec in specs
        if spec.id not in _LANGGRAPH_FIELDS and not spec.id.startswith("__")
    ]


def schema_fields(schema: Any) -> list[SchemaField]:
    """Return the fields of a schema; none if it is not a class with fields, or its annotations cannot be resolved.

    Fields of a TypedDict are optional, because LangGraph does not require them.
    """
    if not isinstance(schema, type):
        return []
    if hasattr(schema, "model_fields"):
        return list(_model_fields(schema))
    try:
        hints = typing.get_type_hints(schema, include_extras=True)
    except Exception:  # annotations are the user's code
        return []
    if dataclasses.is_dataclass(schema):
        return list(_dataclass_fields(schema, hints))
    return [SchemaField(name, _unwrap_typed_dict_item(hint), required=False) for name, hint in hints.items()]


def _model_fields(model: Any) -> Iterator[SchemaField]:
    for name, info in model.model_fields.items():
        default = None if info.is_required() or info.default_factory else info.default
        yield SchemaField(name, info.rebuild_annotation(), info.is_required(), default, info.description or "")


def _dataclass_fields(cls: Any, hints: Mapping[str, Any]) -> Iterator[SchemaField]:
    for field in dataclasses.fields(cls):
        if field.init:
            has_default = field.default is not dataclasses.MISSING
            required = not has_default and field.default_factory is dataclasses.MISSING
            description = field.metadata.get("description")
            yield SchemaField(
                field.name,
                hints[field.name],
                required,
                field.default if has_default else None,
                description if isinstance(description, str) else "",
            )


def _unwrap_typed_dict_item(hint: Any) -> Any:
    """Remove `Required`, `NotRequired` and `ReadOnly`, which are valid only in a TypedDict."""
    while getattr(typing.get_origin(hint), "_name", "") in {"Required", "NotRequired", "ReadOnly"}:
        hint = typing.get_args(hint)[0]
    return hint


def _create_parameter(field: SchemaField) -> GraphParameter:
    adapter, schema = _create_adapter(field.annotation)
    if field.default is not None and isinstance(field.default, str | int | float | bool):
        schema["default"] = field.default
    entry = Parameter(name=field.name, schema=schema, required=field.required, description=field.description)
    return GraphParameter(field.name, entry, adapter)


def _create_adapter(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """Return the TypeAdapter and the JSON Schema of a type; None and an empty schema if pydantic cannot make them."""
    type_adapter = getattr(sys.modules.get("pydantic"), "TypeAdapter", None)
    if type_adapter is None:
        return None, {}
    try:
        adapter = type_adapter(annotation)
        schema = adapter.json_schema()
    except Exception:  # types of the user that pydantic does not know
        return None, {}
    if len(json.dumps(schema)) > _MAX_SCHEMA_SIZE:
        return None, {name: schema[name] for name in ("type",) if name in schema}
    return adapter, _drop_title(schema)


def _drop_title(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "title"}


def _schema_types(schema: Any, root: Mapping[str, Any] | None = None) -> set[str]:
    """Return the JSON types that a schema accepts; empty if it accepts every type."""
    if not isinstance(schema, Mapping):
        return set()
    root = schema if root is None else root
    types = schema.get("type")
    result = {types} if isinstance(types, str) else set(types or ())
    reference = schema.get("$ref")
    parts = [root.get("$defs", {}).get(str(reference).rpartition("/")[2])] if reference else []
    for keyword in ("anyOf", "oneOf", "allOf"):
        parts += schema.get(keyword, ())
    for part in parts:
        result |= _schema_types(part, root)
    if "enum" in schema and not result:
        result = {"string"} if any(isinstance(choice, str) for choice in schema["enum"]) else {"integer"}
    return result


def _parse_json(text: str) -> Any:
    """Return the JSON value in the text, or the text itself, which validation then rejects with the expected type."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _describe_errors(error: Exception) -> str:
    """Return pydantic's errors in one line: the path of each, the message and the value."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return str(error).rstrip(".") or type(error).__name__
    return "; ".join(_describe_error(details) for details in errors(include_url=False))


def _describe_error(details: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in details["loc"])
    message = str(details["msg"])
    message = message[:1].lower() + message[1:]
    value = details.get("input")
    shown = f", got {str(value)[:_MAX_SHOWN_CHARACTERS]!r}" if isinstance(value, str | int | float | bool) else ""
    return f"{path}: {message}{shown}" if path else f"{message}{shown}"
