"""Reader of chart/values.yaml.

Each value has a description in the comment above it, which begins with `--` for helm-docs. Lines between two `@schema`
add to the schema, as helm-schema reads them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

CHART_FOLDER: Final = Path(__file__).parents[2] / "chart"
VALUES_FILE: Final = CHART_FOLDER / "values.yaml"
_COMMENT: Final = re.compile(r"\s*#\s?(.*)")
_SCHEMA_MARK: Final = "@schema"
_DESCRIPTION_PREFIX: Final = "-- "


class Value(NamedTuple):
    """One value, or a mapping of values: `help` is the text of its comment, `schema` its directives."""

    path: tuple[str, ...]
    default: Any
    help: str
    schema: dict[str, Any]
    children: "tuple[Value, ...]"

    @property
    def name(self) -> str:
        """`service.port`."""
        return ".".join(self.path)


def parse_values(text: str) -> tuple[Value, ...]:
    """Return the values in the text of values.yaml. Raises ValueError if a value has no comment."""
    node = yaml.compose(text, Loader=yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return tuple(_parse_mapping(node, text.splitlines(), ()))


def leaf_values(values: tuple[Value, ...]) -> Iterator[Value]:
    """Yield the values that are not mappings of other values, in their order."""
    for value in values:
        if value.children:
            yield from leaf_values(value.children)
        else:
            yield value


def _parse_mapping(node: yaml.MappingNode, lines: list[str], parents: tuple[str, ...]) -> Iterator[Value]:
    for key, content in node.value:
        path = (*parents, key.value)
        help, schema = _comment_above(lines, key.start_mark.line)
        children: tuple[Value, ...] = ()
        if isinstance(content, yaml.MappingNode) and content.value and "type" not in schema:
            children = tuple(_parse_mapping(content, lines, path))
        elif not help:
            raise ValueError(f"values.yaml: {'.'.join(path)} has no comment: describe it")
        yield Value(path, yaml.safe_load(yaml.serialize(content)), help, schema, children)


def _comment_above(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    """Return the text and the directives of the comment that ends just above a line (counted from 0)."""
    comment: list[str] = []
    while line and (match := _COMMENT.fullmatch(lines[line - 1])):
        comment.insert(0, match[1])
        line -= 1
    words, schema_lines, is_schema = list[str](), list[str](), False
    for text in comment:
        if text == _SCHEMA_MARK:
            is_schema = not is_schema
        elif not text.startswith("BEGIN "):
            (schema_lines if is_schema else words).append(text)
    schema = yaml.safe_load("\n".join(schema_lines)) or {}
    return " ".join(text.removeprefix(_DESCRIPTION_PREFIX) for text in words), schema
