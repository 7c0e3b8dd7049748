"""The operations of `/ask`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.models import Contract, Parameter
from service.web.openapi import parts, problems

_STREAM: Final = {
    "type": "string",
    "description": "Server-sent events: `delta` (data: a JSON string, the next piece of the text), then `answer` "
    "(data: the whole answer object), or `error` (data: a problem object).",
}
_BODIES: Final = ("application/json", "application/x-www-form-urlencoded")


def path(
    contract: Contract,
    about: Mapping[str, Any],
    parameters: Sequence[Parameter],
    *,
    max_length: int,
    body_max: int,
    guarded: bool,
    limited: bool,
) -> dict[str, Any]:
    """Return the path item of `/ask`.

    `guarded` tells whether a token is asked for, `limited` whether clients are held to a rate.
    """
    refuses = about["kind"] != "book"
    security = parts.security(guarded=guarded)
    get = {
        **_common("ask", contract),
        **security,
        "parameters": [_question(contract, max_length), *map(_query, parameters), *_headers(about)],
        "responses": _responses(about, refuses=refuses, body=False, guarded=guarded, limited=limited),
    }
    post = {
        **_common("askWithBody", contract),
        **security,
        "parameters": _headers({**about, "deterministic": False}),
        "requestBody": _body(contract, parameters, body_max),
        "responses": _responses(
            {**about, "deterministic": False}, refuses=refuses, body=True, guarded=guarded, limited=limited
        ),
    }
    return {"get": get, "post": post}


def _common(operation: str, contract: Contract) -> dict[str, Any]:
    described = {"description": contract.description} if contract.description else {}
    return {"operationId": operation, "tags": ["questions"], "summary": contract.summary, **described}


def _question(contract: Contract, max_length: int) -> dict[str, Any]:
    schema = parts.text(max_length)
    given = {"name": "q", "in": "query", "required": True, "description": "The question.", "schema": schema}
    found = [text for text in contract.examples if 1 <= len(text) <= max_length]
    return {**given, "examples": _examples(found)} if found else given


def _query(given: Parameter) -> dict[str, Any]:
    described = {"description": given.description} if given.description else {}
    return {"name": given.name, "in": "query", "required": given.required, **described, "schema": given.schema}


def _headers(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ["RequestId", "Traceparent", *(["IfNoneMatch"] if about["deterministic"] else [])]
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _body(contract: Contract, parameters: Sequence[Parameter], body_max: int) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Question"}}
    # What a required parameter takes is the answerer's own; an example without it would be refused.
    if contract.examples and not any(given.required for given in parameters):
        media["examples"] = _examples([{"q": text} for text in contract.examples])
    return {
        "required": True,
        "description": f"The question, in UTF-8, at most {body_max} bytes.",
        "content": dict.fromkeys(_BODIES, media),
    }


def _examples(values: Sequence[Any]) -> dict[str, Any]:
    return {f"example{number}": {"value": value} for number, value in enumerate(values, 1)}


def _responses(about: Mapping[str, Any], *, refuses: bool, body: bool, guarded: bool, limited: bool) -> dict[str, Any]:
    names = {"X-Request-Id": "RequestId", "Server-Timing": "ServerTiming", "X-Served-By": "ServedBy"}
    if limited:
        names |= problems.LIMITED
    if about["deterministic"]:
        names["ETag"] = "ETag"
    headers = {name: {"$ref": f"#/components/headers/{component}"} for name, component in names.items()}
    found = {"200": {"description": "The answer.", "headers": headers, "content": _content()}}
    if about["deterministic"]:
        found["304"] = {"description": "The answer that you have still holds.", "headers": headers}
    return {**found, **problems.of_ask(body=body, refuses=refuses, guarded=guarded, limited=limited)}


def _content() -> dict[str, Any]:
    return {
        "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}},
        "text/plain": {"schema": {"type": "string", "description": "The bare text and a newline."}},
        "text/event-stream": {"schema": _STREAM},
    }
