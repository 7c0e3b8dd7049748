"""The commands, a module each, imported when they are asked for: who wants one does not wait for the others.

A module's `command` is what click runs. What it works with is imported when it runs, so that help comes at once.
"""

import importlib
from typing import Any, Final

import click

NAMES: Final = ("serve", "ask", "explain", "check", "openapi", "top", "token", "init")
"""In the order in which help shows them."""


def find(name: str) -> click.Command:
    """Return the command of this name, one of NAMES."""
    found: Any = importlib.import_module(f"{__name__}.{name}").command
    assert isinstance(found, click.Command)  # noqa: S101 - for the type alone
    return found
