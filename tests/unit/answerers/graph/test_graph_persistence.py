"""Memory that askd adds to a graph: by the setting, and by a `langgraph.json`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.runtime import Runtime

from askd.answerers.registry import create_answerer
from askd.config import Settings, fields
from askd.errors import LoadError
from askd.models import Answer, Answerer, Question
from tests.support.langgraph_graphs import LoadGraph, count_messages, sequential_graph

IN_THREAD = Question(text="hello", thread_id="a")


async def remember(state: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
    """Answer with the number of questions that the store has, over all threads."""
    assert runtime.store is not None
    await runtime.store.aput(("questions",), str(len(await runtime.store.asearch(("questions",)))), {"text": "x"})
    return {"messages": [AIMessage(f"{len(await runtime.store.asearch(('questions',)))} questions")]}


async def test_memory_of_the_process(serve_graph: LoadGraph) -> None:
    """With `memory` a graph without a checkpointer keeps threads, and warns that they are lost at the end."""
    graph = await serve_graph(sequential_graph(count=count_messages).compile(), memory="memory")
    assert graph.supports_threads
    assert [await graph.answer(IN_THREAD) for _ in range(2)] == [Answer("1 messages"), Answer("3 messages")]
    assert await graph.answer(Question(text="hello")) == Answer("1 messages")
    assert "in memory" in graph.warnings()[0]


async def test_store_of_the_process(serve_graph: LoadGraph) -> None:
    """The graph gets a store too, which all threads share."""
    graph = await serve_graph(sequential_graph(remember=remember).compile(), memory="memory")
    assert await graph.answer(IN_THREAD) == Answer("1 questions")
    assert await graph.answer(Question(text="hello")) == Answer("2 questions")


async def test_sqlite_memory(serve_graph: LoadGraph, tmp_path: Path) -> None:
    """With `sqlite:PATH` threads and the store outlive the process."""
    memory = f"sqlite:{tmp_path / 'threads.db'}"
    for number in (1, 3):
        graph = await serve_graph(sequential_graph(count=count_messages).compile(), memory=memory)
        assert await graph.answer(IN_THREAD) == Answer(f"{number} messages")
        await graph.close()
    for number in (1, 2):
        graph = await serve_graph(sequential_graph(remember=remember).compile(), memory=memory)
        assert await graph.answer(Question(text="hello")) == Answer(f"{number} questions")
        assert list(graph.warnings()) == []
        await graph.close()


async def test_own_checkpointer_is_kept(serve_graph: LoadGraph, tmp_path: Path) -> None:
    """A graph with its own checkpointer keeps that; one that turned it off keeps no threads."""
    own = InMemorySaver()
    memory = f"sqlite:{tmp_path / 'threads.db'}"
    graph = await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=own), memory=memory)
    await graph.answer(IN_THREAD)
    assert [item.config["configurable"]["thread_id"] for item in own.list(None)][:1] == ["a"]
    graph = await serve_graph(sequential_graph(count=count_messages).compile(checkpointer=False), memory=memory)
    assert not graph.supports_threads


async def test_memory_of_a_factory(serve_graph: LoadGraph) -> None:
    """The graph that a factory creates for each question gets the same memory."""
    graph = await serve_graph(lambda config: sequential_graph(count=count_messages), memory="memory")
    assert [await graph.answer(IN_THREAD) for _ in range(2)] == [Answer("1 messages"), Answer("3 messages")]


async def test_memory_that_cannot_be_used(
    serve_graph: LoadGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing folder, file access and a missing package are LoadErrors that say what to do."""
    compiled = sequential_graph(count=count_messages).compile()
    with pytest.raises(LoadError, match=r"the folder missing does not exist: create it"):
        await serve_graph(compiled, memory="sqlite:missing/threads.db")
    with pytest.raises(LoadError, match="the database cannot be used: OperationalError"):
        await serve_graph(compiled, memory=f"sqlite:{tmp_path}")
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.postgres.aio", None)
    with pytest.raises(LoadError, match="needs the package langgraph-checkpoint-postgres"):
        await serve_graph(compiled, memory="postgresql://ada:secret@127.0.0.1:1/x")


@pytest.mark.parametrize("value", ["memory", "sqlite:threads.db", "sqlite:/data/threads.db", "postgresql://h/db"])
def test_setting(value: str) -> None:
    """The setting takes the three kinds of memory."""
    assert fields.graph_memory(f" {value}") == value


@pytest.mark.parametrize("value", ["redis://h", "sqlite:", "yes"])
def test_invalid_setting(value: str) -> None:
    """Other values are an error that lists the kinds."""
    with pytest.raises(ValueError, match="memory, sqlite:PATH or a URL"):
        fields.graph_memory(value)


AGENT = """
import contextlib
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.memory import InMemoryStore

events = []

async def say(state: MessagesState, runtime):
    found = await runtime.store.asearch(("x",), query="a") if runtime.store else []
    scores = [item.score for item in found]
    if runtime.store:
        await runtime.store.aput(("x",), "1", {"text": "a"})
    return {"messages": [AIMessage(f"{len(state['messages'])} {type(runtime.store).__name__} {scores}")]}

say.__annotations__["runtime"] = __import__("langgraph.runtime", fromlist=["Runtime"]).Runtime
graph = StateGraph(MessagesState).add_sequence([say]).add_edge(START, "say").compile()

@contextlib.asynccontextmanager
async def make_checkpointer():
    events.append("open")
    yield InMemorySaver()
    events.append("close")

async def make_store():
    return InMemoryStore()

async def embed(texts):
    return [[1.0, 0.0] for _ in texts]

def fail():
    raise OSError("no disk")
"""


async def load_project(folder: Path, **config: Any) -> Answerer:
    """Load the project with these options in its `langgraph.json`."""
    (folder / "shop_memory.py").write_text(AGENT)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"agent": "./shop_memory.py:graph"}, **config}))
    answerer = create_answerer(Settings(answerer="langgraph.json"))
    try:
        await answerer.load(lambda line: None)
    except LoadError:
        await answerer.close()
        raise
    return answerer


async def test_checkpointer_and_store_of_a_project(tmp_path: Path) -> None:
    """`checkpointer.path` and `store.path` name a context manager, a factory or an object; contexts are closed."""
    options = {"checkpointer": {"path": "./shop_memory.py:make_checkpointer"}}
    graph = await load_project(tmp_path, **options, store={"path": "./shop_memory.py:make_store"})
    texts = [(await graph.answer(IN_THREAD)).text for _ in range(2)]
    assert texts == ["1 InMemoryStore []", "3 InMemoryStore [None]"]
    events = sys.modules["shop_memory"].events
    assert events == ["open"]
    await graph.close()
    assert events == ["open", "close"]


async def test_index_of_a_project_store(tmp_path: Path) -> None:
    """A project that configures the store's index gets a store with semantic search, in memory by default."""
    graph = await load_project(tmp_path, store={"index": {"dims": 2, "embed": "./shop_memory.py:embed"}})
    texts = [(await graph.answer(Question(text="x"))).text for _ in range(2)]
    assert texts == ["1 InMemoryStore []", "1 InMemoryStore [1.0]"]
    await graph.close()


async def test_failing_checkpointer_of_a_project(tmp_path: Path) -> None:
    """A checkpointer of the project that cannot be created is a LoadError with its exception."""
    with pytest.raises(LoadError, match=r"the checkpointer .*shop_memory.py:fail failed:(?s:.*)no disk"):
        await load_project(tmp_path, checkpointer={"path": "./shop_memory.py:fail"})
