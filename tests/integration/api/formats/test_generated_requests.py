"""Property-based tests of both formats: nearly valid requests are answered as OpenAPI says, and never with a 5xx."""

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from askd.api.formats.mcp_messages import SUPPORTED_VERSIONS
from tests.integration.api.formats.mcp_client import ACCEPT
from tests.support import documented_function
from tests.support.documented_server import DocumentedServer
from tests.support.log_capture import LogCapture

SERVER = DocumentedServer(answerer=f"{Path(documented_function.__file__)}:answer")
TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=6,
)
GENERATION = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def nearly(*valid: Any) -> st.SearchStrategy[Any]:
    """Return one of the values in most cases, otherwise any JSON."""
    return st.integers(0, 19).flatmap(lambda number: st.sampled_from(valid) if number else JSON)


PARAMETERS = {"words": nearly(1, 3.0), "tone": nearly("calm", "loud")}
META = st.fixed_dictionaries(
    {
        "io.modelcontextprotocol/protocolVersion": nearly(*SUPPORTED_VERSIONS),
        "io.modelcontextprotocol/clientCapabilities": nearly({}, {"elicitation": {}}),
    },
    optional={"progressToken": nearly(1, "a"), "traceparent": nearly(f"00-{'1' * 32}-{'2' * 16}-01", "00-0-0-0")},
)
MCP_MESSAGES = st.fixed_dictionaries(
    {
        "jsonrpc": nearly("2.0", "2.0"),
        "method": nearly("tools/call", "tools/list", "server/discover", "initialize", "ping", "nonsense"),
    },
    optional={
        "id": nearly(1, "a"),
        "params": nearly({})
        | st.fixed_dictionaries(
            {
                "name": nearly("answer"),
                "arguments": st.fixed_dictionaries({"text": nearly("one two", "x")}, optional=PARAMETERS),
            },
            optional={
                "_meta": META,
                "protocolVersion": nearly(*SUPPORTED_VERSIONS),
                "requestState": nearly("forged"),
                "inputResponses": nearly({"reply": {"action": "accept", "content": {"reply": "yes"}}}),
            },
        ),
    },
)
CONTENT = nearly("one two", "one", [{"type": "text", "text": "one"}])
CHAT_MESSAGES = st.fixed_dictionaries({"role": nearly("user", "assistant", "system"), "content": CONTENT})
LAST_MESSAGE = st.fixed_dictionaries({"role": nearly("user"), "content": CONTENT})
CHAT_REQUESTS = st.fixed_dictionaries(
    {
        "messages": st.builds(
            lambda messages, last: [*messages, last], st.lists(CHAT_MESSAGES, max_size=2), LAST_MESSAGE
        )
    },
    optional={
        "model": nearly("answer", "", "other"),
        "stream": nearly(True, False),
        "stream_options": nearly({"include_usage": True}),
        **{name: nearly(None) for name in ("tools", "n", "logprobs", "response_format", "temperature")},
        **PARAMETERS,
    },
)


@pytest.fixture(scope="module")
def connection() -> Iterator[HTTPConnection]:
    """Run the server, and connect to it."""
    with LogCapture(), SERVER as url:
        client = HTTPConnection(url.removeprefix("http://"), timeout=10)
        yield client
        client.close()


def post(connection: HTTPConnection, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, list[Any]]:
    """Send a request; return the status and the JSON of the response, or of each event."""
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    text = response.read().decode()
    if response.headers.get_content_type() == "text/event-stream":
        data = [block.partition("data: ")[2] for block in text.split("\n\n") if block]
        return response.status, [json.loads(event) for event in data if event != "[DONE]"]
    return response.status, [json.loads(text)] if text else []


def is_documented(path: str, status: int, body: Any) -> bool:
    """Return whether the body has the schema that the document gives for the status."""
    responses = SERVER.contract["paths"][path]["post"]["responses"]
    response = responses.get(str(status)) or responses[f"{status // 100}XX"]
    schema = response["content"]["application/json"]["schema"]
    jsonschema.validate(body, {**schema, "components": SERVER.contract["components"]})
    return True


@given(message=MCP_MESSAGES | JSON, sends_headers=st.booleans(), accept=st.sampled_from([ACCEPT, "text/event-stream"]))
@GENERATION
def test_mcp_messages(connection: HTTPConnection, message: Any, sends_headers: bool, accept: str) -> None:  # noqa: FBT001 - hypothesis passes names
    """A message is answered, accepted, or rejected with an error of JSON-RPC."""
    headers = {"Accept": accept}
    if sends_headers and isinstance(message, dict):
        params = message.get("params")
        values = {"Mcp-Method": message.get("method")}
        if isinstance(params, dict):
            meta = params.get("_meta", {})
            values["Mcp-Name"] = params.get("name")
            values["MCP-Protocol-Version"] = (
                meta.get("io.modelcontextprotocol/protocolVersion") if isinstance(meta, dict) else None
            )
        headers |= {
            name: value
            for name, value in values.items()
            if isinstance(value, str) and value.isascii() and value.isprintable()
        }
    status, bodies = post(connection, "/mcp", message, headers)
    assert status in {200, 202, 400, 404}
    assert all(is_documented("/mcp", status, body) for body in bodies)
    assert len(bodies) == (status != 202)


@given(body=CHAT_REQUESTS | JSON)
@GENERATION
def test_chat_requests(connection: HTTPConnection, body: Any) -> None:
    """A request is answered, whole or as chunks, or rejected with an error of OpenAI."""
    status, bodies = post(connection, "/v1/chat/completions", body, {})
    assert status in {200, 400, 404}
    is_stream = status == 200 and isinstance(body, dict) and body.get("stream") is True
    if is_stream:
        assert {chunk["object"] for chunk in bodies} == {"chat.completion.chunk"}
    else:
        assert is_documented("/v1/chat/completions", status, bodies[0])


NESTED_BODIES = {
    "/mcp": b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "answer", "arguments": %b}}',
    "/v1/chat/completions": b'{"messages": [{"role": "user", "content": "one"}], "words": %b}',
    "/ask": b'{"text": "one", "words": %b}',
}


@pytest.mark.parametrize("path", NESTED_BODIES)
def test_deeply_nested_json_is_rejected(connection: HTTPConnection, path: str) -> None:
    """However deep JSON is nested, it is no failure of the server."""
    for depth in [*range(800, 1000, 5), 10_000]:
        body = NESTED_BODIES[path] % (b"[" * depth + b"]" * depth)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        assert response.status == 400 or (path == "/mcp" and response.status == 200)
