"""Type annotations of functions: their meaning for parameters, and the JSON Schema of results."""

import contextlib
import enum
import inspect
import re
import types
import typing
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Union

from askd.answerers.function.converters import create_converter, has_type
from askd.answerers.function.results import ANSWER_KEYS
from askd.models import Question

SUPPORTED_TYPES: Final = (
    "str, int, float, bool, Literal, Enum, date, datetime, UUID, Decimal, list, dict, a dataclass, TypedDict, msgspec, "
    "attrs or pydantic class, or one of these or None"
)
_QUESTION_NAME: Final = re.compile(r"(\w+\.)*Question")
_INFERRED_TYPES: Final = frozenset({str, int, float, bool, list, dict})
"""Types of defaults that stand for an annotation."""
_UNCONSTRAINED_KEYS: Final = frozenset({"type", "title", "description", "default", "examples"})
"""Members of a JSON Schema that limit nothing but the type."""
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


def is_constrained(annotation: Any) -> bool:
    """Return whether the annotation limits the texts that it accepts, by a length or a pattern."""
    if typing.get_origin(annotation) is not Annotated:
        return False
    with contextlib.suppress(TypeError):
        return not _UNCONSTRAINED_KEYS.issuperset(create_converter(annotation).schema)
    return False


def parameter_type(annotation: Any, default: Any) -> Any:
    """Return the type to validate against. Without an annotation that is the type of a default other than None, or any.

    Raises:
        TypeError: The type of the default is not one that a request can carry.
    """
    if is_untyped(annotation):
        return _infer_type(default)
    annotation = _supported_type(annotation)
    if default is not None:
        return annotation
    return annotation | None if isinstance(annotation, type) else Union[annotation, None]  # noqa: UP007 an annotation may be any object


def _supported_type(annotation: Any) -> Any:
    """Return a list type for an iterable, and a union without the members that a request cannot carry."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Iterable or origin is Iterable:
        return list[arguments[0]] if arguments else list  # type: ignore[valid-type] # the type is only known at run time
    if origin is Annotated:
        return Annotated[(_supported_type(arguments[0]), *annotation.__metadata__)]
    if origin not in {Union, types.UnionType}:
        return annotation
    members = [member for member in map(_supported_type, arguments) if _is_supported(member)]
    return Union[tuple(members)] if any(member is not types.NoneType for member in members) else annotation  # noqa: UP007 as above


def _is_supported(annotation: Any) -> bool:
    try:
        create_converter(annotation)
    except TypeError:
        return False
    return True


def _infer_type(default: Any) -> Any:
    if default is inspect.Parameter.empty or default is None:
        return Any
    if type(default) in _INFERRED_TYPES or isinstance(default, enum.Enum):
        return type(default)
    raise TypeError(type(default))


def split_field_default(annotation: Any, default: Any) -> tuple[Any, Any]:
    """Return the annotation and the default of a parameter whose default is `pydantic.Field(…)` or similar."""
    if not (hasattr(default, "default") and hasattr(default, "default_factory") and hasattr(default, "metadata")):
        return annotation, default
    bare = Any if annotation is inspect.Parameter.empty else annotation
    if default.is_required():
        return Annotated[bare, default], inspect.Parameter.empty
    return Annotated[bare, default], default.get_default(call_default_factory=True)


def annotation_description(annotation: Any) -> str:
    """Return the description in `Annotated[…, "…"]`, `Field(description="…")`, `Meta` or `Doc`; empty without one."""
    for item in getattr(annotation, "__metadata__", ()):
        for text in (item, getattr(item, "description", None), getattr(item, "documentation", None)):
            if isinstance(text, str):
                return text
    return ""


def format_annotation(annotation: Any) -> str:
    """Return the annotation as it is written in source code."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def answer_schema(annotation: Any) -> dict[str, Any] | None:
    """Return the JSON Schema of the answer object for a function with the return annotation `annotation`.

    Returns None if the answer is text, or comes in parts from an iterator.
    """
    annotation = _without_none(annotation)
    if is_text_type(annotation) or is_stream_type(annotation):
        return None
    schema: dict[str, Any] = {}
    if not is_untyped(annotation):
        with contextlib.suppress(TypeError):
            schema = create_converter(annotation, mode="serialization").schema
    properties = schema.get("properties", {})
    key = next((key for key in ANSWER_KEYS if key in properties), None)
    if key is None:
        if has_type(schema, "object") and not properties:
            schema = {}  # the value may have an answer among its keys
        return {"type": "object", "properties": {"answer": schema}, "required": ["answer"]}
    others = {name: value for name, value in properties.items() if name != key}
    required = {name for name in schema.get("required", ()) if name != key}
    return {
        **schema,
        "properties": {"answer": properties[key], **others},
        "required": ["answer", *(name for name in others if name in required)],
    }


def is_text_type(annotation: Any) -> bool:
    """Return whether values of the annotated type are text."""
    if isinstance(annotation, typing.NewType):
        return is_text_type(annotation.__supertype__)
    return isinstance(annotation, type) and issubclass(annotation, str | bytes)


def _without_none(annotation: Any) -> Any:
    """Return the annotation without `Annotated`, and without `None` in a union with one other type."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _without_none(typing.get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        return _without_none(members[0]) if len(members) == 1 else annotation
    return annotation


def is_stream_type(annotation: Any) -> bool:
    """Return whether a function with this return annotation streams its answer."""
    cls = typing.get_origin(annotation) or annotation
    return isinstance(cls, type) and issubclass(cls, AsyncIterable | Iterator)
