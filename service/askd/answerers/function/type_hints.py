"""What the annotation of a parameter means: text, the Question, or a type that values are validated against."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Union

from msgspec import inspect as shapes

from service.models import Question

SUPPORTED: Final = (
    "str, int, float, bool, Literal, Enum, date, datetime, UUID, Decimal, a list of these, or one of these or None"
)

_SCALARS: Final = (
    shapes.StrType,
    shapes.IntType,
    shapes.FloatType,
    shapes.BoolType,
    shapes.NoneType,
    shapes.LiteralType,
    shapes.EnumType,
    shapes.DateType,
    shapes.DateTimeType,
    shapes.TimeType,
    shapes.UUIDType,
    shapes.DecimalType,
)
_QUESTION: Final = re.compile(r"(\w+\.)*Question")
_FREE: Final = (inspect.Parameter.empty, Any, object)


class Unresolved(Exception):
    """The annotation is a string that names nothing at run time."""


def resolved(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Return the annotation itself where it was written, or postponed, as a string.

    Raises Unresolved; but "Question" that cannot be looked up, as when it is imported for type checkers only, is
    taken for askd's.
    """
    if isinstance(annotation, typing.ForwardRef):  # Python 3.14 makes one of a name that it does not find
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        return typing.get_type_hints(_carrier(annotation), dict(namespace), include_extras=True)["it"]
    except Exception as fault:
        if _QUESTION.fullmatch(annotation.strip("'\" ")):
            return Question
        raise Unresolved(annotation) from fault


def _carrier(annotation: str) -> Callable[..., Any]:
    def carrier() -> None: ...

    carrier.__annotations__ = {"it": annotation}
    return carrier


def takes_question(annotation: Any) -> bool:
    """Whether it is askd's Question."""
    bare = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    return isinstance(bare, type) and issubclass(bare, Question)


def is_free(annotation: Any) -> bool:
    """Whether it says nothing: none at all, Any or object."""
    return any(annotation is each for each in _FREE)


def takes_text(annotation: Any) -> bool:
    """Whether a str may be passed where this stands."""
    if is_free(annotation) or annotation is str:
        return True
    if isinstance(annotation, typing.NewType):
        return takes_text(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return True
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return takes_text(typing.get_args(annotation)[0])
    return origin in {Union, types.UnionType} and any(takes_text(each) for each in typing.get_args(annotation))


def value_type(annotation: Any, default: Any) -> Any:
    """Return the type to validate by; where there is no annotation, the default's, and str where there is none.

    Raises TypeError for a type that cannot come from a query.
    """
    if is_free(annotation):
        annotation = _guess(default)
    elif default is None:
        annotation = annotation | None if isinstance(annotation, type) else Union[annotation, None]  # noqa: UP007 an annotation may be any object
    try:
        supported = _supported(shapes.type_info(annotation))
    except TypeError:
        supported = False
    if not supported:
        raise TypeError(annotation)
    return annotation


def _guess(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return str
    if default is None:
        return str | None
    if type(default) in {str, int, float, bool}:
        return type(default)
    raise TypeError(type(default))


def _supported(shape: shapes.Type) -> bool:
    if isinstance(shape, shapes.Metadata):
        return _supported(shape.type)
    if isinstance(shape, shapes.UnionType):
        return all(_supported(each) for each in shape.types)
    if isinstance(shape, shapes.ListType):
        return isinstance(_bare(shape.item_type), _SCALARS)
    return isinstance(shape, _SCALARS)


def is_list(kind: Any) -> bool:
    """Whether values of this type come as a list, so that a name may be given several times in a query."""
    return _has_list(shapes.type_info(kind))


def _has_list(shape: shapes.Type) -> bool:
    shape = _bare(shape)
    if isinstance(shape, shapes.UnionType):
        return any(_has_list(each) for each in shape.types)
    return isinstance(shape, shapes.ListType)


def _bare(shape: shapes.Type) -> shapes.Type:
    return shape.type if isinstance(shape, shapes.Metadata) else shape


def described(annotation: Any) -> str:
    """Return the annotation as people write it."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
