"""How a setting is declared: its default, what reads its text, and the line of help that is its manual."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def setting(default: T, read: Callable[[str], object], help: str, *, group: str, secret: bool = False) -> T:
    """Declare one setting. A `secret` one is shown as `***` where settings are logged."""
    return dataclasses.field(default=default, metadata=dict(read=read, help=help, group=group, secret=secret))
