"""`langgraph.json`: which graph is served, with which variables and folders; and what is said where it is faulty."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from service.answerers.graph import Graph, dotenv
from service.answerers.spec import resolve
from service.errors import LoadError, SpecError
from service.models import Answer, Question
from service.settings import Settings

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
    """A project in a folder below the current one, with code in a folder of its own."""
    for name, text in {"src/shop_agent.py": AGENT, "lib/words.py": "WORD = 'from'", ".env": "SHOP_NAME=file"}.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return tmp_path / "project"


def configure(folder: Path, **content: Any) -> None:
    """Write the project's file."""
    given = {"graphs": {"agent": "./src/shop_agent.py:graph"}, "dependencies": [".", "./lib", "langchain"], **content}
    (folder / "langgraph.json").write_text(json.dumps(given))


async def asked(spec: str = "project/langgraph.json") -> str:
    """The answer of the graph that the spec names."""
    graph = resolve(Settings(answerer=spec))
    assert isinstance(graph, Graph)
    await graph.load(lambda line: None)
    answer: Answer = await graph.answer(Question(text="hello"))
    await graph.close()
    return answer.text


def refusal(spec: str = "project/langgraph.json") -> str:
    """What is said of a spec that is refused before anything is imported."""
    with pytest.raises(SpecError) as caught:
        resolve(Settings(answerer=spec))
    return str(caught.value)


@pytest.mark.parametrize("spec", ["project/langgraph.json", "./project/langgraph.json#agent"])
async def test_the_only_graph(folder: Path, spec: str) -> None:
    """A project with one graph needs no name; its folders are importable, and its file of variables is read."""
    configure(folder, env=".env")
    assert await asked(spec) == "from file"
    assert str(folder / "lib") in sys.path


async def test_variables_as_a_mapping(folder: Path) -> None:
    """`env` may be the variables themselves; what is no text is its JSON."""
    configure(folder, env={"SHOP_NAME": 7})
    assert await asked() == "from 7"


async def test_variables_that_are_set_win(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment has already stays: a container is configured from outside."""
    configure(folder, env=".env")
    monkeypatch.setenv("SHOP_NAME", "outside")
    assert await asked() == "from outside"


async def test_nothing_is_set_before_the_load(folder: Path) -> None:
    """To resolve a spec changes neither variables nor what can be imported."""
    configure(folder, env=".env")
    resolve(Settings(answerer="project/langgraph.json"))
    assert "SHOP_NAME" not in os.environ
    assert str(folder / "lib") not in sys.path


async def test_a_module_and_a_description(folder: Path) -> None:
    """A graph may be in a module of a dependency, and may have words for people, which the contract shows."""
    configure(
        folder,
        graphs={"agent": {"path": "shop_agent:graph", "description": "Sells shoes."}},
        dependencies=["src", "lib"],
    )
    graph = resolve(Settings(answerer="project/langgraph.json#agent"))
    await graph.load(lambda line: None)
    assert graph.contract.description == "Sells shoes."
    await graph.close()


async def test_several_graphs(folder: Path) -> None:
    """Of several one has to be named; the others are listed."""
    configure(folder, graphs={"a": "./src/shop_agent.py:graph", "b": "./src/shop_agent.py:graph"})
    choices = "project/langgraph.json#a, project/langgraph.json#b"
    assert refusal() == f"project/langgraph.json has 2 graphs: name one of {choices}"
    assert refusal("project/langgraph.json#c") == f"project/langgraph.json has no graph 'c': it has {choices}"
    assert await asked("project/langgraph.json#b") == "from None"


FAULTS: list[tuple[str, str]] = [
    ("{", "langgraph.json:1: is no JSON"),
    ("[]", "is no JSON object"),
    ("{}", "names no graphs"),
    ('{"graphs": {}}', "names no graphs"),
    ('{"graphs": {"a": 7}}', "the graph 'a' has no path"),
    ('{"graphs": {"a": "./agent.py"}}', "the graph 'a' has no path"),
    ('{"graphs": {"a": {"description": "x"}}}', "the graph 'a' has no path"),
    ('{"graphs": {"a": "./agent.ts:graph"}}', "is JavaScript, ./agent.ts: askd serves Python"),
    ('{"graphs": {"a": "./nowhere.py:graph"}}', "is in project/nowhere.py, which is no file"),
    ('{"graphs": {"a": "service.app:graph"}}', "`service` is the name of askd's own package"),
    ('{"graphs": {"a": "m:graph"}, "env": ".missing"}', "there is no project/.missing, which `env` names"),
    ('{"graphs": {"a": "m:graph"}, "env": ["A=1"]}', "`env` is neither"),
]


@pytest.mark.parametrize(("content", "said"), FAULTS)
def test_faulty_projects(folder: Path, content: str, said: str) -> None:
    """Each fault is told with the file and the mend, before anything is imported."""
    (folder / "langgraph.json").write_text(content)
    assert said in refusal()


def test_a_project_that_is_no_utf8(folder: Path) -> None:
    """Bytes that are no text are told as what they are."""
    (folder / "langgraph.json").write_bytes(b'{"graphs": "\xff"}')
    assert "cannot be read" in refusal()


def test_books_stay_books(folder: Path) -> None:
    """A JSON file of another name is a book, with a # in its name too."""
    (folder / "notes.json").write_text("[]")
    (folder / "a.json#b.json").write_text("[]")
    assert resolve(Settings(answerer="project/notes.json")).kind == "book"
    assert resolve(Settings(answerer="project/a.json#b.json")).kind == "book"
    assert "names no graphs" not in refusal("project/absent.json#x")


async def test_another_name_of_the_file(folder: Path) -> None:
    """With #name the file may be called otherwise, as for LangGraph's own `--config`."""
    configure(folder)
    (folder / "langgraph.json").rename(folder / "prod.json")
    assert await asked("project/prod.json#agent") == "from None"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  export A = 1  ", "1"),
        ("A=one two # three", "one two"),
        ("A=one#two", "one#two"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A=#fff", "#fff"),
        ("A='one # $X'# two", "one # $X"),
        (r"A='it\'s \n'", r"it's \n"),
        (r'A="a\tb\"c\\d" # e', 'a\tb"c\\d'),
        ("X=1\nA=${X}2", "12"),
        ('A="${ABSENT:-else}"', "else"),
        ("A=${ABSENT}.", "."),
        ("A=${HOME_OF_TEST}", "here"),
        ("A=1\nA=2\r\n", "2"),
        ("\ufeffA=ü", "ü"),
        ("A", None),
        ("# A=1\n\n", None),
    ],
)
def test_lines_of_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, value: str | None) -> None:
    """A line is read as LangGraph's own tools read it."""
    monkeypatch.setenv("HOME_OF_TEST", "here")
    (tmp_path / ".env").write_text(line, encoding="utf-8", newline="")
    assert dotenv.read(tmp_path / ".env").get("A") == value


@pytest.mark.parametrize("line", ["A='open", 'A="open', "=1", "A=1\0", "A B=1"])
def test_lines_that_are_no_variables(tmp_path: Path, line: str) -> None:
    """A line that makes no sense is told with its number, and without its value, which may be a secret."""
    (tmp_path / ".env").write_text(f"\n{line}")
    with pytest.raises(LoadError, match=r"\.env:2: is no variable") as caught:
        dotenv.read(tmp_path / ".env")
    assert "open" not in str(caught.value)


def test_a_file_that_went_away(tmp_path: Path) -> None:
    """A file that cannot be read is told with its reason."""
    with pytest.raises(LoadError, match=r"\.env: cannot be read: No such file"):
        dotenv.read(tmp_path / ".env")
