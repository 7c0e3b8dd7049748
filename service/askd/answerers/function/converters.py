"""Convert request values to annotated types and describe these types as JSON Schema.

msgspec converts scalars, lists, mappings, dataclasses, TypedDict, msgspec and attrs classes. Annotations with pydantic
models or constraints (also those of `annotated_types`) are left to pydantic, which is imported only for them.
"""

import math
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol, Union

import msgspec

_MAX_SHOWN_CHARS: Final = 40
"""Maximum length of an invalid value in an error message."""
_CONSTRAINT_PACKAGES: Final = frozenset({"pydantic", "annotated_types", "fastapi"})


class Fault(NamedTuple):
    """An invalid part of a value. `path` is relative to the value, such as `.days` or `[1]`; empty for the value."""

    path: str
    message: str


class InvalidValue(Exception):
    """A value does not have the type; `faults` lists all reasons."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.faults = faults


class Converter(Protocol):
    """Converts values to one type. `schema` is its JSON Schema without references."""

    schema: dict[str, Any]

    def convert(self, value: Any, *, from_strings: bool) -> Any:
        """Return the converted value; `from_strings` also converts strings to other scalars. Raises InvalidValue."""
        ...


def create_converter(annotation: Any, *, mode: Literal["validation", "serialization"] = "validation") -> Converter:
    """Return the converter for a type.

    Args:
        annotation: The type.
        mode: Whether the schema describes values before their conversion, or values that a function returns.

    Raises:
        TypeError: JSON cannot express values of the type.
    """
    if _uses_constraints(annotation):
        return PydanticConverter(annotation, mode)
    return MsgspecConverter(annotation)


def has_type(schema: Any, name: str) -> bool:
    """Return whether a JSON Schema allows the type `name`, such as `array`."""
    if not isinstance(schema, Mapping):
        return False
    declared = schema.get("type")
    if declared == name or (isinstance(declared, list) and name in declared):
        return True
    return any(has_type(member, name) for key in ("anyOf", "oneOf", "allOf") for member in schema.get(key, ()))


class MsgspecConverter:
    """Converts with msgspec, strictly unless the values are strings."""

    def __init__(self, annotation: Any) -> None:
        self._type = annotation
        try:
            self.schema = json_schema(annotation)
        except (TypeError, RecursionError) as error:
            raise TypeError(annotation) from error

    def convert(self, value: Any, *, from_strings: bool) -> Any:
        """Return the converted value. Raises InvalidValue."""
        try:
            result = msgspec.convert(value, self._type, strict=not from_strings)
        except msgspec.ValidationError:
            raise InvalidValue(list(_find_faults(value, self._type, "", strict=not from_strings))) from None
        if not _is_finite(result):  # JSON has no such numbers, and a NaN in a cache key never equals itself
            raise InvalidValue([Fault("", "expected a finite number")])
        return result


class PydanticConverter:
    """Converts with pydantic, as leniently as the user's models say."""

    def __init__(self, annotation: Any, mode: Literal["validation", "serialization"]) -> None:
        try:
            from pydantic import TypeAdapter  # noqa: PLC0415 only annotations of pydantic need it

            self._adapter: Any = TypeAdapter(annotation)
            schema = self._adapter.json_schema(mode=mode)
        except Exception as error:
            raise TypeError(annotation) from error
        self.schema: dict[str, Any] = dict(inline_refs(schema, schema.pop("$defs", {})))

    def convert(self, value: Any, *, from_strings: bool) -> Any:
        """Return the converted value. Raises InvalidValue."""
        try:
            return self._adapter.validate_python(value)
        except Exception as error:
            if not hasattr(error, "errors"):  # an exception of the user's validator other than ValueError
                raise
            if from_strings:  # numbers in literals, for example
                try:
                    return self._adapter.validate_strings(value)
                except type(error):
                    pass
            raise InvalidValue([_pydantic_fault(details) for details in error.errors()]) from None


def _pydantic_fault(details: Mapping[str, Any]) -> Fault:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in details["loc"])
    if details["type"] == "missing":
        return Fault(path, "is missing")
    message = str(details["msg"])
    return Fault(path, f"{message[:1].lower()}{message[1:]}{_shown_value(details.get('input'))}")


def _shown_value(value: Any) -> str:
    return f", got {value[:_MAX_SHOWN_CHARS]!r}" if isinstance(value, str) else ""


def _find_faults(value: Any, value_type: Any, path: str, *, strict: bool) -> Iterator[Fault]:
    """Yield every fault. msgspec stops at the first one, so the parts of the value are converted one by one."""
    try:
        msgspec.convert(value, value_type, strict=strict)
    except msgspec.ValidationError as error:
        faults = list(_find_inner_faults(value, value_type, path, strict=strict))
        yield from faults or [Fault(path, _describe_error(str(error), value, value_type))]


def _find_inner_faults(value: Any, value_type: Any, path: str, *, strict: bool) -> Iterator[Fault]:
    value_type = _only_member(value_type)
    arguments = typing.get_args(value_type)
    if isinstance(value, dict):
        if typing.get_origin(value_type) is dict and len(arguments) == 2:
            fields = dict.fromkeys(value, arguments[1])
            required: set[str] = set()
        else:
            fields, required = class_fields(value_type)
        for name, field_type in fields.items():
            if name in value:
                yield from _find_faults(value[name], field_type, f"{path}.{name}", strict=strict)
            elif name in required:
                yield Fault(f"{path}.{name}", "is missing")
    elif isinstance(value, list) and len(arguments) == 1:
        for index, item in enumerate(value):
            yield from _find_faults(item, arguments[0], f"{path}[{index}]", strict=strict)


def _only_member(value_type: Any) -> Any:
    """Return the type without `Annotated` and `None`."""
    origin = typing.get_origin(value_type)
    if origin is Annotated:
        return _only_member(typing.get_args(value_type)[0])
    if origin in {Union, types.UnionType}:
        members = [member for member in typing.get_args(value_type) if member is not types.NoneType]
        return _only_member(members[0]) if len(members) == 1 else value_type
    return value_type


def class_fields(cls: Any) -> tuple[dict[str, Any], set[str]]:
    """Return the type of each field of a class that msgspec converts from a mapping, and the required fields."""
    if not isinstance(cls, type):
        return {}, set()
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = msgspec.inspect.type_info(cls).fields  # type: ignore[attr-defined] # other types have no fields
    except Exception:  # an annotation that does not exist at run time
        return {}, set()
    names = {field.encode_name: hints.get(field.name, Any) for field in fields}
    return names, {field.encode_name for field in fields if field.required}


def _describe_error(message: str, value: Any, value_type: Any) -> str:
    """Rephrase msgspec's message: without its path, and with the value and the allowed values."""
    problem = message.partition(" - at ")[0]
    problem = problem[:1].lower() + problem[1:]
    if isinstance(value, str):
        problem = problem.replace("got `str`", f"got {value[:_MAX_SHOWN_CHARS]!r}")
    choices = _enum_choices(json_schema(value_type)) if "enum" in problem else []
    return problem + (f": give one of {', '.join(map(repr, choices))}" if choices else "")


def _enum_choices(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [choice for item in schema for choice in _enum_choices(item)]
    if not isinstance(schema, dict):
        return []
    return [*schema.get("enum", ()), *_enum_choices(schema.get("anyOf")), *_enum_choices(schema.get("items"))]


def _is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _uses_constraints(annotation: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Return whether pydantic or `annotated_types` occurs in the annotation, also in the fields of classes."""
    if sys.modules.keys().isdisjoint(_CONSTRAINT_PACKAGES):
        return False
    if isinstance(annotation, type) and not typing.get_args(annotation):
        if hasattr(annotation, "__pydantic_validator__") or _package(annotation) in _CONSTRAINT_PACKAGES:
            return True
        fields = {} if id(annotation) in seen else class_fields(annotation)[0]
        return any(_uses_constraints(field, seen | {id(annotation)}) for field in fields.values())
    metadata = getattr(annotation, "__metadata__", ())
    return any(_package(type(item)) in _CONSTRAINT_PACKAGES for item in metadata) or any(
        _uses_constraints(argument, seen) for argument in typing.get_args(annotation)
    )


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def json_schema(value_type: Any) -> dict[str, Any]:
    """Return the JSON Schema of a type without `$ref`, so that it can be embedded in other documents."""
    schema = msgspec.json.schema(value_type)
    return dict(inline_refs(schema, schema.pop("$defs", {})))


def inline_refs(schema: Any, definitions: Mapping[str, Any], *, ancestors: tuple[str, ...] = ()) -> Any:
    """Replace each `$ref` by its definition. The inner reference of a recursive type becomes a plain object."""
    if isinstance(schema, list):
        return [inline_refs(item, definitions, ancestors=ancestors) for item in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema["$ref"].rpartition("/")[2] if isinstance(schema.get("$ref"), str) else None
    if name is None:
        return {k: inline_refs(v, definitions, ancestors=ancestors) for k, v in schema.items() if k != "discriminator"}
    siblings = {k: v for k, v in schema.items() if k != "$ref"}
    if name in ancestors or name not in definitions:
        return {"type": "object", **siblings}
    return {**inline_refs(definitions[name], definitions, ancestors=(*ancestors, name)), **siblings}
