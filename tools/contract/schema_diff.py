"""Compare two JSON Schemas: find requests that are no longer accepted, and lost guarantees about responses."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

UPPER_BOUNDS: Final = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
LOWER_BOUNDS: Final = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
UNION_KEYWORDS: Final = ("anyOf", "oneOf")
ANY: Final = "anything"
MAX_DEPTH: Final = 20
"""Limit for recursive schemas and for circular references."""


class Documents:
    """The released and the current OpenAPI document, for the lookup of `$ref`."""

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
    for _ in range(MAX_DEPTH):
        if "$ref" not in part:
            break
        target: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        part = target
    return part


def request_schema_changes(documents: Documents, path: str, old: Schema, new: Schema, depth: int = 0) -> Iterator[str]:
    """Yield restrictions: values that the old schema accepts in a request and the new one rejects."""
    old, new = documents.resolve_old(old), documents.resolve_new(new)
    if removed := _not_admitted(_types(old), _types(new)) | _not_admitted(_union_members(old), _union_members(new)):
        yield f"{path} no longer accepts {_join_sorted(removed)}"
    for bound, tighter in [*((name, min) for name in UPPER_BOUNDS), *((name, max) for name in LOWER_BOUNDS)]:
        if bound in new and (bound not in old or tighter(old[bound], new[bound]) != old[bound]):
            yield f"{path} has a tighter bound: {bound} is {new[bound]}, was {old.get(bound, 'unset')}"
    if "enum" in new and (removed := _values(old.get("enum", ["any value"])) - _values(new["enum"])):
        yield f"{path} no longer accepts {_join_sorted(removed)}"
    if "pattern" in new and old.get("pattern") != new["pattern"]:
        yield f"{path} has a different pattern"
    if added := set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{path} now requires {_join_sorted(added)}"
    for name, old_part, new_part in _subschemas(old, new, depth):
        if new_part is None:
            yield f"{path}{name} was removed"
        else:
            yield from request_schema_changes(documents, path + name, old_part, new_part, depth + 1)


def response_schema_changes(documents: Documents, path: str, old: Schema, new: Schema, depth: int = 0) -> Iterator[str]:
    """Yield losses: guarantees that the old schema gives about a response and the new one does not."""
    old, new = documents.resolve_old(old), documents.resolve_new(new)
    if added := _not_admitted(_types(new), _types(old)) | _not_admitted(_union_members(new), _union_members(old)):
        yield f"{path} may now be {_join_sorted(added)}"
    if removed := set(old.get("required", ())) - set(new.get("required", ())):
        yield f"{path} may now lack {_join_sorted(removed)}"
    if "enum" in old and (added := _values(new.get("enum", ["any value"])) - _values(old["enum"])):
        yield f"{path} may now be {_join_sorted(added)}"
    for name, old_part, new_part in _subschemas(old, new, depth):
        if new_part is None:
            yield f"{path}{name} was removed"
        else:
            yield from response_schema_changes(documents, path + name, old_part, new_part, depth + 1)


def _subschemas(old: Schema, new: Schema, depth: int) -> Iterator[tuple[str, Schema, Schema | None]]:
    """Yield the schemas of properties and items in `old`, each with its counterpart in `new`, None if it is missing."""
    if depth > MAX_DEPTH:
        return
    for name, schema in old.get("properties", {}).items():
        yield f".{name}", schema, new.get("properties", {}).get(name)
    if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
        yield "[]", old["items"], new["items"]


def _types(schema: Schema) -> set[str]:
    """Return the types that a schema admits: ANY if it names none; every number type includes integers."""
    declared = schema.get("type", ANY)
    types = {declared} if isinstance(declared, str) else set(declared)
    return types | {"integer"} if "number" in types else types


def _union_members(schema: Schema) -> set[str]:
    """Return the members of a union, or ANY for a schema that is not a union."""
    return _values(member for keyword in UNION_KEYWORDS for member in schema.get(keyword, ())) or {ANY}


def _not_admitted(types: set[str], admitted: set[str]) -> set[str]:
    return set() if ANY in admitted else types - admitted


def _values(values: Any) -> set[str]:
    return {json.dumps(value, sort_keys=True) for value in values}


def _join_sorted(values: set[str]) -> str:
    return ", ".join(sorted(values))
