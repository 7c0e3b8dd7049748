"""The official client of MCP against functions, a book and a graph that waits for input, in each revision."""

from typing import Any

import mcp_types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

MODES = ["auto", "legacy"]
"""The newest revision, and the handshake of the older ones."""


async def call(url: str, mode: str, name: str, arguments: dict[str, Any], **options: Any) -> Any:
    """Call a tool with a new client; return the result."""
    async with Client(f"{url}/mcp", mode=mode, **options) as client:
        return await client.call_tool(name, arguments)


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_tools_are_listed(functions: str, mode: str, version: str) -> None:
    """The client agrees on a revision, and finds each function with its contract."""
    async with Client(f"{functions}/mcp", mode=mode) as client:
        assert client.protocol_version == version
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"count", "story", "weather"}
    properties = tools["weather"].input_schema["properties"]
    assert (tools["weather"].description, properties["city"]["description"], properties["days"]["default"]) == (
        "Return the weather of a city.",
        "Name of the city.",
        1,
    )


@pytest.mark.parametrize("mode", MODES)
async def test_function_is_called(functions: str, mode: str) -> None:
    """The client validates the structured content against the schema of the answer."""
    result = await call(functions, mode, "weather", {"city": "Bern"})
    assert (result.is_error, result.structured_content) == (False, {"answer": {"city": "Bern", "days": 1}})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"city": "Bern", "days": "x"}, "`days`: expected `int`, got 'x'."),
        ({"town": "Bern"}, "'city' is missing"),
        ({"city": "Atlantis"}, "The answerer failed."),
    ],
)
async def test_faults_are_results(functions: str, mode: str, arguments: dict[str, Any], text: str) -> None:
    """A model reads the hint of askd, and nothing of the code's exception."""
    result = await call(functions, mode, "weather", arguments)
    assert result.is_error
    assert result.content[0].text.startswith(text)


async def test_unknown_tool_is_an_error(functions: str) -> None:
    """The client raises the error of the protocol."""
    async with Client(f"{functions}/mcp") as client:
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("nothing", {})


@pytest.mark.parametrize("mode", MODES)
async def test_generator_reports_progress(functions: str, mode: str) -> None:
    """Each piece of a streamed answer is a notification before the result."""
    pieces: list[str | None] = []

    async def on_progress(_progress: float, _total: float | None, message: str | None) -> None:
        pieces.append(message)

    async with Client(f"{functions}/mcp", mode=mode) as client:
        result = await client.call_tool("story", {"topic": "a fox"}, progress_callback=on_progress)
    assert pieces == ["There ", "was ", "a fox"]
    assert result.content[0].text == "There was a fox"


@pytest.mark.parametrize("mode", MODES)
async def test_book_answers_and_suggests(book: str, mode: str) -> None:
    """The description of a book has some of its questions, and each of them has an answer."""
    async with Client(f"{book}/mcp", mode=mode) as client:
        tool = (await client.list_tools()).tools[0]
        example = tool.description.rpartition("for example: ")[2].split(" | ")[0]
        result = await client.call_tool(tool.name, {"q": example})
        missing = await client.call_tool(tool.name, {"q": "xyzzy"})
    assert tool.annotations.read_only_hint
    assert not result.is_error
    assert missing.is_error


async def test_interrupt_is_a_form(graph: str) -> None:
    """The client asks its user, and sends the reply with the state."""
    forms = []

    async def ask_user(_context: Any, params: Any) -> mcp_types.ElicitResult:
        forms.append(params.message)
        return mcp_types.ElicitResult(action="accept", content={"reply": "yes"})

    result = await call(graph, "auto", "graph", {"q": "a room"}, elicitation_callback=ask_user)
    assert (forms, result.structured_content) == (["Book a room?"], {"answer": "a room: yes"})


@pytest.mark.parametrize("mode", MODES)
async def test_thread_is_named_without_forms(graph: str, mode: str) -> None:
    """A client without forms, and each older client, continues by the thread in the result."""
    first = await call(graph, mode, "graph", {"q": "a room"})
    thread = first.structured_content["thread"]
    second = await call(graph, mode, "graph", {"q": "no", "thread": thread})
    assert second.structured_content == {"answer": "a room: no"}
