"""What the fixtures of this folder are, for annotations."""

from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Protocol

from service.answerers.function import Function
from service.models import Answer


class Write(Protocol):
    """Writes a file of user code, its indentation removed, below the test's folder."""

    def __call__(self, name: str, code: str) -> Path:
        """Return the path of the file."""


class Load(Protocol):
    """Loads `main.py:NAME` from code."""

    def __call__(
        self, code: str, name: str = "answer", *, threads: int = 4, deterministic: bool | None = None
    ) -> Awaitable[Function]:
        """Return the function, which is closed after the test."""


class Ask(Protocol):
    """Binds text parameters as a query would, and asks."""

    def __call__(self, function: Function, text: str = "hello", **given: list[str]) -> Awaitable[Answer]:
        """Return the answer."""


def names(function: Function) -> Mapping[str, Any]:
    """The global names of the user's module, which tests look into."""
    found: Mapping[str, Any] = function._call.__globals__
    return found
