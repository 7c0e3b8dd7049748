"""Graphs that call models of OpenAI and Anthropic through LangChain, behind a loopback stand-in."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from askd.answerers.registry import create_answerer
from askd.config import Settings
from tests.support.app_fixtures import Client, ServeApp
from tests.support.model_provider import ModelProvider, Reply, serve_model_provider

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of LangChain's structured output

AGENT: Final = """
import os
from dataclasses import dataclass
from typing import NotRequired

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, AgentState, HumanInTheLoopMiddleware
from langchain.chat_models import init_chat_model
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel

class Plan(BaseModel):
    steps: list[str]
    is_done: bool

@dataclass
class Context:
    model: str = os.environ["MODEL"]

def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b

class Note(AgentMiddleware):
    def after_agent(self, state, runtime):
        return {"note_path": "/internal/note"}

class NoteState(AgentState):
    note_path: NotRequired[str]

Note.state_schema = NoteState
agent = create_agent(os.environ["MODEL"], tools=[add], middleware=[Note()])
careful_agent = create_agent(
    os.environ["MODEL"], tools=[add], middleware=[HumanInTheLoopMiddleware(interrupt_on={"add": True})]
)
structured_agent = create_agent(os.environ["MODEL"], response_format=Plan)

async def plan(state: MessagesState, runtime: Runtime[Context]):
    model = init_chat_model(runtime.context.model).with_structured_output(Plan)
    return {"steps": (await model.ainvoke(state["messages"])).steps}

async def call_model(state: MessagesState, runtime: Runtime[Context]):
    return {"messages": [await init_chat_model(runtime.context.model).ainvoke(state["messages"])]}

class State(MessagesState):
    steps: list[str]

builder = StateGraph(State, context_schema=Context)
graph = builder.add_sequence([plan, call_model]).add_edge(START, "plan").compile()
"""
MODELS: Final = ("openai:stand-in", "anthropic:stand-in")
STREAM: Final = {"Accept": "text/event-stream"}


@pytest.fixture(params=MODELS)
async def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelProvider]:
    """Serve the stand-in, and configure LangChain to use it with each provider in turn."""
    stand_in = ModelProvider()
    async with serve_model_provider(stand_in) as url:
        monkeypatch.setenv("MODEL", request.param)
        for name, value in (("OPENAI_BASE_URL", f"{url}/v1"), ("ANTHROPIC_BASE_URL", url)):
            monkeypatch.setenv(name, value)
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
            monkeypatch.setenv(name, "key")
        for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield stand_in


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write the agents' module; it is imported anew for each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "model_agents.py"
    path.write_text(AGENT)
    yield path
    sys.modules.pop("model_agents", None)


async def serve_agent(serve: ServeApp, path: Path, name: str, **settings: str) -> Client:
    """Serve one of the agents."""
    answerer = create_answerer(Settings.load({"answerer": f"{path}:{name}", **settings}, {}))
    return await serve(answerer)


def deltas(stream: str) -> list[str]:
    """Return the deltas of a stream."""
    data = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]
    return [item for item in data if isinstance(item, str)]


async def test_answer_and_context(serve: ServeApp, provider: ModelProvider, agents: Path) -> None:
    """A graph whose model is in its context answers without parameters, and with the model that a request names."""
    client = await serve_agent(serve, agents, "graph")
    response = await client.get("/ask", params={"q": "hello there"})
    assert await response.json() == {"answer": "You said: hello there"}
    for model in MODELS:
        response = await client.get("/ask", params={"q": "hi", "model": model})
        assert await response.json() == {"answer": "You said: hi"}
        assert provider.requests[-1]["model"] == model.partition(":")[2]


async def test_first_stream_is_like_later_ones(serve: ServeApp, provider: ModelProvider, agents: Path) -> None:
    """The first and the second stream have the words of the answer, and not the plan."""
    client = await serve_agent(serve, agents, "graph")
    for _ in range(2):
        response = await client.get("/ask", params={"q": "hello there"}, headers=STREAM)
        assert deltas(await response.text()) == ["You ", "said: ", "hello ", "there"]


async def test_agent_with_middleware_streams(serve: ServeApp, provider: ModelProvider, agents: Path) -> None:
    """An agent that ends in a node of middleware streams from the first question on, before its model is done."""
    client = await serve_agent(serve, agents, "agent")
    provider.continue_stream.clear()
    async with asyncio.timeout(30):
        response = await client.get("/ask", params={"q": "hello there"}, headers=STREAM)
        first = await response.content.readuntil(b"\n\n")
        provider.continue_stream.set()
        rest = await response.text()
    assert deltas(first.decode()) == ["You "]
    assert deltas(rest) == ["said: ", "hello ", "there"]


async def test_tool_call(serve: ServeApp, provider: ModelProvider, agents: Path) -> None:
    """An agent calls its tool and answers with the model's next message, without the state of its middleware."""
    client = await serve_agent(serve, agents, "agent")
    provider.replies = [Reply(tool_calls=[("add", {"a": 2, "b": 3})]), Reply("It is 5.")]
    response = await client.get("/ask", params={"q": "2 + 3?"})
    assert await response.json() == {"answer": "It is 5."}
    assert "5" in str(provider.requests[-1]["messages"][-1]["content"])


async def test_structured_response(serve: ServeApp, provider: ModelProvider, agents: Path) -> None:
    """The structured output of an agent that says nothing else is the answer, and its fields stand beside it."""
    client = await serve_agent(serve, agents, "structured_agent")
    answer = await (await client.get("/ask", params={"q": "plan it"})).json()
    fields = {"steps": ["text"], "is_done": True}
    assert answer == {"answer": fields, **fields}


async def test_tool_call_that_a_person_approves(serve: ServeApp, provider: ModelProvider, agents: Path) -> None:
    """An agent asks before it calls a tool; an unusable reply shows what it expects, and the thread goes on."""
    client = await serve_agent(serve, agents, "careful_agent", graph_memory="memory")
    provider.replies = [Reply(tool_calls=[("add", {"a": 2, "b": 3})]), Reply("It is 5.")]

    async def ask(text: str) -> tuple[int, Any]:
        response = await client.get("/ask", params={"q": text, "thread": "a"})
        return response.status, await response.json()

    status, problem = await ask("2 + 3?")
    assert (status, problem["interrupt"]["action_requests"][0]["args"]) == (409, {"a": 2, "b": 3})
    status, problem = await ask("yes, please")
    assert (status, problem["parameter"]) == (400, "q")
    assert problem["interrupt"]["action_requests"][0]["name"] == "add"
    assert await ask('{"decisions": [{"type": "approve"}]}') == (200, {"answer": "It is 5."})
