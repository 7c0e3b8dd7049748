"""A client of `/mcp` that sends each header and member as the test says, unlike an official client."""

import json
from collections.abc import Mapping
from typing import Any

from askd.api.formats.mcp_messages import MODERN_VERSION
from tests.support.app_fixtures import Client

ACCEPT = "application/json, text/event-stream"
ELICITATION: dict[str, Any] = {"elicitation": {}}


def request_body(
    method: str, params: Mapping[str, Any] | None = None, *, capabilities: Any = None, **meta: Any
) -> dict[str, Any]:
    """Return a request of the revision 2026-07-28."""
    standard = {
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
    }
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**(params or {}), "_meta": {**standard, **meta}}}


def request_headers(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that belong to a request of the revision 2026-07-28."""
    name = body.get("params", {}).get("name")
    names = {"Mcp-Name": name} if name else {}
    return {"Accept": ACCEPT, "MCP-Protocol-Version": MODERN_VERSION, "Mcp-Method": body["method"], **names}


async def post(
    client: Client, body: Any, *, without: str = "", **headers: str
) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Send a message of the revision 2026-07-28; return status, JSON body and headers of the response.

    `headers` use underscores; `without` is the name of a header that is left out.
    """
    sent = {name: value for name, value in request_headers(body).items() if name != without}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.post("/mcp", json=body, headers=sent)
    text = await response.text()
    return response.status, json.loads(text) if text else {}, response.headers


async def call(client: Client, name: str, arguments: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Call a tool; return the result."""
    params = {"name": name, "arguments": arguments, **options.pop("params", {})}
    status, body, _ = await post(client, request_body("tools/call", params, **options))
    assert status == 200, body
    result: dict[str, Any] = body["result"]
    return result


async def post_legacy(
    client: Client, method: str, params: Mapping[str, Any] | None = None, *, version: str | None = "2025-06-18"
) -> tuple[int, dict[str, Any]]:
    """Send a request of an older revision; return status and JSON body."""
    headers = {"Accept": ACCEPT} | ({"MCP-Protocol-Version": version} if version else {})
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    response = await client.post("/mcp", json=body, headers=headers)
    return response.status, await response.json()


async def read_stream(client: Client, text: str, *, token: Any = "t") -> tuple[str, list[dict[str, Any]]]:
    """Call the tool with a progress token; return the media type and the messages."""
    name = "scripted"
    body = request_body("tools/call", {"name": name, "arguments": {"q": text}}, progressToken=token)
    response = await client.post("/mcp", json=body, headers=request_headers(body))
    received = await response.text()
    events = [block.partition("data: ")[2] for block in received.split("\n\n") if block]
    return response.content_type, [json.loads(event) for event in events]
