"""OpenAPI paths: `/ask`, the documentation routes, and the ops endpoints unless they have a separate port."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from askd.api.openapi import components, problems
from askd.api.openapi.formats import TAG_DESCRIPTIONS
from askd.config import Settings
from askd.errors import Unavailable
from askd.models import Contract, Parameter

_EVENT_STREAM_SCHEMA: Final = {
    "type": "string",
    "description": "Server-sent events: any number of `delta` events (data: the next piece of the text as a JSON "
    "string), then one `answer` event (data: the complete answer object) or one `error` event (data: a problem).",
}
_BODY_MEDIA_TYPES: Final = ("application/json", "application/x-www-form-urlencoded")
_TEXT_CONTENT: Final = {"schema": {"type": "string"}}
COLLAPSED_TAGS: Final = {"about", "ops"}
"""Tags whose operations few readers need. The API reference shows them on demand."""
_PROBES: Final = {
    "livez": "Liveness: whether the process is alive.",
    "healthz": "Alias of `/livez`.",
    "readyz": "Readiness: whether the server accepts questions.",
    "startupz": "Startup: whether the answerer has been loaded.",
}
_VERBOSE_PARAMETER: Final = {
    "name": "verbose",
    "in": "query",
    "description": "Include the individual checks in the response. The value is ignored and may be empty.",
    "schema": {},
}


def build_path_item(
    contract: Contract,
    answerer_info: Mapping[str, Any],
    parameters: Sequence[Parameter],
    *,
    max_length: int,
    max_body_size: int,
    requires_token: bool,
    is_rate_limited: bool,
    name: str = "",
) -> dict[str, Any]:
    """Return the path item of `/ask` or `/ask/NAME`.

    Args:
        contract: Contract of the answerer.
        answerer_info: The document's `x-answerer`.
        parameters: Parameters besides `q`.
        max_length: Maximum length of a question in characters.
        max_body_size: Maximum size of a body in bytes.
        requires_token: Whether clients must send a token.
        is_rate_limited: Whether clients have a rate limit.
        name: Name of the answerer; empty for that at `/ask`.
    """
    # Only user code can reject a question with a status code of its choice.
    allows_custom_status = answerer_info["kind"] != "book"
    security = components.security_requirement(requires_token=requires_token)
    get = {
        **_common_fields(components.schema_name("ask", name), contract),
        **security,
        "parameters": [
            _question_parameter(contract, max_length),
            *map(_query_parameter, parameters),
            *_header_parameters(answerer_info),
        ],
        "responses": _build_responses(
            answerer_info,
            name,
            allows_custom_status=allows_custom_status,
            has_body=False,
            requires_token=requires_token,
            is_rate_limited=is_rate_limited,
        ),
    }
    not_revalidated = {**answerer_info, "deterministic": False}  # POST responses have no ETag
    post = {
        **_common_fields(components.schema_name("askWithBody", name), contract),
        **security,
        "parameters": _header_parameters(not_revalidated),
        "requestBody": _request_body(
            contract, parameters, max_body_size, schema=components.schema_name("Question", name)
        ),
        "responses": _build_responses(
            not_revalidated,
            name,
            allows_custom_status=allows_custom_status,
            has_body=True,
            requires_token=requires_token,
            is_rate_limited=is_rate_limited,
        ),
    }
    return {"get": get, "post": post}


def _common_fields(operation_id: str, contract: Contract) -> dict[str, Any]:
    description = {"description": contract.description} if contract.description else {}
    return {"operationId": operation_id, "tags": ["questions"], "summary": contract.summary, **description}


def _question_parameter(contract: Contract, max_length: int) -> dict[str, Any]:
    question = components.question_property(contract, max_length)
    parameter = {
        "name": "q",
        "in": "query",
        "required": contract.question.required,
        "description": question["description"],
        "schema": question["schema"],
    }
    examples = [text for text in contract.examples if 1 <= len(text) <= max_length]
    return {**parameter, "examples": _examples(examples)} if examples else parameter


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    description = {"description": parameter.description} if parameter.description else {}
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        **description,
        "schema": parameter.schema,
    }


def _header_parameters(answerer_info: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ["RequestId", "Traceparent", *(["IfNoneMatch"] if answerer_info["deterministic"] else [])]
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _request_body(
    contract: Contract, parameters: Sequence[Parameter], max_body_size: int, *, schema: str
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    # An example without a required parameter would be rejected, and its valid values are not known here.
    if contract.examples and not any(parameter.required for parameter in parameters):
        content["examples"] = _examples([{"q": text} for text in contract.examples])
    return {
        "required": True,
        "description": f"The question and its parameters, in UTF-8. Maximum size: {max_body_size} bytes.",
        "content": dict.fromkeys(_BODY_MEDIA_TYPES, content),
    }


def _examples(values: Sequence[Any]) -> dict[str, Any]:
    return {f"example{number}": {"value": value} for number, value in enumerate(values, 1)}


def _build_responses(
    answerer_info: Mapping[str, Any],
    name: str,
    *,
    allows_custom_status: bool,
    has_body: bool,
    requires_token: bool,
    is_rate_limited: bool,
) -> dict[str, Any]:
    header_components = {"X-Request-Id": "RequestId", "Server-Timing": "ServerTiming", "X-Served-By": "ServedBy"}
    if is_rate_limited:
        header_components |= problems.RATE_LIMIT_HEADERS
    if answerer_info["deterministic"]:
        header_components["ETag"] = "ETag"
    headers = {name: {"$ref": f"#/components/headers/{component}"} for name, component in header_components.items()}
    responses = {"200": {"description": "The answer.", "headers": headers, "content": _answer_content(name)}}
    if answerer_info["deterministic"]:
        responses["304"] = {"description": "Not modified: the answer with this `ETag` is current.", "headers": headers}
    return {
        **responses,
        **problems.ask_responses(
            has_body=has_body,
            allows_custom_status=allows_custom_status,
            requires_token=requires_token,
            is_rate_limited=is_rate_limited,
        ),
    }


def _answer_content(name: str) -> dict[str, Any]:
    return {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{components.schema_name('Answer', name)}"}},
        "text/plain": {"schema": {"type": "string", "description": "The text of the answer, followed by a newline."}},
        "text/event-stream": {"schema": _EVENT_STREAM_SCHEMA},
    }


def build_tags(settings: Settings) -> dict[str, str]:
    """Return the tags in use and their descriptions, in the order of the API reference: collapsed ones last."""
    formats = {"ask": ("questions", "Send a question, get an answer.")}
    formats |= {name: (name, text) for name, text in TAG_DESCRIPTIONS.items()}
    tags = dict(tag for name, tag in formats.items() if name in settings.formats)
    tags["about"] = "Pages and documents about this server."
    return tags if settings.ops_port is not None else {**tags, "ops": "Health checks and metrics for the platform."}


def build_other_path_items(settings: Settings, *, has_several: bool = False) -> dict[str, Any]:
    """Return the path items of all paths except `/ask`; `has_several` adds the home pages of several answerers."""
    get = partial(_get_path_item, requires_token=settings.docs_require_token)
    path_items = {
        "/": get("home", "The home page, or name, version and links as JSON.", _html_or_json_content("Service")),
        "/docs": get("docs", "The API reference as HTML, or this document as JSON.", _html_or_json_content(None)),
        **({"/answerers/{name}": _answerer_page_item(settings)} if has_several else {}),
        "/openapi.json": get("openapi", "This document.", {"application/json": {"schema": {"type": "object"}}}),
    }
    return path_items if settings.ops_port is not None else {**path_items, **_ops_path_items(settings)}


def _answerer_page_item(settings: Settings) -> dict[str, Any]:
    content = {"text/html": _TEXT_CONTENT}
    summary = "The home page of one answerer."
    item = _get_path_item("answererHome", summary, content, requires_token=settings.docs_require_token)
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    item["get"]["parameters"] = [name, *item["get"]["parameters"]]
    return item


def _get_path_item(operation_id: str, summary: str, content: dict[str, Any], *, requires_token: bool) -> dict[str, Any]:
    operation = _operation("about", operation_id, summary, content, requires_token=requires_token)
    if "text/html" in content:
        # Only pages have an ETag: the JSON is hardly larger than a 304 response.
        operation["parameters"] = [{"$ref": "#/components/parameters/IfNoneMatch"}]
        operation["responses"]["304"] = {"description": "Not modified: the page with this `ETag` is current."}
    return {"get": operation}


def _html_or_json_content(schema: str | None) -> dict[str, Any]:
    json_schema = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    return {"text/html": _TEXT_CONTENT, "application/json": {"schema": json_schema}}


def _ops_path_items(settings: Settings) -> dict[str, Any]:
    # The platform connects to pods directly, so the path prefix does not apply.
    servers = {"servers": [{"url": "/"}]} if settings.prefix else {}
    metrics = dict.fromkeys(("text/plain", "application/openmetrics-text"), _TEXT_CONTENT)
    metrics_operation = _operation("ops", "metrics", "Metrics in the Prometheus or OpenMetrics format.", metrics)
    path_items = {"/metrics": {**servers, "get": metrics_operation}}
    for name, summary in _PROBES.items():
        path_items[f"/{name}"] = {**servers, "get": _probe_operation(name, summary)}
    return path_items


def _probe_operation(name: str, summary: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}
    operation = _operation("ops", name, summary, content)
    operation["parameters"] = [_VERBOSE_PARAMETER]
    operation["responses"]["503"] = problems.response_reference(Unavailable)
    return operation


def _operation(
    tag: str, operation_id: str, summary: str, content: dict[str, Any], *, requires_token: bool = False
) -> dict[str, Any]:
    responses = {
        "200": {"description": "Success.", "content": content},
        **problems.common_responses(requires_token=requires_token),
    }
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        **components.security_requirement(requires_token=requires_token),
        "responses": responses,
    }
