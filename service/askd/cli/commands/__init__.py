"""The commands, one module each, imported only when they run, so that one command does not load the others.

`command` in a module is the click command. Modules import their dependencies when they run, so that help is fast.
"""

import importlib
from typing import Any, Final

import click

COMMAND_NAMES: Final = ("serve", "ask", "explain", "check", "book", "openapi", "top", "token", "init")
"""Commands in the order of the help."""


def load_command(name: str) -> click.Command:
    """Import and return the command `name`, which must be in `COMMAND_NAMES`."""
    command: Any = importlib.import_module(f"{__name__}.{name}").command
    assert isinstance(command, click.Command)  # noqa: S101 - narrows the type
    return command
