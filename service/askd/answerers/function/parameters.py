"""A parameter beside the text: validated by msgspec against the function's own annotation."""

import contextlib
import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from service.answerers.function import annotations, schemas
from service.errors import BadQuestion
from service.models import Parameter

_SHOWN: Final = 40
"""Characters of a faulty value that the client is shown again."""


@dataclasses.dataclass(frozen=True)
class Beside:
    """One parameter beside the text. `default` is `inspect.Parameter.empty` where it must be given."""

    name: str
    kind: Any
    default: Any
    many: bool
    """Whether its value is a list, so that a query may repeat the name."""
    shown: Parameter

    @classmethod
    def made(cls, name: str, kind: Any, default: Any, description: str) -> "Beside":
        """Work out what the contract shows of it."""
        schema = schemas.schema_of(kind)
        required = default is inspect.Parameter.empty
        if not required:
            with contextlib.suppress(TypeError):  # a default of the author's own type is not shown
                schema["default"] = msgspec.to_builtins(default)
        shown = Parameter(name=name, schema=schema, required=required, description=description)
        return cls(name, kind, default, annotations.is_list(kind), shown)

    def read(self, given: Any, *, textual: bool) -> Any:
        """Validate one value; a `textual` one is a list of strings. Raises BadQuestion."""
        if textual and not self.many:
            given = self._single(given)
        try:
            value = msgspec.convert(given, self.kind, strict=not textual)
        except msgspec.ValidationError as fault:
            raise BadQuestion(self.name, f"`{self.name}`: {self._plain(str(fault), given)}.") from None
        if not _finite(value):  # JSON has no such numbers, and nan equals not even itself
            raise BadQuestion(self.name, f"`{self.name}`: expected a finite number.")
        return value

    def _plain(self, fault: str, given: Any) -> str:
        """Put msgspec's words in ours: the place is a number, the value is shown, what is allowed is listed."""
        what, _, place = fault.partition(" - at ")
        what = what[:1].lower() + what[1:]
        if isinstance(given, str):
            what = what.replace("got `str`", f"got {given[:_SHOWN]!r}")
        where = f", item {place.strip('`$[]')}" if "[" in place else ""
        choices = _choices(self.shown.schema) if "enum" in what else []
        return what + where + (f": give one of {', '.join(map(repr, choices))}" if choices else "")

    def _single(self, given: Sequence[str]) -> str:
        if len(given) != 1:
            raise BadQuestion(self.name, f"`{self.name}` is given {len(given)} times: give it once.")
        return given[0]


def bind(parameters: Sequence[Beside], given: Mapping[str, Any], *, textual: bool) -> dict[str, Any]:
    """Return a valid value for each parameter, the default where none is given. Raises BadQuestion."""
    values = {}
    for each in parameters:
        if each.name in given:
            values[each.name] = each.read(given[each.name], textual=textual)
        elif each.shown.required:
            raise BadQuestion(each.name, f"`{each.name}` is missing.")
        else:
            values[each.name] = each.default
    return values


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(_finite(each) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


def _choices(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [choice for each in schema for choice in _choices(each)]
    if not isinstance(schema, dict):
        return []
    return [*schema.get("enum", ()), *_choices(schema.get("anyOf")), *_choices(schema.get("items"))]
