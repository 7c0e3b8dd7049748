"""What a docstring says: its first paragraph, the rest, and the parameters, where one of three usual styles is used."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Final

_SECTION: Final = re.compile(
    r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?|See Also|Attributes|Warnings?):?"
)
_ENTRY: Final = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?\s*:\s*(.*)")  # Google: `name (type): text`
_NUMPY: Final = re.compile(r"\*{0,2}(\w+)\s*(?::.*)?")  # NumPy: `name : type`, the text below
_FIELD: Final = re.compile(r":(\w+)(?:\s+[^:]*?)?(?:\s*(\w+))?\s*:\s*(.*)")  # Sphinx: `:param type name: text`


@dataclasses.dataclass(frozen=True)
class Doc:
    """A docstring, taken apart. All texts may be empty."""

    summary: str
    description: str
    parameters: Mapping[str, str]


def parsed(doc: str) -> Doc:
    """Take apart a docstring from `inspect.cleandoc`. Never fails: what is not understood is description."""
    prose: list[str] = []
    parameters: dict[str, str] = {}
    for title, lines in _sections(doc.splitlines()):
        if title in {"Args", "Arguments", "Parameters"}:
            parameters |= _entries(lines)
        elif not title:
            prose += lines
    head, _, rest = "\n".join(prose).strip().partition("\n\n")
    return Doc(" ".join(head.split()), rest.strip(), parameters)


def _sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield (title, lines); prose has the title ''. A field of Sphinx is a section of one entry."""
    title, kept = "", list[str]()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        field = _FIELD.fullmatch(line)
        heading = _SECTION.fullmatch(line.rstrip())
        if field:
            yield title, kept
            name = field[2] if field[1] in {"param", "parameter", "arg", "argument"} else None
            title, kept = ("Args", [f" {name}: {field[3]}"]) if name else ("Returns", [])
        elif heading and (line.rstrip().endswith(":") or set(following.strip()) == {"-"}):
            yield title, kept
            title, kept = heading[1], []
        else:
            kept.append(line)
    yield title, kept


def _entries(lines: list[str]) -> dict[str, str]:
    """An entry starts at the least indentation of its section, and goes on in the lines that are deeper."""
    lines = [line for line in lines if line.strip() and set(line.strip()) != {"-"}]
    edge = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    entries: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        text = line.strip()
        if len(line) - len(line.lstrip()) > edge:
            entries.setdefault(name, []).append(text)
        elif edge and (entry := _ENTRY.fullmatch(text)):
            name = entry[1]
            entries[name] = [entry[2]]
        else:
            entry = _NUMPY.fullmatch(text)
            name = entry[1] if entry else ""
    return {name: " ".join(" ".join(parts).split()) for name, parts in entries.items() if name}
