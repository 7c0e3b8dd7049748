"""HTML that is safe by construction: what is not Markup already is escaped where it is put in."""

import html
import re
from collections.abc import Iterable
from typing import Final

_VOID: Final = {"br", "col", "hr", "img", "input", "link", "meta"}


class Markup(str):
    """HTML that needs no escaping any more. Only this module makes it."""

    __slots__ = ()


Child = str | Iterable[str] | None
Value = str | int | None
"""Of an attribute; bool is an int."""


def element(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """Make one element; children that are Markup go in as they are, other text is escaped.

    Attributes lose a trailing underscore, others become hyphens (`class_`, `data_in`); True writes the bare name,
    False and None leave it out.
    """
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{opening}>" if name in _VOID else f"<{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Put pieces one after another."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return html.escape(child) if isinstance(child, str) else join(*child)


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def prose(text: str) -> Markup:
    """Turn a docstring into paragraphs: a blank line parts them, `so` is code. No other markup is read."""
    parts = re.split(r"\n\s*\n", text.strip())
    return join(element("p", inline(" ".join(part.split()))) for part in parts if part.strip())


def inline(text: str) -> Markup:
    """Turn one line into text, `so` into code."""
    pieces = re.split(r"`([^`]+)`", text)
    return join(element("code", piece) if odd % 2 else piece for odd, piece in enumerate(pieces))
