"""HTML from Python: elements with escaped text and attributes."""

import html
import re
from collections.abc import Iterable
from typing import Final

_VOID_ELEMENTS: Final = {"br", "col", "hr", "img", "input", "link", "meta"}


class Markup(str):
    """Escaped HTML. Only this module creates it."""

    __slots__ = ()


Child = str | Iterable[str] | None
AttributeValue = str | int | None
"""Value of an attribute. bool is included, as a subclass of int."""


def element(name: str, /, *children: Child, **attributes: AttributeValue) -> Markup:
    """Return an element with these children; children that are not Markup are escaped.

    In attribute names a trailing underscore is dropped and the others become hyphens (`class_`, `data_in`). True sets
    a boolean attribute; False and None omit the attribute.
    """
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{opening}>" if name in _VOID_ELEMENTS else f"<{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Concatenate the children; None is skipped."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return html.escape(child, quote=False) if isinstance(child, str) else join(*child)


def _attribute(key: str, value: AttributeValue) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def render_paragraphs(text: str) -> Markup:
    """Render a docstring: blank lines separate paragraphs, backticks mark code. Other markup is not supported."""
    parts = re.split(r"\n\s*\n", text.strip())
    return join(element("p", inline(" ".join(part.split()))) for part in parts if part.strip())


def inline(text: str) -> Markup:
    """Render one line of text; backticks mark code."""
    pieces = re.split(r"`([^`]+)`", text)
    return join(element("code", piece) if index % 2 else piece for index, piece in enumerate(pieces))
