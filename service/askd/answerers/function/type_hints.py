"""Type annotations of functions: their meaning for parameters, and their JSON Schema."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import AsyncIterable, Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Union

import msgspec
from msgspec import inspect as msgspec_types

from askd.errors import LoadError
from askd.models import Question

SUPPORTED_TYPES: Final = (
    "str, int, float, bool, Literal, Enum, date, datetime, UUID, Decimal, a list of these, or one of these or None"
)
_SCALAR_TYPES: Final = (
    msgspec_types.StrType,
    msgspec_types.IntType,
    msgspec_types.FloatType,
    msgspec_types.BoolType,
    msgspec_types.NoneType,
    msgspec_types.LiteralType,
    msgspec_types.EnumType,
    msgspec_types.DateType,
    msgspec_types.DateTimeType,
    msgspec_types.TimeType,
    msgspec_types.UUIDType,
    msgspec_types.DecimalType,
)
_QUESTION_NAME: Final = re.compile(r"(\w+\.)*Question")
_UNTYPED: Final = (inspect.Parameter.empty, Any, object)


class UnresolvedAnnotationError(Exception):
    """A string annotation names an object that does not exist at run time."""


def resolve_annotation(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Return the annotation; a string (quoted or postponed) is evaluated in `namespace`.

    An unknown name `Question` is assumed to be askd's: it may be imported for type checkers only.

    Raises:
        UnresolvedAnnotationError: The annotation names an object that does not exist.
    """
    if isinstance(annotation, typing.ForwardRef):  # from Python 3.14 on, for unknown names
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        return typing.get_type_hints(_annotated_function(annotation), dict(namespace), include_extras=True)["value"]
    except Exception as error:
        if _QUESTION_NAME.fullmatch(annotation.strip("'\" ")):
            return Question
        raise UnresolvedAnnotationError(annotation) from error


def _annotated_function(annotation: str) -> Callable[..., Any]:
    def function() -> None: ...

    function.__annotations__ = {"value": annotation}
    return function


def is_question_type(annotation: Any) -> bool:
    """Return whether the annotation is askd's Question."""
    bare = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    return isinstance(bare, type) and issubclass(bare, Question)


def is_untyped(annotation: Any) -> bool:
    """Return whether the annotation is missing, Any or object."""
    return any(annotation is untyped for untyped in _UNTYPED)


def accepts_str(annotation: Any) -> bool:
    """Return whether a parameter with this annotation accepts a str."""
    if is_untyped(annotation) or annotation is str:
        return True
    if isinstance(annotation, typing.NewType):
        return accepts_str(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return True
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return accepts_str(typing.get_args(annotation)[0])
    return origin in {Union, types.UnionType} and any(accepts_str(arg) for arg in typing.get_args(annotation))


def parameter_type(annotation: Any, default: Any) -> Any:
    """Return the type to validate against. Without an annotation that is the default's type, or str.

    Raises:
        TypeError: A query cannot carry values of the type.
    """
    if is_untyped(annotation):
        annotation = _infer_type(default)
    elif default is None:
        annotation = annotation | None if isinstance(annotation, type) else Union[annotation, None]  # noqa: UP007 an annotation may be any object
    try:
        supported = _is_supported(msgspec_types.type_info(annotation))
    except TypeError:
        supported = False
    if not supported:
        raise TypeError(annotation)
    return annotation


def _infer_type(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return str
    if default is None:
        return str | None
    if type(default) in {str, int, float, bool}:
        return type(default)
    raise TypeError(type(default))


def _is_supported(info: msgspec_types.Type) -> bool:
    if isinstance(info, msgspec_types.Metadata):
        return _is_supported(info.type)
    if isinstance(info, msgspec_types.UnionType):
        return all(_is_supported(member) for member in info.types)
    if isinstance(info, msgspec_types.ListType):
        return isinstance(_unwrap_metadata(info.item_type), _SCALAR_TYPES)
    return isinstance(info, _SCALAR_TYPES)


def is_list_type(value_type: Any) -> bool:
    """Return whether values of this type may be a list, so that a query may repeat the name."""
    return _contains_list(msgspec_types.type_info(value_type))


def _contains_list(info: msgspec_types.Type) -> bool:
    info = _unwrap_metadata(info)
    if isinstance(info, msgspec_types.UnionType):
        return any(_contains_list(member) for member in info.types)
    return isinstance(info, msgspec_types.ListType)


def _unwrap_metadata(info: msgspec_types.Type) -> msgspec_types.Type:
    return info.type if isinstance(info, msgspec_types.Metadata) else info


def format_annotation(annotation: Any) -> str:
    """Return the annotation as it is written in source code."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def answer_schema(annotation: Any, *, name: str) -> dict[str, Any] | None:
    """Return the JSON Schema of the answer object for a function with the return annotation `annotation`.

    Returns None if the annotation is not a class with fields: none, str, a mapping, a generator.

    Raises:
        LoadError: The class has no field `answer`, or `answer` is not a str.
    """
    cls = _object_class(annotation)
    if cls is None:
        return None
    schema = _answer_class_schema(cls, name)
    answer = schema.get("properties", {}).get("answer")
    if answer is None:
        raise LoadError(f"{name} returns {cls.__name__}, which has no field `answer`: add `answer: str`")
    if "type" in answer and answer["type"] != "string":
        raise LoadError(f"{name} returns {cls.__name__}, whose `answer` is not a str: make it `answer: str`")
    return schema


def is_stream_type(annotation: Any) -> bool:
    """Return whether a function with this return annotation streams its answer."""
    cls = typing.get_origin(annotation) or annotation
    return isinstance(cls, type) and issubclass(cls, AsyncIterable | Iterator)


def _object_class(annotation: Any) -> Any:
    """Return the only class with fields in the annotation, or None."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _object_class(typing.get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        members = [arg for arg in typing.get_args(annotation) if arg is not types.NoneType]
        return _object_class(members[0]) if len(members) == 1 else None
    return annotation if _has_fields(origin or annotation) else None


def _has_fields(cls: Any) -> bool:
    return isinstance(cls, type) and (
        issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or typing.is_typeddict(cls)
        or hasattr(cls, "model_json_schema")
    )


def _answer_class_schema(cls: Any, name: str) -> dict[str, Any]:
    try:
        if hasattr(cls, "model_json_schema"):  # duck typing avoids an import of pydantic
            schema = cls.model_json_schema(mode="serialization")
            return dict(inline_refs(schema, schema.pop("$defs", {})))
        return json_schema(cls)
    except Exception as error:
        raise LoadError(f"{name} returns {cls.__name__}, which has no JSON Schema: {error}") from error


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
