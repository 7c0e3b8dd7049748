"""JSON-RPC messages of the Model Context Protocol, and the checks of their headers.

Revision 2026-07-28 sends its metadata with each request, in `_meta` and in headers that must agree with the body; it
has neither a handshake nor sessions. The revisions before begin with `initialize`. Most of their servers keep a
session, but a session is optional, and askd has none.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType, field
from multidict import MultiMapping

from askd.errors import BadQuestion

MODERN_VERSION: Final = "2026-07-28"
LEGACY_VERSIONS: Final = ("2025-11-25", "2025-06-18")
SUPPORTED_VERSIONS: Final = (MODERN_VERSION, *LEGACY_VERSIONS)

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

VERSION_HEADER: Final = "MCP-Protocol-Version"
METHOD_HEADER: Final = "Mcp-Method"
NAME_HEADER: Final = "Mcp-Name"
_MAX_SHOWN_CHARACTERS: Final = 100
_ENCODED_PREFIX: Final = "=?base64?"
_ENCODED_SUFFIX: Final = "?="


class McpError(BadQuestion):
    """A message that breaks the protocol.

    Args:
        part: The header or member that is wrong.
        detail: What is wrong, and how to fix it.
        rpc_code: JSON-RPC error code.
        status: HTTP status.
        data: Member `data` of the error.
    """

    def __init__(self, part: str, detail: str, rpc_code: int, *, status: int = 400, data: Any = None) -> None:
        super().__init__(part, detail)
        self.rpc_code = rpc_code
        self.status = status
        self.data = data


class McpMeta(msgspec.Struct):
    """Metadata of a request."""

    version: str | UnsetType = field(name="io.modelcontextprotocol/protocolVersion", default=UNSET)
    capabilities: dict[str, Any] | UnsetType = field(name="io.modelcontextprotocol/clientCapabilities", default=UNSET)
    progress_token: str | int | UnsetType = field(name="progressToken", default=UNSET)
    traceparent: str = ""
    tracestate: str = ""

    @property
    def trace_parent(self) -> dict[str, str]:
        """The parent of the request's trace, as headers."""
        fields = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        return {name: value for name, value in fields.items() if value}

    @property
    def can_elicit(self) -> bool:
        """Whether the client can ask its user to fill in a form."""
        elicitation = self.capabilities.get("elicitation") if self.capabilities is not UNSET else None
        return isinstance(elicitation, dict) and (not elicitation or "form" in elicitation)


class McpParams(msgspec.Struct, rename="camel"):
    """Parameters of all methods."""

    meta: McpMeta = field(name="_meta", default_factory=McpMeta)
    name: str | UnsetType = UNSET
    arguments: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"{}"))
    protocol_version: str | UnsetType = UNSET
    input_responses: dict[str, Any] | UnsetType = UNSET
    request_state: str | UnsetType = UNSET


class McpMessage(msgspec.Struct):
    """A request, or a notification if it has no id."""

    jsonrpc: Literal["2.0"]
    method: str
    id: str | int | UnsetType = UNSET
    params: McpParams = field(default_factory=McpParams)


class _MessageId(msgspec.Struct):
    id: str | int | UnsetType = UNSET


_DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decoder: Final = msgspec.json.Decoder(McpMessage)
_id_decoder: Final = msgspec.json.Decoder(_MessageId)


def parse_message(body: bytes) -> McpMessage:
    """Return the message in a body. Raises McpError."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        code = INVALID_PARAMS if "`$.params" in str(error) else INVALID_REQUEST
        raise McpError(
            "body", f"The body is not a message of MCP: {error}. Send one JSON-RPC 2.0 request.", code
        ) from None
    except _DECODE_ERRORS as error:
        raise McpError(
            "body", f"The body is not valid JSON: {error}. Send one JSON-RPC 2.0 request.", PARSE_ERROR
        ) from None


def find_id(body: bytes) -> str | int | UnsetType:
    """Return the id of a message that is otherwise invalid, so that its error can be assigned to it."""
    try:
        return _id_decoder.decode(body).id
    except _DECODE_ERRORS:
        return UNSET


def check_version(message: McpMessage, headers: Mapping[str, str]) -> bool:
    """Check version, metadata and headers of a request.

    Returns:
        Whether the request is one of the revision 2026-07-28.

    Raises:
        McpError: The request is invalid.
    """
    version, header = message.params.meta.version, headers.get(VERSION_HEADER)
    if version is UNSET and (header is None or header in LEGACY_VERSIONS):
        return False
    if version is UNSET and header != MODERN_VERSION:
        raise _unsupported_version(header)
    if version is UNSET or message.params.meta.capabilities is UNSET:
        raise McpError(
            "_meta",
            "`params._meta` lacks `io.modelcontextprotocol/protocolVersion` or "
            "`io.modelcontextprotocol/clientCapabilities`. Send both with each request.",
            INVALID_PARAMS,
        )
    _compare_header(headers, VERSION_HEADER, version)
    _compare_header(headers, METHOD_HEADER, message.method)
    if message.method == "tools/call":
        _compare_header(headers, NAME_HEADER, message.params.name, is_encoded=True)
    if version != MODERN_VERSION:
        raise _unsupported_version(version)
    return True


def _unsupported_version(version: Any) -> McpError:
    return McpError(
        VERSION_HEADER,
        f"Protocol version {str(version)[:_MAX_SHOWN_CHARACTERS]!r} is not supported. "
        f"Use one of {', '.join(SUPPORTED_VERSIONS)}.",
        UNSUPPORTED_VERSION,
        data={"supported": list(SUPPORTED_VERSIONS), "requested": version},
    )


def _compare_header(
    headers: Mapping[str, str], name: str, expected: str | UnsetType, *, is_encoded: bool = False
) -> None:
    """Raise McpError unless the header is there once and has the value of the body."""
    value = headers.get(name)
    is_repeated = isinstance(headers, MultiMapping) and len(headers.getall(name, ())) > 1
    if value is not None and is_encoded:
        value = _decode_header(value)
    if expected is UNSET or (value == expected and not is_repeated):
        return
    problem = "is missing" if name not in headers else "is repeated" if is_repeated else "differs from the body"
    raise McpError(name, f"The header {name} {problem}. Send it once, with the value in the body.", HEADER_MISMATCH)


def _decode_header(value: str) -> str | None:
    """Return the text of a header that may be Base64 in `=?base64?…?=`, or None if that is invalid."""
    if not (value.startswith(_ENCODED_PREFIX) and value.endswith(_ENCODED_SUFFIX)):
        return value
    encoded = value.removeprefix(_ENCODED_PREFIX).removesuffix(_ENCODED_SUFFIX)
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
