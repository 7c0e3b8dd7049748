"""Compares what was released with what is here now, and says in words what a user would lose.

What a request may hold must not shrink; what a response holds must not shrink either. Growth is no break.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .schemas import Documents, Schema, given_back, taken

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def find(released: Mapping[str, Any], current: Mapping[str, Any], *, is_setting: Callable[[str], bool]) -> list[str]:
    """Return one line for each break. `is_setting` tells whether a variable, or its alias, still does something."""
    gone = [f"the setting {name} is gone: keep it as an alias" for name in released["settings"] if not is_setting(name)]
    return [
        *gone,
        *metrics(released["metrics"], current["metrics"]),
        *operations(Documents(released["openapi"], current["openapi"])),
    ]


def metrics(released: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """Yield metrics that are gone, that are of another type, or that lack a label."""
    for name, old in released.items():
        new = current.get(name)
        if new is None:
            yield f"the metric {name} is gone: expose it for one more minor release, its help beginning with Deprecated"
        elif new["type"] != old["type"]:
            yield f"the metric {name} was a {old['type']} and is a {new['type']}"
        elif lost := sorted(set(old["labels"]) - set(new["labels"])):
            yield f"the metric {name} has lost the label {', '.join(lost)}"


def operations(documents: Documents) -> Iterator[str]:
    """Yield what the new OpenAPI document no longer has, or asks of clients that the old one did not."""
    for path, item in documents.old["paths"].items():
        others = documents.new["paths"].get(path, {})
        for method in (name for name in METHODS if name in item):
            place = f"{method.upper()} {path}"
            if method not in others:
                yield f"{place} is gone"
                continue
            old, new = item[method], others[method]
            if old.get("operationId") != new.get("operationId"):
                yield f"{place} has another operationId"
            yield from _parameters(documents, place, old, new)
            yield from _body(documents, place, old, new)
            yield from _responses(documents, place, old, new)


def _parameters(documents: Documents, place: str, old: Schema, new: Schema) -> Iterator[str]:
    before = _by_place(map(documents.resolve_old, old.get("parameters", ())))
    after = _by_place(map(documents.resolve_new, new.get("parameters", ())))
    for key, each in before.items():
        if key not in after:
            yield f"{place}: the parameter {key} is gone"
        else:
            yield from taken(documents, f"{place}: {key}", each.get("schema", {}), after[key].get("schema", {}))
    for key, each in after.items():
        if each.get("required") and not before.get(key, {}).get("required"):
            yield f"{place}: the parameter {key} is required now"


def _by_place(parameters: Iterator[Schema]) -> dict[str, Schema]:
    return {f"{each['name']} ({each['in']})": each for each in parameters}


def _body(documents: Documents, place: str, old: Schema, new: Schema) -> Iterator[str]:
    before = documents.resolve_old(old.get("requestBody", {}))
    after = documents.resolve_new(new.get("requestBody", {}))
    if after.get("required") and not before.get("required"):
        yield f"{place}: a body is required now"
    for media, each in before.get("content", {}).items():
        if media not in after.get("content", {}):
            yield f"{place}: a body of {media} is no longer taken"
        else:
            other = after["content"][media]
            yield from taken(documents, f"{place}: {media}", each.get("schema", {}), other.get("schema", {}))


def _responses(documents: Documents, place: str, old: Schema, new: Schema) -> Iterator[str]:
    for status, reference in old.get("responses", {}).items():
        if status not in new.get("responses", {}):
            yield f"{place}: the response {status} is gone"
            continue
        before, after = documents.resolve_old(reference), documents.resolve_new(new["responses"][status])
        for header in sorted(before.get("headers", {}).keys() - after.get("headers", {}).keys()):
            yield f"{place}: {status} has lost the header {header}"
        for media, each in before.get("content", {}).items():
            if media not in after.get("content", {}):
                yield f"{place}: {status} no longer comes as {media}"
            else:
                other = after["content"][media]
                yield from given_back(documents, f"{place}: {status}", each.get("schema", {}), other.get("schema", {}))
