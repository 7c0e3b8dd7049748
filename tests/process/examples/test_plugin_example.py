"""docs/examples/plugin, installed and served as docs/how-to/add-an-answerer.md describes."""

import os
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.examples.conftest import EXAMPLES, ask_query
from tests.support.askd_process import AskdProcess, StartAskd
from tests.support.plugin_package import write_plugin_package

EXAMPLE = EXAMPLES / "plugin"
PAGE = EXAMPLES.parent / "how-to" / "add-an-answerer.md"


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """Install the example as its pyproject.toml declares. Returns the PYTHONPATH for it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLE.glob("*.py")}
    write_plugin_package(
        tmp_path / "site-packages", project["name"], modules, project["entry-points"]["askd.answerers"]
    )
    return os.pathsep.join([str(tmp_path / "site-packages"), *filter(None, [os.environ.get("PYTHONPATH")])])


async def start_installed(start: StartAskd, packages: str, *arguments: str) -> AskdProcess:
    """Start askd with the installed package."""
    return await start("serve", *arguments, PYTHONPATH=packages)


async def test_plugin_is_served(start: StartAskd, installed: str, tmp_path: Path) -> None:
    """The kind answers from its table, as JSON and as a stream, and appears in metrics and log."""
    with closing(sqlite3.connect(tmp_path / "faq.db")) as table, table:
        table.execute("CREATE TABLE faq (question TEXT, answer TEXT)")
        table.execute("INSERT INTO faq VALUES ('hello', 'Hi')")
    process = await start_installed(start, installed, "sqlite://faq.db")
    ready = await process.wait_for_event("ready")
    assert (ready["answerer"], ready["kind"]) == ("sqlite://faq.db", "sqlite")
    assert await ask_query(process, "q=hello") == (200, {"answer": "Hi"})
    assert (await ask_query(process, "q=nothing"))[0] == 404
    status, text = await ask_query(process, "q=hello", Accept="text/event-stream")
    assert (status, 'event: answer\ndata: {"answer":"Hi"}' in text) == (200, True)
    assert 'kind="sqlite"' in (await process.get("/metrics")).text
    assert await process.stop() == 0


async def test_errors_of_the_package(start: StartAskd, installed: str) -> None:
    """A failed load ends the start with the package's error; a spec that no package accepts is rejected."""
    process = await start_installed(start, installed, "sqlite://absent.db")
    assert await process.wait_for_exit() == 2
    assert "sqlite://absent.db: there is no file" in process.events("answerer_load_failed")[0]["error"]
    process = await start_installed(start, installed, "other://x")
    assert await process.wait_for_exit() == 2
    assert "no package provides the answerer kind 'other' (installed kinds: sqlite)" in process.output


@pytest.mark.parametrize("name", ["askd_sqlite.py", "pyproject.toml"])
def test_page_contains_the_example(name: str) -> None:
    """docs/how-to/add-an-answerer.md contains the files of the example."""
    assert f"# {name}\n{(EXAMPLE / name).read_text(encoding='utf-8')}```" in PAGE.read_text(encoding="utf-8")
