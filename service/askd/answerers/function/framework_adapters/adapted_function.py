"""AdaptedFunction: an ordinary function in the place of an object that another framework would call."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any


@dataclasses.dataclass(frozen=True)
class AdaptedFunction:
    """A function that askd can call, and a note about it, one line."""

    function: Callable[..., Any]
    note: str


def make_adapted_function(
    call: Callable[..., Any],
    parameters: Sequence[Parameter],
    wrapped: object,
    note: str,
    *,
    return_annotation: Any = inspect.Signature.empty,
) -> AdaptedFunction:
    """Give `call` these parameters, and the annotations and docstring of `wrapped`."""
    function: Any = call
    function.__signature__ = inspect.Signature(list(parameters), return_annotation=return_annotation)
    function.__wrapped__ = wrapped
    function.__doc__ = getattr(wrapped, "__doc__", None)
    return AdaptedFunction(function, note)


def function_parameters(value: object) -> list[Parameter]:
    """Return the parameters of a plain function or method; empty for other objects, or if they are unknown."""
    if not inspect.isroutine(value):
        return []
    try:
        return list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return []


def has_base_in(value: object, package: str) -> bool:
    """Return whether the object's class, or one of its bases, is defined in a package."""
    return any(f"{base.__module__}.".startswith(f"{package}.") for base in type(value).__mro__)
