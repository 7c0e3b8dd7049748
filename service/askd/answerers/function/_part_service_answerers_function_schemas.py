"""JSON Schema of types, and of what a function is annotated to return."""

import dataclasses
import types
import typing
from collections.abc import AsyncIterable, Iterator, Mapping
from typing import Annotated, Any, Union

import msgspec

from service.errors import LoadError


def answer_schema(annotation: Any, *, name: str) -> dict[str, Any] | None:
    """Return the schema of the answer object that a function annotated with `-> annotation` returns.

    None where the annotation says no more than askd knows: none, str, a mapping, a generator. Raises LoadError for a
    class that has no `answer`, or one that is no text.
    """
    kind = _class_within(annotation)
    if kind is None:
        return None
    schema = _schema(kind, name)
    answer = schema.get("properties", {}).get("answer")
    if answer is None:
        raise LoadError(f"{name} returns {kind.__name__}, which has no field `answer`: add `answer: str`")
    if "type" in answer and answer["type"] != "string":
        raise LoadError(f"{name} returns {kind.__name__}, whose `answer` is no str: make it `answer: str`")
    return schema


def is_stream(annotation: Any) -> bool:
    """Whether `-> annotation` says that the answer comes piece by piece."""
    kind = typing.get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, AsyncIterable | Iterator)


def _class_within(annotation: Any) -> Any:
    """Return the one class of an object-like answer that is in the annotation."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _class_within(typing.get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        kinds = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        return _class_within(kinds[0]) if len(kinds) == 1 else None
    return annotation if _has_fields(origin or annotation) else None


def _has_fields(kind: Any) -> bool:
    return isinstance(kind, type) and (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or typing.is_typeddict(kind)
        or hasattr(kind, "model_json_schema")
    )


def _schema(kind: Any, name: str) -> dict[str, Any]:
    try:
        if hasattr(kind, "model_json_schema"):  # pydantic, which is not imported for this
            schema = kind.model_json_schema(mode="serialization")
            return dict(inlined(schema, schema.pop("$defs", {})))
        return schema_of(kind)
    except Exception as fault:
        raise LoadError(f"{name} returns {kind.__name__}, which cannot be described as JSON: {fault}") from fault


def schema_of(kind: Any) -> dict[str, Any]:
    """Return its JSON Schema, without references: it is embedded in documents where `#/$defs` leads elsewhere."""
    schema = msgspec.json.schema(kind)
    return dict(inlined(schema, schema.pop("$defs", {})))


def inlined(schema: Any, definitions: Mapping[str, Any], *, within: tuple[str, ...] = ()) -> Any:
    """Put what a `$ref` leads to in its place; a type that contains itself is just an object the second time."""
    if isinstance(schema, list):
        return [inlined(each, definitions, within=within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema["$ref"].rpartition("/")[2] if isinstance(schema.get("$ref"), str) else None
    if name is None:
        return {k: inlined(v, definitions, within=within) for k, v in schema.items() if k != "discriminator"}
    beside = {k: v for k, v in schema.items() if k != "$ref"}
    if name in within or name not in definitions:
        return {"type": "object", **beside}
    return {**inlined(definitions[name], definitions, within=(*within, name)), **beside}
