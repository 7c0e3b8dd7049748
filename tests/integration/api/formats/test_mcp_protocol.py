"""MCP at `/mcp`: messages, versions, headers, origins and errors of the protocol."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.api.formats.mcp_client import (
    call,
    post,
    post_legacy,
    request_body,
    request_headers,
)
from tests.support.app_fixtures import ServeApp
from tests.support.fakes import UppercaseAnswerer

SUPPORTED = ["2026-07-28", "2025-11-25", "2025-06-18"]


async def test_discovery_names_versions_and_capabilities(serve: ServeApp) -> None:
    """`server/discover` needs no call before it, and may be cached by anyone if no token is needed."""
    status, body, headers = await post(await serve(), request_body("server/discover"))
    result = body["result"]
    assert (status, body["id"], headers["Content-Type"]) == (200, 7, "application/json")
    assert (result["resultType"], result["supportedVersions"], result["capabilities"]) == (
        "complete",
        SUPPORTED,
        {"tools": {}},
    )
    assert (result["ttlMs"], result["cacheScope"]) == (300_000, "public")
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "askd"


async def test_missing_metadata_is_rejected(serve: ServeApp) -> None:
    """Each request needs version and capabilities; the name of the client is optional."""
    client = await serve()
    for missing in ("protocolVersion", "clientCapabilities"):
        body = request_body("server/discover")
        del body["params"]["_meta"][f"io.modelcontextprotocol/{missing}"]
        status, answer, _ = await post(client, body)
        assert (status, answer["id"], answer["error"]["code"]) == (400, 7, -32602)


def with_version(body: dict[str, Any], version: str) -> dict[str, Any]:
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = version
    return body


async def test_unsupported_version_lists_the_supported_ones(serve: ServeApp) -> None:
    """An unknown version gets -32022, in a request of the new revision as in one of an older one."""
    client = await serve()
    body = with_version(request_body("server/discover"), "v999")
    status, answer, _ = await post(client, body, MCP_Protocol_Version="v999")
    assert (status, answer["error"]["code"]) == (400, -32022)
    assert answer["error"]["data"] == {"supported": SUPPORTED, "requested": "v999"}
    status, answer = await post_legacy(client, "tools/list", version="2024-11-05")
    assert (status, answer["error"]["code"]) == (400, -32022)


CALL = {"name": "upper", "arguments": {"q": "hi"}}
MISMATCHES: dict[str, tuple[str, dict[str, str]]] = {
    "version differs": ("", {"MCP_Protocol_Version": "2025-11-25"}),
    "version is missing": ("MCP-Protocol-Version", {}),
    "method differs": ("", {"Mcp_Method": "tools/list"}),
    "method differs in case": ("", {"Mcp_Method": "TOOLS/CALL"}),
    "method is missing": ("Mcp-Method", {}),
    "name differs": ("", {"Mcp_Name": "lower"}),
    "name is missing": ("Mcp-Name", {}),
    "name is invalid Base64": ("", {"Mcp_Name": "=?base64?%%?="}),
}


@pytest.mark.parametrize(("without", "headers"), MISMATCHES.values(), ids=MISMATCHES)
async def test_headers_must_agree_with_the_body(serve: ServeApp, without: str, headers: dict[str, str]) -> None:
    """A gateway decides by the headers, so a difference to the body is a 400 with -32020, and nothing is called."""
    answerer = UppercaseAnswerer()
    status, body, _ = await post(await serve(answerer), request_body("tools/call", CALL), without=without, **headers)
    assert (status, body["id"], body["error"]["code"]) == (400, 7, -32020)
    assert not answerer.questions


async def test_name_header_may_be_base64(serve: ServeApp) -> None:
    """`Mcp-Name` is decoded before it is compared."""
    encoded = f"=?base64?{base64.b64encode(b'upper').decode()}?="
    status, body, _ = await post(await serve(), request_body("tools/call", CALL), Mcp_Name=encoded)
    assert (status, body["result"]["structuredContent"]) == (200, {"answer": "HI"})


async def test_repeated_header_is_rejected(serve: ServeApp) -> None:
    """Two values could be read differently by a gateway."""
    body = request_body("tools/call", CALL)
    headers = [*request_headers(body).items(), ("Mcp-Name", "upper")]
    response = await (await serve()).post("/mcp", json=body, headers=headers)
    assert (response.status, (await response.json())["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/list", "nonsense"])
async def test_unknown_method_is_404(serve: ServeApp, method: str) -> None:
    """Methods that the revision has removed are unknown as well."""
    status, body, _ = await post(await serve(), request_body(method))
    assert (status, body["id"], body["error"]["code"]) == (404, 7, -32601)


async def test_unknown_tool_names_the_tools(serve: ServeApp) -> None:
    """An unknown tool is an error of the protocol that lists the tools."""
    status, body, _ = await post(await serve(), request_body("tools/call", {"name": "lower"}))
    assert (status, body["error"]["code"]) == (400, -32602)
    assert body["error"]["message"] == "Unknown tool: 'lower'. Use one of upper."


INVALID_BODIES: dict[str, tuple[bytes, int, Any]] = {
    "no JSON": (b"{", -32700, None),
    "no UTF-8": (b'{"jsonrpc": "\xff"}', -32700, None),
    "batch": (b"[]", -32600, None),
    "no version": (b'{"id": 3, "method": "ping"}', -32600, 3),
    "null id": (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600, None),
    "response": (b'{"jsonrpc": "2.0", "id": 3, "result": {}}', -32600, 3),
    "invalid params": (b'{"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": 1}}', -32602, "a"),
    "null replies": (
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"inputResponses": null}}',
        -32602,
        1,
    ),
}


@pytest.mark.parametrize(("body", "code", "message_id"), INVALID_BODIES.values(), ids=INVALID_BODIES)
async def test_invalid_message_is_400(serve: ServeApp, body: bytes, code: int, message_id: Any) -> None:
    """The error has the id of the message, and no id if it is unknown."""
    headers = {"Content-Type": "application/json"}
    response = await (await serve()).post("/mcp", data=body, headers=headers)
    answer = await response.json()
    assert (response.status, answer["error"]["code"], answer.get("id")) == (400, code, message_id)


async def test_other_media_types_are_rejected(serve: ServeApp) -> None:
    """A web page can send text to another origin without asking; JSON it cannot."""
    response = await (await serve()).post("/mcp", data=b"{}", headers={"Content-Type": "text/plain"})
    assert (response.status, (await response.json())["error"]["code"]) == (415, 415)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_session_methods_are_405(serve: ServeApp, method: str) -> None:
    """There are no sessions and no standalone streams."""
    response = await (await serve()).request(method, "/mcp")
    assert (response.status, response.headers["Allow"]) == (405, "OPTIONS, POST")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("http://localhost.evil.example:1", 403),
        ("null", 403),
        ("http://[", 403),
        ("http://localhost:3000", 200),
        ("https://127.0.0.1", 200),
        ("http://[::1]:8080", 200),
        ("https://chat.example", 200),
    ],
)
async def test_origin_must_be_local_or_allowed(serve: ServeApp, origin: str, status: int) -> None:
    """A page that reaches this machine by DNS rebinding is rejected."""
    client = await serve(cors_origins="https://chat.example")
    assert (await post(client, request_body("server/discover"), Origin=origin))[0] == status


async def test_notifications_are_accepted(serve: ServeApp) -> None:
    """A notification gets 202 without a body, in every revision."""
    client = await serve()
    for headers in ({}, {"MCP-Protocol-Version": "2025-11-25"}, {"MCP-Protocol-Version": "2026-07-28"}):
        body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        response = await client.post("/mcp", json=body, headers=headers)
        assert (response.status, await response.read()) == (202, b"")


ACCEPT_HEADERS = {
    "application/json": "application/json",
    "*/*": "application/json",
    "application/json, text/event-stream": "application/json",
    "text/event-stream": "text/event-stream",
}


@pytest.mark.parametrize(("accept", "media_type"), ACCEPT_HEADERS.items())
async def test_accept_chooses_json_or_events(serve: ServeApp, accept: str, media_type: str) -> None:
    """JSON is preferred; a client that only accepts events gets the response as one event."""
    body = request_body("tools/call", CALL)
    response = await (await serve()).post("/mcp", json=body, headers={**request_headers(body), "Accept": accept})
    assert (response.status, response.content_type) == (200, media_type)
    text = await response.text()
    assert text.startswith('event: message\ndata: {"jsonrpc"' if "event" in media_type else '{"jsonrpc"')


async def test_other_accept_is_406(serve: ServeApp) -> None:
    """A client that accepts neither cannot be answered."""
    assert (await post(await serve(), request_body("tools/list"), Accept="text/html"))[0] == 406


@pytest.mark.parametrize(
    ("requested", "chosen"),
    [("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"), ("2024-11-05", "2025-11-25")],
)
async def test_older_clients_begin_with_initialize(serve: ServeApp, requested: str, chosen: str) -> None:
    """The handshake has no session; the server offers its newest older version if it does not know the client's."""
    client = await serve()
    status, body = await post_legacy(client, "initialize", {"protocolVersion": requested}, version=None)
    assert (status, body["result"]["protocolVersion"], body["result"]["serverInfo"]["name"]) == (200, chosen, "askd")
    assert await post_legacy(client, "ping") == (200, {"jsonrpc": "2.0", "id": 1, "result": {}})
    _, body = await post_legacy(client, "tools/list")
    assert [tool["name"] for tool in body["result"]["tools"]] == ["upper"]
    _, body = await post_legacy(client, "tools/call", CALL)
    assert body["result"]["structuredContent"] == {"answer": "HI"}
    assert "resultType" not in body["result"]


@pytest.mark.parametrize(("method", "code"), [("resources/list", -32601), ("tools/call", -32602)])
async def test_older_clients_get_errors_with_200(serve: ServeApp, method: str, code: int) -> None:
    """Their revisions define no status for errors, and clients take another one for a broken server."""
    status, body = await post_legacy(await serve(), method)
    assert (status, body["error"]["code"]) == (200, code)


async def test_disabled_format_is_404(serve: ServeApp) -> None:
    """Only the formats of the setting are served."""
    client = await serve(formats="mcp")
    assert (await client.get("/ask?q=hi")).status == 404
    assert (await call(client, "upper", {"q": "hi"}))["structuredContent"] == {"answer": "HI"}
    assert (await (await serve(formats="ask")).post("/mcp", json={})).status == 404


PREFIXED: Callable[[str], str] = "/answers{}".format


async def test_prefix_applies(serve: ServeApp) -> None:
    """The endpoint is below the path prefix."""
    client = await serve(prefix="/answers")
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert [(await client.post(path, json=body)).status for path in ("/mcp", PREFIXED("/mcp"))] == [404, 200]
