"""chart/values.yaml, read as what it is: a manual. Each value has the comment above it, and may have directives."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

CHART: Final = Path(__file__).parents[2] / "chart"
VALUES: Final = CHART / "values.yaml"
_COMMENT: Final = re.compile(r"\s*#\s?(.*)")
_DIRECTIVE: Final = "@ "


class Value(NamedTuple):
    """One value: where it is, what it is by default, what its comment says, and what its schema adds."""

    path: tuple[str, ...]
    default: Any
    help: str
    schema: dict[str, Any]
    children: "tuple[Value, ...]"

    @property
    def name(self) -> str:
        """`service.port`."""
        return ".".join(self.path)


def read(text: str) -> tuple[Value, ...]:
    """Return the values of a manual. Raises ValueError for a value without a comment."""
    node = yaml.compose(text, Loader=yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return tuple(_values(node, text.splitlines(), ()))


def leaves(values: tuple[Value, ...]) -> Iterator[Value]:
    """Yield the values that have a meaning of their own, in their order."""
    for value in values:
        if value.children:
            yield from leaves(value.children)
        else:
            yield value


def _values(node: yaml.MappingNode, lines: list[str], above: tuple[str, ...]) -> Iterator[Value]:
    for key, content in node.value:
        path = (*above, key.value)
        help, schema = _comment(lines, key.start_mark.line)
        inner: tuple[Value, ...] = ()
        if isinstance(content, yaml.MappingNode) and content.value and "type" not in schema:
            inner = tuple(_values(content, lines, path))
        elif not help:
            raise ValueError(f"values.yaml: {'.'.join(path)} has no comment: say what it is")
        yield Value(path, yaml.safe_load(yaml.serialize(content)), help, schema, inner)


def _comment(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    """Return the words and the directives of the comment that ends just above a line (from 0)."""
    block: list[str] = []
    while line and (found := _COMMENT.fullmatch(lines[line - 1])):
        block.insert(0, found[1])
        line -= 1
    schema: dict[str, Any] = {}
    for text in block:
        if text.startswith(_DIRECTIVE):
            schema |= yaml.safe_load(text.removeprefix(_DIRECTIVE))
    return " ".join(text for text in block if not text.startswith((_DIRECTIVE, "BEGIN "))), schema
