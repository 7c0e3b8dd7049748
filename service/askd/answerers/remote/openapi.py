"""Another askd's OpenAPI document, read for what its answerer tells of itself. Pure; what is odd in it is left out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from service.models import Contract, Parameter

_COMPONENT: Final = "#/components/schemas/"
_DEPTH: Final = 32
_QUESTION: Final = "q"
_THREAD: Final = "thread"
"""Parameters that askd itself has; the latter only where it holds conversations."""


class Told(Mapping[str, Any]):
    """A document's object, which has an empty one for each name that leads nowhere."""

    def __init__(self, value: Any) -> None:
        self._value: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    def __getitem__(self, name: str) -> Any:
        return self._value[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def at(self, *path: str) -> "Told":
        """Return the object at the end of a path of names."""
        value: Any = self._value
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return Told(value)

    def text(self, name: str) -> str:
        """Return a text, empty where there is none."""
        value = self._value.get(name)
        return value if isinstance(value, str) else ""

    def objects(self, name: str) -> list["Told"]:
        """Return a list's objects."""
        value = self._value.get(name)
        return [Told(each) for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def contract_of(document: Any) -> Contract:
    """Return the contract of the operation `GET /ask`; what the document does not say has the default."""
    told = Told(document)
    ask, schemas = told.at("paths", "/ask", "get"), told.at("components", "schemas")
    given = [each for each in ask.objects("parameters") if each.get("in") == "query"]
    ours = {_QUESTION, "", *([_THREAD] if conversational(document) else [])}
    return Contract(
        summary=ask.text("summary") or Contract().summary,
        description=ask.text("description"),
        parameters=[_parameter(each, schemas) for each in given if each.text("name") not in ours],
        answer_schema=_closed(schemas["Answer"], schemas) if schemas.at("Answer") else None,
        examples=[text for each in given if each.get("name") == _QUESTION for text in _examples(each)],
    )


def conversational(document: Any) -> bool:
    """Whether the other askd remembers what was asked in a thread."""
    return Told(document).at("x-answerer").get("conversational") is True


def about(document: Any) -> tuple[str, bool]:
    """Return what is served there, for people, and whether it streams."""
    told = Told(document)
    return told.at("info").text("title"), told.at("x-answerer").get("streams") is True


def _parameter(given: Told, schemas: Told) -> Parameter:
    return Parameter(
        name=given.text("name"),
        schema=_closed(dict(given.at("schema")), schemas),
        required=given.get("required") is True,
        description=given.text("description"),
    )


def _examples(given: Told) -> list[str]:
    return [text for name in given.at("examples") if (text := given.at("examples", name).text("value"))]


def _closed(schema: Any, schemas: Told) -> dict[str, Any]:
    """Return a schema that stands by itself: the components that it refers to become `$defs`."""
    used: dict[str, Any] = {}
    found = _moved(schema, schemas, used, _DEPTH)
    return {**found, "$defs": used} if used else dict(found)


def _moved(value: Any, schemas: Told, used: dict[str, Any], depth: int) -> Any:
    if depth == 0:
        return {}
    if isinstance(value, Mapping):
        return {str(name): _moved(inner, schemas, used, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, schemas, used, depth - 1) for inner in value]
    if not isinstance(value, str) or not value.startswith(_COMPONENT):
        return value
    name = value.removeprefix(_COMPONENT)
    if name not in used:
        used[name] = {}  # first, for schemas that refer to themselves
        used[name] = _moved(schemas.get(name, {}), schemas, used, depth - 1)
    return f"#/$defs/{name}"
