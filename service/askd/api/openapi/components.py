"""OpenAPI components: schemas, request headers, response headers and security schemes."""

import re
from collections.abc import Mapping
from typing import Any, Final

from askd.models import Contract, Parameter

_LOCAL_REF_PREFIX: Final = "#/$defs/"


def _header(description: str, schema_type: str = "string", **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": schema_type, **schema}}


HEADERS: Final[dict[str, Any]] = {
    "RequestId": _header("The id of the request, as in the server's log."),
    "ServerTiming": _header(
        "Milliseconds spent in each stage: `auth`, `rate_limit`, `cache`, `queue`, `answerer` and `render` if the "
        "request passed through them, and `total`."
    ),
    "ServedBy": _header("The server instance that sent the response."),
    "ETag": _header("Version of the answer. Send it as `If-None-Match` to get 304 if the answer has not changed."),
    "RateLimit": _header(
        "Remaining quota: `r` is the number of questions that you may send at once, `t` the seconds until the quota is "
        "full again; in a 429 response, `t` is the seconds until you may send the next question."
    ),
    "RateLimitPolicy": _header(
        "Rate limit: `q` questions per `w` seconds. `askd-burst` is the number of questions that may be sent at once "
        "if it differs from `q`."
    ),
    "RetryAfter": _header("Seconds to wait before you try again.", "integer", minimum=0),
}


def _parameter(name: str, description: str) -> dict[str, Any]:
    # The schema has no pattern, because malformed headers are ignored rather than rejected.
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


PARAMETERS: Final[dict[str, Any]] = {
    "RequestId": _parameter(
        "X-Request-Id", "Id for the request: 1 to 128 URL-safe characters. A malformed id is replaced."
    ),
    "Traceparent": _parameter("traceparent", "Trace that the request belongs to (W3C Trace Context)."),
    "IfNoneMatch": _parameter(
        "If-None-Match", "`ETag` of a stored response. The response is 304 if it is still current."
    ),
}

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Bearer token (RFC 6750), issued by the operator of this server.",
    }
}


def security_requirement(*, requires_token: bool) -> dict[str, Any]:
    """Return the `security` member of an operation; empty if it does not require a token."""
    return {"security": [{"bearer": []}]} if requires_token else {}


_CHECK_SCHEMA: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ok": {"type": "boolean"}, "detail": {"type": "string"}},
    "required": ["name", "ok", "detail"],
}
_HEALTH_SCHEMA: Final = {
    "type": "object",
    "description": "A successful health check.",
    "properties": {
        "status": {"type": "string", "const": "ok"},
        "checks": {"type": "array", "items": _CHECK_SCHEMA, "description": "Individual checks; only with `verbose`."},
    },
    "required": ["status"],
}
_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "Link to the documentation of the problem; the fragment is its code.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What is wrong and how to fix it."},
        "instance": {"type": "string", "format": "uri-reference", "description": "Path of the request."},
        "request_id": {"type": "string", "description": "Id of the request, as in the server's log."},
        "parameter": {"type": "string", "description": "The invalid parameter; the first one if there are several."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"parameter": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["parameter", "detail"],
            },
            "description": "The invalid parameters, if there are several.",
        },
        "suggestions": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Similar questions that have an answer.",
        },
        "interrupt": {"description": "Input that the graph needs before it can continue, as arbitrary JSON."},
        "checks": {"type": "array", "items": _CHECK_SCHEMA, "description": "Individual checks of a health check."},
    },
    "required": ["type", "title", "status"],
}
_ANSWER_SCHEMA: Final = {
    "type": "object",
    "description": "The answer. The object may have more fields.",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
_SERVICE_SCHEMA: Final = {
    "type": "object",
    "description": "Name and version of this server, and links to its routes.",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "instance": {"type": "string"},
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name", "version", "instance", "links"],
}
_THREAD_PARAMETER: Final = Parameter(
    name="thread",
    schema={"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[^\u0000-\u001f\u007f]+$"},
    description="Id of the conversation that the question belongs to, chosen by the client. Without it, the question "
    "does not belong to a conversation.",
)


COMMON_SCHEMAS: Final[dict[str, Any]] = {
    "Problem": _PROBLEM_SCHEMA,
    "Service": _SERVICE_SCHEMA,
    "Health": _HEALTH_SCHEMA,
}
"""Schemas that do not depend on the answerer."""


def build_schemas(
    contract: Contract, max_length: int, *, supports_threads: bool, name: str = ""
) -> tuple[dict[str, Any], list[Parameter]]:
    """Return the schemas of an answerer, and the contract's parameters with schemas that refer to them.

    Args:
        contract: Contract of the answerer.
        max_length: Maximum length of a question in characters.
        supports_threads: Whether to add the parameter `thread`.
        name: Name of the answerer at `/ask/NAME`; empty for that at `/ask`.
    """
    definitions: dict[str, Any] = {}
    reserved = {"q": None, **({_THREAD_PARAMETER.name: _THREAD_PARAMETER} if supports_threads else {})}
    parameters = [
        Parameter(
            name=parameter.name,
            schema=_hoist_definitions(parameter.schema, schema_name(f"parameter.{parameter.name}", name), definitions),
            required=parameter.required,
            description=parameter.description,
        )
        for parameter in contract.parameters
        if parameter.name not in reserved
    ] + [parameter for parameter in reserved.values() if parameter]
    answer_name = schema_name("Answer", name)
    answer = _hoist_definitions(contract.answer_schema or _ANSWER_SCHEMA, answer_name, definitions)
    return {
        schema_name("Question", name): _question_schema(contract, parameters, max_length),
        answer_name: answer,
        **definitions,
    }, parameters


def schema_name(schema: str, name: str) -> str:
    """Return the name of a schema of the answerer with this name; `Answer.support`, or `Answer` for an empty name."""
    return _component_name(schema, name) if name else schema


def question_property(contract: Contract, max_length: int) -> dict[str, Any]:
    """Return the schema and the description of `q`. A question that is text must not be blank."""
    form = contract.question
    schema = {"type": "string", "minLength": 1, "maxLength": max_length, "pattern": r"\S"}
    also = f" It may also be sent as `{form.name}`." if form.name != "q" else ""
    if form.accepts_json:
        also += f" In a JSON body, another value than text is {'passed as it is' if form.passes_json else 'its JSON'}."
    return {
        "schema": schema if form.schema is None else dict(form.schema),
        "description": f"{form.description or 'The question.'}{also}",
    }


def _question_schema(contract: Contract, parameters: list[Parameter], max_length: int) -> dict[str, Any]:
    question = question_property(contract, max_length)
    properties: dict[str, Any] = {"q": {**question["schema"], "description": question["description"]}}
    for parameter in parameters:
        description = {"description": parameter.description} if parameter.description else {}
        properties[parameter.name] = {**parameter.schema, **description}
    required = ["q"] if contract.question.required else []
    unknown = "ignored" if contract.allows_unknown_parameters else "rejected"
    return {
        "type": "object",
        "description": f"The question and its parameters. Unknown parameters are {unknown}.",
        "properties": properties,
        "required": [*required, *(parameter.name for parameter in parameters if parameter.required)],
        **({} if contract.allows_unknown_parameters else {"additionalProperties": False}),
    }


def _hoist_definitions(schema: Mapping[str, Any], owner: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Move the `$defs` of a schema to `definitions`, which become components.

    In OpenAPI `#` refers to the whole document, so references to local `$defs` would not resolve.
    """
    for name, inner in schema.get("$defs", {}).items():
        definitions[_component_name(owner, name)] = _rewrite_references(inner, owner)
    return {key: _rewrite_references(inner, owner) for key, inner in schema.items() if key != "$defs"}


def _rewrite_references(value: Any, owner: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _rewrite_references(inner, owner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rewrite_references(inner, owner) for inner in value]
    if isinstance(value, str) and value.startswith(_LOCAL_REF_PREFIX):
        return f"#/components/schemas/{_component_name(owner, value.removeprefix(_LOCAL_REF_PREFIX))}"
    return value


def _component_name(owner: str, name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{owner}.{name}")
