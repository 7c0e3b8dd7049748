"""Adapters for code that expects to be called by another framework.

An adapter recognizes an object by its type or by the names of its parameters, and returns an ordinary function. No
framework is imported to find out. `askd check` shows the note of the adapter.
"""

from collections.abc import Callable
from typing import Any, Final

from askd.answerers.function.framework_adapters import (
    chat_functions,
    cloud_functions,
    commands,
    language_model_frameworks,
)
from askd.answerers.function.framework_adapters.adapted_function import AdaptedFunction

__all__ = ["AdaptedFunction", "adapt_to_function"]

_ADAPTERS: Final[tuple[Callable[[Any], AdaptedFunction | None], ...]] = (
    language_model_frameworks.adapt_to_function,
    commands.adapt_to_function,
    chat_functions.adapt_to_function,
    cloud_functions.adapt_to_function,
)


def adapt_to_function(value: object) -> AdaptedFunction | None:
    """Return an ordinary function for an object of the user's code, or None if it is called as it is."""
    return next((adapted for adapt in _ADAPTERS if (adapted := adapt(value)) is not None), None)
