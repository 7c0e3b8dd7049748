"""OpenAPI paths of the further formats: MCP at `/mcp`, and OpenAI's chat completions at `/v1`.

Both have specifications of their own, which these descriptions do not repeat.
"""

from typing import Any, Final

import msgspec

from askd.api.formats.mcp_messages import McpMessage
from askd.api.formats.openai_request import ChatCompletionRequest
from askd.api.openapi import components
from askd.config import Settings

TAG_DESCRIPTIONS: Final = {
    "mcp": "The answerer as a tool of agents: Model Context Protocol, revisions 2026-07-28, 2025-11-25 and 2025-06-18.",
    "openai": "The answerer as a model of chat clients: OpenAI's chat completions.",
}
_TEXT: Final = {"type": "string"}
_RPC_RESPONSE_SCHEMA: Final = {
    "type": "object",
    "description": "A JSON-RPC 2.0 response: `result` or `error`.",
    "properties": {
        "jsonrpc": {"type": "string", "const": "2.0"},
        "id": {"type": ["string", "integer"]},
        "result": {"type": "object"},
        "error": {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "message": _TEXT, "data": {}},
            "required": ["code", "message"],
        },
    },
    "required": ["jsonrpc"],
}
_CHAT_COMPLETION_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "object": {"type": "string", "const": "chat.completion"},
        "created": {"type": "integer"},
        "model": _TEXT,
        "choices": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": 1},
        "usage": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["id", "object", "created", "model", "choices", "usage"],
}
_MODELS_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "object": {"type": "string", "const": "list"},
        "data": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["object", "data"],
}
_CHAT_ERROR_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"message": _TEXT, "type": _TEXT, "param": {"type": ["string", "null"]}, "code": _TEXT},
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
_REQUEST_TYPES: Final = {"mcp": McpMessage, "openai": ChatCompletionRequest}
_EVENTS: Final = {"text/event-stream": {"schema": _TEXT}}


def build_schemas(settings: Settings) -> dict[str, Any]:
    """Return the schemas of the requests, from the types into which they are parsed, by name."""
    types = [request_type for name, request_type in _REQUEST_TYPES.items() if name in settings.formats]
    return msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")[1]


def build_path_items(settings: Settings) -> dict[str, Any]:
    """Return the path items of the formats that are served."""
    security = components.security_requirement(requires_token=settings.tokens_file is not None)
    path_items: dict[str, Any] = {}
    if "mcp" in settings.formats:
        summary = "Send one message of the Model Context Protocol."
        post = _operation("mcp", "mcp", summary, _RPC_RESPONSE_SCHEMA, _RPC_RESPONSE_SCHEMA, body=McpMessage)
        post["responses"]["202"] = {"description": "A notification was accepted."}
        path_items["/mcp"] = {"post": {**post, **security}}
    if "openai" in settings.formats:
        complete = _operation(
            "openai",
            "createChatCompletion",
            "Answer the last message of a conversation.",
            _CHAT_COMPLETION_SCHEMA,
            _CHAT_ERROR_SCHEMA,
            body=ChatCompletionRequest,
        )
        models = _operation("openai", "listModels", "List the models.", _MODELS_SCHEMA, _CHAT_ERROR_SCHEMA)
        path_items["/v1/chat/completions"] = {"post": {**complete, **security}}
        path_items["/v1/models"] = {"get": {**models, **security}}
    return path_items


def _operation(
    tag: str,
    operation_id: str,
    summary: str,
    schema: dict[str, Any],
    error_schema: dict[str, Any],
    *,
    body: type | None = None,
) -> dict[str, Any]:
    """Return an operation whose errors have a format of their own; only one with a body has streams."""
    error = {"description": "An error in the format of this protocol.", "content": _json(error_schema)}
    content = _json(schema) if body is None else {**_json(schema), **_EVENTS}
    body_schema = {"$ref": f"#/components/schemas/{body.__name__}"} if body else {}
    request = {"requestBody": {"required": True, "content": _json(body_schema)}} if body else {}
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        **request,
        "responses": {"200": {"description": "Success.", "content": content}, "4XX": error, "5XX": error},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
