"""Compares two JSON Schemas: whether the new one takes all that the old one took, and gives all that it gave."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

UPPER: Final = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
LOWER: Final = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
UNIONS: Final = ("anyOf", "oneOf")
ANY: Final = "anything"


class Documents:
    """The released OpenAPI document and the one of now, in which `$ref` are looked up."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old = old
        self.new = new

    def resolve_old(self, part: Schema) -> Schema:
        """Follow the references of a part of the old document."""
        return _resolve(self.old, part)

    def resolve_new(self, part: Schema) -> Schema:
        """Follow the references of a part of the new document."""
        return _resolve(self.new, part)


def _resolve(document: Schema, part: Schema) -> Schema:
    for _ in range(20):  # a chain of references that is longer leads in a circle
        if "$ref" not in part:
            break
        found: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        part = found
    return part


def taken(documents: Documents, place: str, old: Schema, new: Schema, depth: int = 0) -> Iterator[str]:
    """Yield what a client may send by the old schema and not by the new one."""
    old, new = documents.resolve_old(old), documents.resolve_new(new)
    if lost := _beyond(_types(old), _types(new)) | _beyond(_forms(old), _forms(new)):
        yield f"{place} no longer takes {_words(lost)}"
    for bound, tighter in [*((name, min) for name in UPPER), *((name, max) for name in LOWER)]:
        if bound in new and (bound not in old or tighter(old[bound], new[bound]) != old[bound]):
            yield f"{place} is bounded more tightly: {bound} is {new[bound]}, was {old.get(bound, 'without bound')}"
    if "enum" in new and (lost := _values(old.get("enum", ["any value"])) - _values(new["enum"])):
        yield f"{place} no longer takes {_words(lost)}"
    if "pattern" in new and old.get("pattern") != new["pattern"]:
        yield f"{place} has another pattern"
    if added := set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{place} needs {_words(added)} now"
    for inner, one, other in _inside(old, new, depth):
        if other is None:
            yield f"{place}{inner} is gone"
        else:
            yield from taken(documents, place + inner, one, other, depth + 1)


def given_back(documents: Documents, place: str, old: Schema, new: Schema, depth: int = 0) -> Iterator[str]:
    """Yield what a client may rely on by the old schema and not by the new one."""
    old, new = documents.resolve_old(old), documents.resolve_new(new)
    if added := _beyond(_types(new), _types(old)) | _beyond(_forms(new), _forms(old)):
        yield f"{place} may be {_words(added)} now"
    if lost := set(old.get("required", ())) - set(new.get("required", ())):
        yield f"{place} may lack {_words(lost)} now"
    if "enum" in old and (added := _values(new.get("enum", ["any value"])) - _values(old["enum"])):
        yield f"{place} may be {_words(added)} now"
    for inner, one, other in _inside(old, new, depth):
        if other is None:
            yield f"{place}{inner} is gone"
        else:
            yield from given_back(documents, place + inner, one, other, depth + 1)


def _inside(old: Schema, new: Schema, depth: int) -> Iterator[tuple[str, Schema, Schema | None]]:
    """Yield the schemas inside `old`, with those of `new` in the same place; None: it has none there."""
    if depth > 20:  # a schema that holds itself
        return
    for name, each in old.get("properties", {}).items():
        yield f".{name}", each, new.get("properties", {}).get(name)
    if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
        yield "[]", old["items"], new["items"]


def _types(schema: Schema) -> set[str]:
    """Return the types that a schema admits. One that names none admits ANY; every number includes integers."""
    found = schema.get("type", ANY)
    types = {found} if isinstance(found, str) else set(found)
    return types | {"integer"} if "number" in types else types


def _forms(schema: Schema) -> set[str]:
    """Return the members of a union; a schema that is none admits ANY."""
    return _values(form for union in UNIONS for form in schema.get(union, ())) or {ANY}


def _beyond(one: set[str], other: set[str]) -> set[str]:
    """Return what is in `one` and not admitted by `other`."""
    return set() if ANY in other else one - other


def _values(values: Any) -> set[str]:
    return {json.dumps(value, sort_keys=True) for value in values}


def _words(values: set[str]) -> str:
    return ", ".join(sorted(values))
