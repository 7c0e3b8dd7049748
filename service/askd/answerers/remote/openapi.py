"""Parses the OpenAPI document of another askd into a contract. Invalid parts of the document are ignored."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from askd.models import Contract, Parameter

_COMPONENT_PREFIX: Final = "#/components/schemas/"
_MAX_SCHEMA_DEPTH: Final = 32
_QUESTION_PARAMETER: Final = "q"
"""Built-in parameter for the question's text."""
_THREAD_PARAMETER: Final = "thread"
"""Built-in parameter of answerers that support threads; otherwise an answerer's own parameter can have this name."""


class JsonObject(Mapping[str, Any]):
    """A JSON object whose lookups never fail: values that are missing or not an object become an empty object."""

    def __init__(self, value: Any) -> None:
        self._value: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    def __getitem__(self, name: str) -> Any:
        return self._value[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def get_object(self, *path: str) -> "JsonObject":
        """Return the object at this path of names."""
        value: Any = self._value
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return JsonObject(value)

    def get_text(self, name: str) -> str:
        """Return the string with this name, or an empty string."""
        value = self._value.get(name)
        return value if isinstance(value, str) else ""

    def get_objects(self, name: str) -> list["JsonObject"]:
        """Return the objects in the list with this name."""
        value = self._value.get(name)
        return [JsonObject(item) for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def parse_contract(document: Any, path: str = "/ask") -> Contract:
    """Return the contract of the operation `GET` at a path, with defaults for missing parts."""
    root = JsonObject(document)
    operation, schemas = root.get_object("paths", path, "get"), root.get_object("components", "schemas")
    answer = operation.get_object("responses", "200", "content", "application/json", "schema")
    parameters = [parameter for parameter in operation.get_objects("parameters") if parameter.get("in") == "query"]
    built_in = {_QUESTION_PARAMETER, "", *([_THREAD_PARAMETER] if supports_threads(document, path) else [])}
    return Contract(
        summary=operation.get_text("summary") or Contract().summary,
        description=operation.get_text("description"),
        parameters=[
            _parse_parameter(parameter, schemas)
            for parameter in parameters
            if parameter.get_text("name") not in built_in
        ],
        answer_schema=_bundle_schema(_resolve(answer, schemas), schemas) if answer else None,
        examples=[
            text
            for parameter in parameters
            if parameter.get("name") == _QUESTION_PARAMETER
            for text in _parse_examples(parameter)
        ],
    )


def supports_threads(document: Any, path: str = "/ask") -> bool:
    """Return whether the other askd's answerer supports threads."""
    return _get_answerer(document, path).get("conversational") is True


def parse_title_and_streaming(document: Any, path: str = "/ask") -> tuple[str, bool]:
    """Return the title of the API, or the name of one of several answerers, and whether it supports streaming."""
    answerer = _get_answerer(document, path)
    title = JsonObject(document).get_object("info").get_text("title")
    return title if path == "/ask" else answerer.get_text("name"), answerer.get("streams") is True


def _get_answerer(document: Any, path: str) -> JsonObject:
    root = JsonObject(document)
    return root.get_object("x-answerers", path) if path != "/ask" else root.get_object("x-answerer")


def _resolve(schema: JsonObject, schemas: JsonObject) -> Mapping[str, Any]:
    """Return the component that a schema refers to, or the schema itself."""
    name = schema.get_text("$ref").removeprefix(_COMPONENT_PREFIX)
    return dict(schemas.get_object(name) if name else schema)


def _parse_parameter(parameter: JsonObject, schemas: JsonObject) -> Parameter:
    return Parameter(
        name=parameter.get_text("name"),
        schema=_bundle_schema(dict(parameter.get_object("schema")), schemas),
        required=parameter.get("required") is True,
        description=parameter.get_text("description"),
    )


def _parse_examples(parameter: JsonObject) -> list[str]:
    texts = (parameter.get_object("examples", name).get_text("value") for name in parameter.get_object("examples"))
    return [text for text in texts if text]


def _bundle_schema(schema: Any, schemas: JsonObject) -> dict[str, Any]:
    """Return a self-contained schema: the components that it refers to become `$defs`."""
    definitions: dict[str, Any] = {}
    bundled = _rewrite_refs(schema, schemas, definitions, _MAX_SCHEMA_DEPTH)
    return {**bundled, "$defs": definitions} if definitions else dict(bundled)


def _rewrite_refs(value: Any, schemas: JsonObject, definitions: dict[str, Any], depth: int) -> Any:
    if depth == 0:
        return {}
    if isinstance(value, Mapping):
        return {str(name): _rewrite_refs(inner, schemas, definitions, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rewrite_refs(inner, schemas, definitions, depth - 1) for inner in value]
    if not isinstance(value, str) or not value.startswith(_COMPONENT_PREFIX):
        return value
    name = value.removeprefix(_COMPONENT_PREFIX)
    if name not in definitions:
        definitions[name] = {}  # a placeholder ends the recursion of schemas that refer to themselves
        definitions[name] = _rewrite_refs(schemas.get(name, {}), schemas, definitions, depth - 1)
    return f"#/$defs/{name}"
