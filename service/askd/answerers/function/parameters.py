"""Request parameters of a function: validation by msgspec against the annotations, and descriptions from docstrings."""

import contextlib
import dataclasses
import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from askd.answerers.function import type_hints
from askd.errors import BadQuestion
from askd.models import Parameter

_MAX_SHOWN_CHARS: Final = 40
"""Maximum length of an invalid value in an error message."""
_SECTION_HEADING: Final = re.compile(
    r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?|See Also|Attributes|Warnings?):?"
)
_GOOGLE_ENTRY: Final = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?\s*:\s*(.*)")  # Google: `name (type): text`
_NUMPY_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?::.*)?")  # NumPy: `name : type`, the text below
_SPHINX_FIELD: Final = re.compile(r":(\w+)(?:\s+[^:]*?)?(?:\s*(\w+))?\s*:\s*(.*)")  # Sphinx: `:param type name: text`


@dataclasses.dataclass(frozen=True)
class ExtraParameter:
    """A function parameter other than the text. A required one has the default `inspect.Parameter.empty`."""

    name: str
    value_type: Any
    default: Any
    is_list: bool
    """Whether the value is a list, so that a query may repeat the name."""
    contract_entry: Parameter

    @classmethod
    def create(cls, name: str, value_type: Any, default: Any, description: str) -> "ExtraParameter":
        """Create the parameter with its entry in the contract."""
        schema = type_hints.json_schema(value_type)
        required = default is inspect.Parameter.empty
        if not required:
            with contextlib.suppress(TypeError):  # a default of the user's own type has no JSON form
                schema["default"] = msgspec.to_builtins(default)
        entry = Parameter(name=name, schema=schema, required=required, description=description)
        return cls(name, value_type, default, type_hints.is_list_type(value_type), entry)

    def parse(self, value: Any, *, from_strings: bool) -> Any:
        """Validate one value: a list of strings if `from_strings`, else a JSON value. Raises BadQuestion."""
        if from_strings and not self.is_list:
            value = self._single_value(value)
        try:
            result = msgspec.convert(value, self.value_type, strict=not from_strings)
        except msgspec.ValidationError as error:
            raise BadQuestion(self.name, f"`{self.name}`: {self._error_message(str(error), value)}.") from None
        if not _is_finite(result):  # JSON has no such numbers, and a NaN in a cache key never equals itself
            raise BadQuestion(self.name, f"`{self.name}`: expected a finite number.")
        return result

    def _error_message(self, message: str, value: Any) -> str:
        """Rephrase msgspec's message: show the value, the index in a list, and the allowed values."""
        problem, _, path = message.partition(" - at ")
        problem = problem[:1].lower() + problem[1:]
        if isinstance(value, str):
            problem = problem.replace("got `str`", f"got {value[:_MAX_SHOWN_CHARS]!r}")
        index = f", item {path.strip('`$[]')}" if "[" in path else ""
        choices = _enum_choices(self.contract_entry.schema) if "enum" in problem else []
        return problem + index + (f": give one of {', '.join(map(repr, choices))}" if choices else "")

    def _single_value(self, values: Sequence[str]) -> str:
        if len(values) != 1:
            raise BadQuestion(self.name, f"`{self.name}` is given {len(values)} times: give it once.")
        return values[0]


def parse_parameters(
    parameters: Sequence[ExtraParameter], values: Mapping[str, Any], *, from_strings: bool
) -> dict[str, Any]:
    """Return the validated value of each parameter, or its default if the request has none. Raises BadQuestion."""
    result = {}
    for parameter in parameters:
        if parameter.name in values:
            result[parameter.name] = parameter.parse(values[parameter.name], from_strings=from_strings)
        elif parameter.contract_entry.required:
            raise BadQuestion(parameter.name, f"`{parameter.name}` is missing.")
        else:
            result[parameter.name] = parameter.default
    return result


def _is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _enum_choices(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [choice for item in schema for choice in _enum_choices(item)]
    if not isinstance(schema, dict):
        return []
    return [*schema.get("enum", ()), *_enum_choices(schema.get("anyOf")), *_enum_choices(schema.get("items"))]


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
