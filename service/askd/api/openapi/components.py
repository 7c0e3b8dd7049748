"""What operations refer to: schemas, request headers and response headers."""

import re
from collections.abc import Mapping
from typing import Any, Final

from service.models import Contract, Parameter

_LOCAL: Final = "#/$defs/"


def _header(description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind, **schema}}


HEADERS: Final[dict[str, Any]] = {
    "RequestId": _header("The id of this exchange, as in the server's log."),
    "ServerTiming": _header(
        "The stages of the exchange in milliseconds: `auth`, `rate`, `cache`, `queue`, `code`, `render` where passed, "
        "and `total`."
    ),
    "ServedBy": _header("The instance that answered."),
    "ETag": _header("Changes when the answer may have changed; send it back as `If-None-Match`."),
    "RateLimit": _header(
        "What is left of your rate: `r`, questions that you may ask at once now, and `t`, whole seconds until that is "
        "the most it can be; in a 429, until you may ask one."
    ),
    "RateLimitPolicy": _header(
        "Your rate: `q` questions in `w` seconds; `askd-burst` of them at once, where that is not `q` as well."
    ),
    "RetryAfter": _header("Whole seconds after which asking again makes sense.", "integer", minimum=0),
}


def _parameter(name: str, description: str) -> dict[str, Any]:
    # No pattern: what is not well formed is passed over, not refused.
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


PARAMETERS: Final[dict[str, Any]] = {
    "RequestId": _parameter("X-Request-Id", "Your own id for the exchange; one that is not well formed is replaced."),
    "Traceparent": _parameter("traceparent", "The trace that this exchange belongs to (W3C Trace Context)."),
    "IfNoneMatch": _parameter("If-None-Match", "The `ETag` of an answer that you have; 304 when it still holds."),
}

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token that you were given (RFC 6750)."}
}


def security(*, guarded: bool) -> dict[str, Any]:
    """Return what an operation says of the token that it asks for; nothing where it asks for none."""
    return {"security": [{"bearer": []}]} if guarded else {}


_CHECK: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ok": {"type": "boolean"}, "detail": {"type": "string"}},
    "required": ["name", "ok", "detail"],
}
_HEALTH: Final = {
    "type": "object",
    "description": "A probe that is content.",
    "properties": {
        "status": {"type": "string", "const": "ok"},
        "checks": {"type": "array", "items": _CHECK, "description": "What was looked at; only with `verbose`."},
    },
    "required": ["status"],
}
_PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Ends in the problem's code."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "The input, the fault and the mend."},
        "instance": {"type": "string", "format": "uri-reference", "description": "What was requested."},
        "request_id": {"type": "string", "description": "The id under which the log tells more."},
        "parameter": {"type": "string", "description": "The parameter at fault."},
        "suggestions": {"type": "array", "items": {"type": "string"}, "description": "Questions with an answer."},
        "interrupt": {"description": "What the graph asks before it can go on, as JSON of the graph's choice."},
        "checks": {"type": "array", "items": _CHECK, "description": "What a probe looked at."},
    },
    "required": ["type", "title", "status"],
}
_ANSWER: Final = {
    "type": "object",
    "description": "The answer. Other fields may stand beside it.",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
_SERVICE: Final = {
    "type": "object",
    "description": "What this server is and where its parts are.",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "instance": {"type": "string"},
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name", "version", "instance", "links"],
}
_THREAD: Final = Parameter(
    name="thread",
    schema={"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[^\u0000-\u001f\u007f]+$"},
    description="The conversation that the question belongs to, by a name of your choice. Without it, the question "
    "stands alone.",
)


def schemas(contract: Contract, max_length: int, *, threads: bool) -> tuple[dict[str, Any], list[Parameter]]:
    """Return the schema components, and the contract's parameters with schemas that refer to them.

    `threads` adds the one that names a conversation.
    """
    found: dict[str, Any] = {}
    ours = {"q": None, **({_THREAD.name: _THREAD} if threads else {})}
    parameters = [
        Parameter(
            name=given.name,
            schema=_hoist(given.schema, f"parameter.{given.name}", found),
            required=given.required,
            description=given.description,
        )
        for given in contract.parameters
        if given.name not in ours
    ] + [given for given in ours.values() if given]
    answer = _hoist(contract.answer_schema or _ANSWER, "Answer", found)
    return {
        "Question": _question(parameters, max_length),
        "Answer": answer,
        "Problem": _PROBLEM,
        "Service": _SERVICE,
        "Health": _HEALTH,
        **found,
    }, parameters


def text(max_length: int) -> dict[str, Any]:
    """Return the schema of a question's text; blank ones are refused."""
    return {"type": "string", "minLength": 1, "maxLength": max_length, "pattern": r"\S"}


def _question(parameters: list[Parameter], max_length: int) -> dict[str, Any]:
    properties: dict[str, Any] = {"q": {**text(max_length), "description": "The question."}}
    for given in parameters:
        described = {"description": given.description} if given.description else {}
        properties[given.name] = {**given.schema, **described}
    return {
        "type": "object",
        "description": "The question and its parameters. Names that are not listed are passed over.",
        "properties": properties,
        "required": ["q", *(given.name for given in parameters if given.required)],
    }


def _hoist(schema: Mapping[str, Any], owner: str, into: dict[str, Any]) -> dict[str, Any]:
    """Move a schema's `$defs` to components: in OpenAPI `#` is the whole document, so local references lead nowhere."""
    for name, inner in schema.get("$defs", {}).items():
        into[_component(owner, name)] = _plain(inner, owner)
    return {key: _plain(inner, owner) for key, inner in schema.items() if key != "$defs"}


def _plain(value: Any, owner: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, owner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, owner) for inner in value]
    if isinstance(value, str) and value.startswith(_LOCAL):
        return f"#/components/schemas/{_component(owner, value.removeprefix(_LOCAL))}"
    return value


def _component(owner: str, name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{owner}.{name}")
