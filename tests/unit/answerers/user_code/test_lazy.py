"""Code: whether what is named is a function or a graph is seen when it is imported, and then it is served as that."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.answerers.code import Code
from service.answerers.spec import resolve
from service.errors import LoadError
from service.models import Answer, Question
from service.settings import Settings

GRAPH = """
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

up = []

def startup():
    up.append("up")

def shutdown():
    up.append("down")

def ready():
    return False, "no model yet"

def say(state: MessagesState):
    return {"messages": [AIMessage(f"{up} {state['messages'][-1].content}")]}

def route(state: MessagesState):
    return "say"

builder = StateGraph(MessagesState).add_sequence([say]).add_edge(START, "say")
graph = builder.compile(checkpointer=InMemorySaver())

def make_graph(config):
    return builder.compile()
"""
FUNCTION = "def answer(text: str, times: int = 1): return text * times\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start in a folder with a graph and a function, and forget afterwards what was imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "shop.py").write_text(GRAPH)
    (tmp_path / "plain.py").write_text(FUNCTION)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
async def loaded() -> AsyncIterator[Any]:
    """Load what a spec names; closed after the test."""
    found = []

    async def load(spec: str, **settings: Any) -> Code:
        code = resolve(Settings(answerer=spec, **settings))
        assert isinstance(code, Code)
        found.append(code)
        await code.load(lambda line: None)
        return code

    yield load
    for code in found:
        await code.close()


@pytest.mark.parametrize("spec", ["shop.py:graph", "shop:graph", "shop.py", "./shop.py:builder", "shop:make_graph"])
async def test_graphs(loaded: Any, spec: str) -> None:
    """A graph is one by whichever name; a file alone too, since the functions beside a graph are its nodes."""
    code = await loaded(spec)
    assert (code.kind, code.name, code.streams) == ("graph", spec, True)
    assert await code.answer(Question(text="hello")) == Answer("['up'] hello")
    assert [each async for each in code.stream(Question(text="hello"))][-1] == Answer("['up'] hello")


async def test_functions(loaded: Any) -> None:
    """A function is one, with its parameters, contract and version."""
    code = await loaded("plain.py", deterministic=True)
    assert (code.kind, code.streams, code.conversational, code.deterministic) == ("function", False, False, True)
    assert [each.name for each in code.contract.parameters] == ["times"]
    assert len(code.version) == 16
    bound = code.bind({"times": ["2"]}, textual=True)
    assert await code.answer(Question(text="hi", parameters=bound)) == Answer("hihi")
    assert await code.ready() == (True, "")
    assert code.statistics().threads == 1


async def test_what_a_graph_tells_is_passed_on(loaded: Any) -> None:
    """Its hooks, its threads, and what it warns of."""
    code = await loaded("shop:graph")
    assert await code.ready() == (False, "no model yet")
    assert code.conversational
    assert "in memory" in code.warnings()[0]
    up = sys.modules["shop"].up
    await code.close()
    assert up == ["up", "down"]


async def test_settings_reach_the_graph(loaded: Any) -> None:
    """The keys of the state are those of the settings."""
    with pytest.raises(LoadError, match="no 'question', but messages"):
        await loaded("shop:graph", graph_input_key="question")


async def test_a_function_without_a_parameter(folder: Path, loaded: Any) -> None:
    """What could only be a factory and makes no graph is told how to become a function that answers."""
    (folder / "main.py").write_text("def answer(): return 'Hi'\n")
    with pytest.raises(LoadError, match=r"main.py:answer returned str.* or make it `def answer\(text: str\) -> str`"):
        await loaded("main.py")


@pytest.mark.parametrize(
    "code",
    ["def answer(config: str): return 'Hi'", "def answer() -> str: return 'Hi'", "def answer(*text): return 'Hi'"],
)
async def test_functions_that_only_look_like_factories(folder: Path, loaded: Any, code: str) -> None:
    """An annotation that speaks of text says that it is a function; without a place for the text it is refused so."""
    (folder / "main.py").write_text(code)
    if "()" in code:
        with pytest.raises(LoadError, match="takes no argument"):
            await loaded("main.py")
    else:
        assert await (await loaded("main.py")).answer(Question(text="x")) == Answer("Hi")


async def test_two_graphs_in_a_file(folder: Path, loaded: Any) -> None:
    """Of several graphs one has to be named; functions are not offered beside them."""
    (folder / "shop.py").write_text(GRAPH + "other = builder.compile()\n")
    with pytest.raises(LoadError, match=r"shop.py has 2 that could answer: name one of shop.py:graph, shop.py:other$"):
        await loaded("shop.py")
    with pytest.raises(LoadError, match=r"shop.py has no 'grahp': it has graph, other$"):
        await loaded("shop.py:grahp")


async def test_before_the_load() -> None:
    """Until it is loaded it is code of some kind, is not ready, and can be closed."""
    code = Code("nowhere:answer", Settings())
    assert (code.kind, await code.ready(), code.warnings()) == ("code", (False, "not loaded"), ())
    assert code.statistics().threads is None
    with pytest.raises(RuntimeError, match="not loaded"):
        code.bind({}, textual=True)
    with pytest.raises(LoadError):
        await code.load(lambda line: None)
    await code.close()
