"""`langgraph.json`: graphs, environment variables, dependencies, and errors."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from askd.answerers.graph import GraphAnswerer
from askd.answerers.graph.project import resolve_project
from askd.answerers.registry import create_answerer
from askd.config import Settings
from askd.errors import LoadError, SpecError
from askd.models import Answer, Question

AGENT = """
import os
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from words import WORD

def say(state: MessagesState):
    return {"messages": [AIMessage(f"{WORD} {os.environ.get('SHOP_NAME')}")]}

graph = StateGraph(MessagesState).add_sequence([say]).add_edge(START, "say")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a project in a subfolder, with its code in separate folders."""
    for name, text in {"src/shop_agent.py": AGENT, "lib/words.py": "WORD = 'from'", ".env": "SHOP_NAME=file"}.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return tmp_path / "project"


def configure(folder: Path, **content: Any) -> None:
    """Write `langgraph.json`."""
    config = {"graphs": {"agent": "./src/shop_agent.py:graph"}, "dependencies": [".", "./lib", "langchain"], **content}
    (folder / "langgraph.json").write_text(json.dumps(config))


async def ask(spec: str = "project/langgraph.json") -> str:
    """Return the answer of the graph that the spec names."""
    graph = create_answerer(Settings(answerer=spec))
    assert isinstance(graph, GraphAnswerer)
    await graph.load(lambda line: None)
    answer: Answer = await graph.answer(Question(text="hello"))
    await graph.close()
    return answer.text


def error_message(spec: str = "project/langgraph.json") -> str:
    """Return the SpecError for a spec."""
    with pytest.raises(SpecError) as caught:
        create_answerer(Settings(answerer=spec))
    return str(caught.value)


@pytest.mark.parametrize("spec", ["project/langgraph.json", "./project/langgraph.json#agent"])
async def test_single_graph(folder: Path, spec: str) -> None:
    """A project with one graph needs no name; its folders are importable, and its `.env` file is read."""
    configure(folder, env=".env")
    assert await ask(spec) == "from file"
    assert str(folder / "lib") in sys.path


async def test_variables_as_a_mapping(folder: Path) -> None:
    """`env` may contain the variables; a value that is not text is set as JSON."""
    configure(folder, env={"SHOP_NAME": 7})
    assert await ask() == "from 7"


async def test_environment_overrides_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are already set are not changed, because a container is configured from outside."""
    configure(folder, env=".env")
    monkeypatch.setenv("SHOP_NAME", "outside")
    assert await ask() == "from outside"


async def test_environment_is_unchanged_before_load(folder: Path) -> None:
    """Creating the answerer changes neither environment variables nor sys.path."""
    configure(folder, env=".env")
    create_answerer(Settings(answerer="project/langgraph.json"))
    assert "SHOP_NAME" not in os.environ
    assert str(folder / "lib") not in sys.path


async def test_module_and_description(folder: Path) -> None:
    """A graph may be in a module of a dependency, and its description is in the contract."""
    configure(
        folder,
        graphs={"agent": {"path": "shop_agent:graph", "description": "Sells shoes."}},
        dependencies=["src", "lib"],
    )
    graph = create_answerer(Settings(answerer="project/langgraph.json#agent"))
    await graph.load(lambda line: None)
    assert graph.contract.description == "Sells shoes."
    await graph.close()


async def test_root_is_importable_after_installed_packages(folder: Path) -> None:
    """The project's root, the folders of its dependencies, and the `src` of each are appended to sys.path."""
    configure(folder)
    before = list(sys.path)
    project = resolve_project("project/langgraph.json")
    assert project is not None
    project.apply_environment()
    added = [path for path in sys.path if path not in before]
    assert added == [str(folder), str(folder / "lib"), str(folder / "src")]
    assert sys.path[: len(before)] == before


async def test_warnings(folder: Path) -> None:
    """A missing `.env`, options that are not supported, and missing memory are warnings."""
    configure(
        folder,
        env=".missing",
        http={"app": "./app.py:app"},
        checkpointer={"ttl": {"default_ttl": 60}},
    )
    graph = create_answerer(Settings(answerer="project/langgraph.json"))
    await graph.load(lambda line: None)
    env, http, ttl, memory = graph.warnings()
    assert "`env` names project/.missing, which does not exist" in env
    assert "`http.app` is not supported: its routes are not served" in http
    assert "`checkpointer.ttl` is not supported" in ttl
    assert "set ASKD_GRAPH_MEMORY" in memory
    await graph.close()


HEADERS_AGENT = """
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph

def say(state: MessagesState, config: RunnableConfig):
    names = ("x-lang", "x-secret", "authorization", "user-agent")
    return {"messages": [AIMessage(str([name for name in names if name in config["configurable"]]))]}

graph = StateGraph(MessagesState).add_sequence([say]).add_edge(START, "say")
"""


async def test_configurable_headers(folder: Path) -> None:
    """Headers that match the patterns reach the nodes, but never credentials; answers depend on them then."""
    (folder / "src/shop_agent.py").write_text(HEADERS_AGENT)
    configure(folder, http={"configurable_headers": {"includes": ["x-*", "authorization"], "excludes": ["x-secret*"]}})
    graph = create_answerer(Settings(answerer="project/langgraph.json"))
    await graph.load(lambda line: None)
    headers = {"X-Lang": "de", "X-Secret": "1", "Authorization": "Bearer x", "User-Agent": "curl"}
    assert (await graph.answer(Question(text="hello", headers=headers))).text == "['x-lang']"
    assert not [line for line in graph.warnings() if "http" in line]
    await graph.close()
    with pytest.raises(LoadError, match="cannot be deterministic: its graph may depend on the headers"):
        await create_answerer(Settings(answerer="project/langgraph.json", deterministic=True)).load(lambda line: None)


@pytest.mark.parametrize(
    ("options", "reason"), [("x-*", "expected an object"), ({"includes": [1]}, "`includes` is not a list of names")]
)
async def test_invalid_configurable_headers(folder: Path, options: Any, reason: str) -> None:
    """An invalid configuration of headers is refused."""
    configure(folder, http={"configurable_headers": options})
    assert f"invalid `http.configurable_headers`: {reason}" in error_message()


async def test_several_graphs(folder: Path) -> None:
    """If a project has several graphs, the error lists their specs."""
    configure(folder, graphs={"a": "./src/shop_agent.py:graph", "b": "./src/shop_agent.py:graph"})
    choices = "project/langgraph.json#a, project/langgraph.json#b"
    assert error_message() == f"project/langgraph.json has 2 graphs: choose one of {choices}"
    assert (
        error_message("project/langgraph.json#c")
        == f"project/langgraph.json does not define the graph 'c': choose one of {choices}"
    )
    assert await ask("project/langgraph.json#b") == "from None"


INVALID: list[tuple[str, str]] = [
    ("{", "langgraph.json:1: invalid JSON"),
    ("[]", "expected a JSON object"),
    ("{}", "defines no graphs"),
    ('{"graphs": {}}', "defines no graphs"),
    ('{"graphs": {"a": 7}}', "invalid path of the graph 'a'"),
    ('{"graphs": {"a": "./agent.py"}}', "invalid path of the graph 'a'"),
    ('{"graphs": {"a": {"description": "x"}}}', "invalid path of the graph 'a'"),
    ('{"graphs": {"a": "./agent.ts:graph"}}', "is JavaScript, ./agent.ts: askd serves only Python"),
    ('{"graphs": {"a": "./nowhere.py:graph"}}', "the file project/nowhere.py of the graph 'a' does not exist"),
    ('{"graphs": {"a": "m:graph"}, "auth": {}}', "invalid path of `auth`: use"),
    ('{"graphs": {"a": "m:graph"}, "auth": {"path": "./auth.ts:auth"}}', "`auth` is JavaScript, ./auth.ts"),
    ('{"graphs": {"a": "m:graph"}, "checkpointer": {"path": "x"}}', "invalid path of `checkpointer`"),
    ('{"graphs": {"a": "m:graph"}, "env": ["A=1"]}', "invalid `env`: expected a file name or an object of variables"),
]


@pytest.mark.parametrize(("content", "message"), INVALID)
def test_invalid_projects(folder: Path, content: str, message: str) -> None:
    """An invalid project is a SpecError with the file and the problem, before anything is imported."""
    (folder / "langgraph.json").write_text(content)
    assert message in error_message()


def test_project_that_is_not_utf8(folder: Path) -> None:
    """A project file that is not UTF-8 is an error."""
    (folder / "langgraph.json").write_bytes(b'{"graphs": "\xff"}')
    assert "cannot be read" in error_message()


def test_json_books(folder: Path) -> None:
    """A JSON file with another name is a book, even with a # in its name."""
    (folder / "notes.json").write_text("[]")
    (folder / "a.json#b.json").write_text("[]")
    assert create_answerer(Settings(answerer="project/notes.json")).kind == "book"
    assert create_answerer(Settings(answerer="project/a.json#b.json")).kind == "book"
    assert "defines no graphs" not in error_message("project/absent.json#x")


async def test_other_file_name(folder: Path) -> None:
    """With #name the file may have another name, as for LangGraph's own `--config`."""
    configure(folder)
    (folder / "langgraph.json").rename(folder / "prod.json")
    assert await ask("project/prod.json#agent") == "from None"


async def test_invalid_env_file(folder: Path) -> None:
    """An invalid line in the project's env file is an error with its number, but without its value."""
    configure(folder, env=".env")
    (folder / ".env").write_text("A=1\nB='sesame\n")
    with pytest.raises(LoadError, match=r"\.env:2: invalid variable") as caught:
        await ask()
    assert "sesame" not in str(caught.value)
