"""Compare the released surface with the current one, and describe what users would lose.

A request may not have to satisfy more, and a response may not provide less. Additions are compatible.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tools.contract.schema_diff import Documents, Schema, request_schema_changes, response_schema_changes

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def find_breaking_changes(
    released: Mapping[str, Any], current: Mapping[str, Any], *, is_setting: Callable[[str], bool]
) -> list[str]:
    """Return one line per breaking change. `is_setting` returns whether a variable, or its alias, has an effect."""
    removed = [
        f"the setting {name} was removed: keep it as an alias" for name in released["settings"] if not is_setting(name)
    ]
    return [
        *removed,
        *metric_changes(released["metrics"], current["metrics"]),
        *operation_changes(Documents(released["openapi"], current["openapi"])),
    ]


def metric_changes(released: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """Yield metrics that were removed, changed their type, or lost a label."""
    for name, old in released.items():
        new = current.get(name)
        if new is None:
            yield (
                f"the metric {name} was removed: keep it for one more minor release, with a help text that begins "
                f"with Deprecated"
            )
        elif new["type"] != old["type"]:
            yield f"the metric {name} changed from {old['type']} to {new['type']}"
        elif missing := sorted(set(old["labels"]) - set(new["labels"])):
            yield f"the metric {name} lost the label {', '.join(missing)}"


def operation_changes(documents: Documents) -> Iterator[str]:
    """Yield what the new OpenAPI document lacks, and new requirements for clients."""
    for path, old_item in documents.old["paths"].items():
        new_item = documents.new["paths"].get(path, {})
        for method in (name for name in METHODS if name in old_item):
            operation = f"{method.upper()} {path}"
            if method not in new_item:
                yield f"{operation} was removed"
                continue
            old, new = old_item[method], new_item[method]
            if old.get("operationId") != new.get("operationId"):
                yield f"{operation} changed its operationId"
            yield from _parameter_changes(documents, operation, old, new)
            yield from _body_changes(documents, operation, old, new)
            yield from _response_changes(documents, operation, old, new)


def _parameter_changes(documents: Documents, operation: str, old: Schema, new: Schema) -> Iterator[str]:
    old_parameters = _by_name(map(documents.resolve_old, old.get("parameters", ())))
    new_parameters = _by_name(map(documents.resolve_new, new.get("parameters", ())))
    for key, parameter in old_parameters.items():
        if key not in new_parameters:
            yield f"{operation}: the parameter {key} was removed"
        else:
            schemas = parameter.get("schema", {}), new_parameters[key].get("schema", {})
            yield from request_schema_changes(documents, f"{operation}: {key}", *schemas)
    for key, parameter in new_parameters.items():
        if parameter.get("required") and not old_parameters.get(key, {}).get("required"):
            yield f"{operation}: the parameter {key} became required"


def _by_name(parameters: Iterator[Schema]) -> dict[str, Schema]:
    return {f"{parameter['name']} ({parameter['in']})": parameter for parameter in parameters}


def _body_changes(documents: Documents, operation: str, old: Schema, new: Schema) -> Iterator[str]:
    old_body = documents.resolve_old(old.get("requestBody", {}))
    new_body = documents.resolve_new(new.get("requestBody", {}))
    if new_body.get("required") and not old_body.get("required"):
        yield f"{operation}: a body became required"
    for media_type, old_content in old_body.get("content", {}).items():
        if media_type not in new_body.get("content", {}):
            yield f"{operation}: a body of {media_type} is no longer accepted"
        else:
            schemas = old_content.get("schema", {}), new_body["content"][media_type].get("schema", {})
            yield from request_schema_changes(documents, f"{operation}: {media_type}", *schemas)


def _response_changes(documents: Documents, operation: str, old: Schema, new: Schema) -> Iterator[str]:
    for status, reference in old.get("responses", {}).items():
        if status not in new.get("responses", {}):
            yield f"{operation}: the response {status} was removed"
            continue
        old_response, new_response = documents.resolve_old(reference), documents.resolve_new(new["responses"][status])
        for header in sorted(old_response.get("headers", {}).keys() - new_response.get("headers", {}).keys()):
            yield f"{operation}: {status} lost the header {header}"
        for media_type, old_content in old_response.get("content", {}).items():
            if media_type not in new_response.get("content", {}):
                yield f"{operation}: {status} is no longer available as {media_type}"
            else:
                schemas = old_content.get("schema", {}), new_response["content"][media_type].get("schema", {})
                yield from response_schema_changes(documents, f"{operation}: {status}", *schemas)
