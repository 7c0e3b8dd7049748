"""One MCP request, and the encoding of its response: a result, an event of a stream, or a JSON-RPC error."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from aiohttp import web
from msgspec import UNSET

from askd import __version__
from askd.api import rendering
from askd.api.formats import mcp_messages
from askd.api.formats.mcp_messages import McpError, McpMessage
from askd.api.streaming import STREAM_HEADERS
from askd.context import RequestContext
from askd.errors import Problem
from askd.httpserver.negotiation import STREAM

SERVER_INFO: Final = {"name": "askd", "version": __version__}
MESSAGE_ID: Final = web.RequestKey("mcp_message_id", object)
"""Id of the message that a request carries; missing until it is known."""
_RESULT_META: Final = {"io.modelcontextprotocol/serverInfo": SERVER_INFO}


class McpRequest(NamedTuple):
    """A request of MCP."""

    http: web.Request
    context: RequestContext
    message: McpMessage
    is_modern: bool
    """Whether it is one of the revision 2026-07-28."""
    media_type: str
    """JSON, or STREAM if the client accepts nothing else."""

    def invalid_params(self, name: str, detail: str) -> McpError:
        """Return the error for a parameter. Older clients take every HTTP status but 200 for a broken server."""
        status = HTTPStatus.BAD_REQUEST if self.is_modern else HTTPStatus.OK
        return McpError(name, detail, mcp_messages.INVALID_PARAMS, status=status)

    def encode_result(self, result: Mapping[str, Any]) -> bytes:
        """Return the message with a result. Raises AnswererFailed if it cannot be serialized."""
        if self.is_modern:
            result = {"resultType": "complete", "_meta": _RESULT_META, **result}
        return rendering.encode_json({"jsonrpc": "2.0", "id": self.message.id, "result": result})

    def respond(self, result: Mapping[str, Any]) -> web.Response:
        """Return the response with a result: JSON, or one event if the client accepts nothing else."""
        body = self.encode_result(result)
        if self.media_type == STREAM:
            return web.Response(body=encode_event(body), headers=STREAM_HEADERS)
        return rendering.json_response(body)


def encode_event(message: bytes) -> bytes:
    """Return a message as a server-sent event."""
    return rendering.encode_sse_event("message", message)


def encode_problem(request: web.Request, error: Problem, members: Mapping[str, Any]) -> bytes:
    """Return a JSON-RPC error. Its code is the HTTP status, unless JSON-RPC or MCP define one for the problem."""
    if isinstance(error, McpError):
        code, data = error.rpc_code, error.data
    else:
        is_internal = error.status == HTTPStatus.INTERNAL_SERVER_ERROR
        code, data = mcp_messages.INTERNAL_ERROR if is_internal else int(error.status), members
    message_id = request.get(MESSAGE_ID, UNSET)
    fields = {"code": code, "message": error.detail, **({} if data is None else {"data": data})}
    return rendering.encode_json(
        {"jsonrpc": "2.0", **({} if message_id is UNSET else {"id": message_id}), "error": fields}
    )
