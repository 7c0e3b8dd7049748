"""UserCodeAnswerer: the import decides if the code is a function or a graph."""

import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from askd.answerers.registry import create_answerer, create_answerers
from askd.answerers.user_code.answerer import UserCodeAnswerer
from askd.config import Settings
from askd.errors import LoadError
from askd.models import Answer, Question

GRAPH = """
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

hooks = []

def startup():
    hooks.append("startup")

def shutdown():
    hooks.append("shutdown")

def ready():
    return False, "no model yet"

def say(state: MessagesState):
    return {"messages": [AIMessage(f"{hooks} {state['messages'][-1].content}")]}

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
    """Start in a folder with a graph and a function; remove the modules that were imported from it."""
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
    """Load the answerer for a spec; it is closed after the test."""
    answerers = []

    async def load(spec: str, **settings: Any) -> UserCodeAnswerer:
        code = create_answerer(Settings(answerer=spec, **settings))
        assert isinstance(code, UserCodeAnswerer)
        answerers.append(code)
        await code.load(lambda line: None)
        return code

    yield load
    for code in answerers:
        await code.close()


@pytest.mark.parametrize("spec", ["shop.py:graph", "shop:graph", "shop.py", "./shop.py:builder", "shop:make_graph"])
async def test_graphs(loaded: Any, spec: str) -> None:
    """A graph is recognized in a file with or without a name, because the functions next to it are its nodes."""
    code = await loaded(spec)
    assert (code.kind, code.name, code.supports_streaming) == ("graph", spec, True)
    assert await code.answer(Question(text="hello")) == Answer("['startup'] hello")
    assert [event async for event in code.stream(Question(text="hello"))][-1] == Answer("['startup'] hello")


async def test_functions(loaded: Any) -> None:
    """A function has its parameters, contract and version."""
    code = await loaded("plain.py", deterministic=True)
    assert (code.kind, code.supports_streaming, code.supports_threads, code.deterministic) == (
        "function",
        False,
        False,
        True,
    )
    assert [parameter.name for parameter in code.contract.parameters] == ["times"]
    assert len(code.version) == 16
    parameters = code.parse_parameters({"times": ["2"]}, from_strings=True)
    assert await code.answer(Question(text="hi", parameters=parameters)) == Answer("hihi")
    assert await code.ready() == (True, "")
    assert code.statistics().threads == 1


async def test_graph_attributes(loaded: Any) -> None:
    """A graph has its hooks, threads and warnings."""
    code = await loaded("shop:graph")
    assert await code.ready() == (False, "no model yet")
    assert code.supports_threads
    assert "in memory" in code.warnings()[0]
    hooks = sys.modules["shop"].hooks
    await code.close()
    assert hooks == ["startup", "shutdown"]


async def test_settings_reach_the_graph(loaded: Any) -> None:
    """The state keys come from the settings."""
    with pytest.raises(LoadError, match=r"does not contain 'question' \(messages"):
        await loaded("shop:graph", graph_input_key="question")


async def test_a_function_without_a_parameter(folder: Path, loaded: Any) -> None:
    """The error for a named factory that returns no graph shows how to write a function."""
    (folder / "main.py").write_text("def answer(): return 'Hi'\n")
    with pytest.raises(
        LoadError, match=r"main.py:answer returned str.* or make it a function, `def answer\(text: str\) -> str`"
    ):
        await loaded("main.py:answer")


@pytest.mark.parametrize("result", ["", " -> None", " -> int", " -> 'list[str]'"])
async def test_a_function_without_a_parameter_is_not_called(folder: Path, result: str) -> None:
    """Without a name in the spec, a function that takes nothing is not called: it may do anything."""
    (folder / "main.py").write_text(f"def cleanup(){result}: open('called', 'w')\n")
    message = (
        "no function in main.py can answer: cleanup takes no argument. Add one for the text, as in "
        "`def cleanup(text: str) -> str`, or name main.py:cleanup if it returns a graph"
    )
    answerer = create_answerer(Settings(answerer="main.py"))
    with pytest.raises(LoadError, match=re.escape(message)):
        await answerer.load(lambda line: None)
    await answerer.close()
    with pytest.raises(LoadError, match="cleanup"):
        await create_answerers(Settings(answerer="main.py:*")).answerers[""].load(lambda line: None)
    assert not (folder / "called").exists()


@pytest.mark.parametrize("name", ["graph", "create_it", "build_it", "get_it", "my_factory"])
async def test_only_factory_in_a_file(folder: Path, loaded: Any, name: str) -> None:
    """The only function in a file is called if its name says that it is a factory."""
    (folder / "factory.py").write_text(
        f"from shop import builder as _builder\ndef {name}(): return _builder.compile()\n"
    )
    assert (await loaded("factory.py")).kind == "graph"


async def test_annotated_factory(folder: Path, loaded: Any) -> None:
    """So is one with another name that is annotated to return an object."""
    (folder / "factory.py").write_text("from shop import builder as _b\ndef shop() -> object: return _b.compile()\n")
    assert (await loaded("factory.py")).kind == "graph"


@pytest.mark.parametrize(
    "code",
    ["def answer(config: str): return 'Hi'", "def answer() -> str: return 'Hi'", "def answer(*text): return 'Hi'"],
)
async def test_functions_that_only_look_like_factories(folder: Path, loaded: Any, code: str) -> None:
    """A function with a text annotation is not a factory; without a parameter for the text it is an error."""
    (folder / "main.py").write_text(code)
    if "()" in code:
        with pytest.raises(LoadError, match="takes no argument"):
            await loaded("main.py")
    else:
        assert await (await loaded("main.py")).answer(Question(text="x")) == Answer("Hi")


async def test_two_graphs_in_a_file(folder: Path, loaded: Any) -> None:
    """If a file has several graphs, the error lists them without the functions."""
    (folder / "shop.py").write_text(GRAPH + "other = builder.compile()\n")
    with pytest.raises(LoadError, match=r"choose one of shop.py:graph, shop.py:other, or serve all with shop.py:\*$"):
        await loaded("shop.py")
    with pytest.raises(LoadError, match=r"shop.py does not contain 'grahp': it contains graph, other$"):
        await loaded("shop.py:grahp")


async def test_before_the_load() -> None:
    """Before `load` the kind is code, the answerer is not ready, and it can be closed."""
    code = UserCodeAnswerer("nowhere:answer", Settings())
    assert (code.kind, await code.ready(), code.warnings()) == ("code", (False, "not loaded"), ())
    assert code.statistics().threads is None
    with pytest.raises(RuntimeError, match="not loaded"):
        await code.answer(Question(text="x"))
    with pytest.raises(LoadError):
        await code.load(lambda line: None)
    await code.close()
