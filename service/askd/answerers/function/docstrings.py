"""Descriptions of a function and of its parameters, from its docstring in Google, NumPy or Sphinx style."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Final

_SECTION_HEADING: Final = re.compile(
    r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?|See Also|Attributes|Warnings?):?"
)
_GOOGLE_ENTRY: Final = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?\s*:\s*(.*)")  # Google: `name (type): text`
_NUMPY_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?::.*)?")  # NumPy: `name : type`, the text below
_SPHINX_FIELD: Final = re.compile(r":(\w+)(?:\s+[^:]*?)?(?:\s*(\w+))?\s*:\s*(.*)")  # Sphinx: `:param type name: text`


@dataclasses.dataclass(frozen=True)
class ParsedDocstring:
    """The parts of a docstring. All texts may be empty."""

    summary: str
    description: str
    parameters: Mapping[str, str]


def parse_docstring(doc: str) -> ParsedDocstring:
    """Parse a docstring from `inspect.cleandoc` in Google, NumPy or Sphinx style.

    Never fails: text that has no known form is part of the description.
    """
    prose: list[str] = []
    parameters: dict[str, str] = {}
    for title, lines in _split_sections(doc.splitlines()):
        if title in {"Args", "Arguments", "Parameters"}:
            parameters |= _parse_entries(lines)
        elif not title:
            prose += lines
    summary, _, description = "\n".join(prose).strip().partition("\n\n")
    return ParsedDocstring(" ".join(summary.split()), description.strip(), parameters)


def _split_sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield (title, lines). Prose has an empty title; a Sphinx field is a section with one entry."""
    title, section = "", list[str]()
    for number, line in enumerate(lines):
        next_line = lines[number + 1] if number + 1 < len(lines) else ""
        field = _SPHINX_FIELD.fullmatch(line)
        heading = _SECTION_HEADING.fullmatch(line.rstrip())
        if field:
            yield title, section
            name = field[2] if field[1] in {"param", "parameter", "arg", "argument"} else None
            title, section = ("Args", [f" {name}: {field[3]}"]) if name else ("Returns", [])
        elif heading and (line.rstrip().endswith(":") or set(next_line.strip()) == {"-"}):
            yield title, section
            title, section = heading[1], []
        else:
            section.append(line)
    yield title, section


def _parse_entries(lines: list[str]) -> dict[str, str]:
    """Parse the entries of a section: each starts at the smallest indentation and includes the deeper lines below."""
    lines = [line for line in lines if line.strip() and set(line.strip()) != {"-"}]
    indentation = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    entries: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        text = line.strip()
        if len(line) - len(line.lstrip()) > indentation:
            entries.setdefault(name, []).append(text)
        elif indentation and (entry := _GOOGLE_ENTRY.fullmatch(text)):
            name = entry[1]
            entries[name] = [entry[2]]
        else:
            entry = _NUMPY_ENTRY.fullmatch(text)
            name = entry[1] if entry else ""
    return {name: " ".join(" ".join(parts).split()) for name, parts in entries.items() if name}
