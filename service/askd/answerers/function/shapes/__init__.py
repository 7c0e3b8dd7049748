"""Adapters for code that expects to be called by another framework.

An adapter recognizes an object by its type or by the names of its parameters, and returns an ordinary function. No
framework is imported to find out. `askd check` shows the note of the adapter.
"""

from collections.abc import Callable
from typing import Any, Final

from askd.answerers.function.shapes import chat_functions, cloud_functions, commands, model_frameworks
from askd.answerers.function.shapes.shape import Shape

__all__ = ["Shape", "find_shape"]

_FINDERS: Final[tuple[Callable[[Any], Shape | None], ...]] = (
    model_frameworks.find_shape,
    commands.find_shape,
    chat_functions.find_shape,
    cloud_functions.find_shape,
)


def find_shape(value: object) -> Shape | None:
    """Return the adapter for an object of the user's code, or None if it is called as it is."""
    return next((shape for finder in _FINDERS if (shape := finder(value)) is not None), None)
