"""docs/examples/third_party, installed, and asked over HTTP as docs/answerers.md says."""

import os
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from tests.answerers.installing import install
from tests.examples.conftest import EXAMPLES, ask
from tests.process.conftest import Process, Start

EXAMPLE = EXAMPLES / "third_party"
PAGE = EXAMPLES.parent / "answerers.md"


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """Install the example as its pyproject.toml says; return the PYTHONPATH that finds it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLE.glob("*.py")}
    install(tmp_path / "site-packages", project["name"], modules, project["entry-points"]["askd.answerers"])
    return os.pathsep.join([str(tmp_path / "site-packages"), *filter(None, [os.environ.get("PYTHONPATH")])])


async def served(start: Start, packages: str, *arguments: str) -> Process:
    """Start with the installed package."""
    return await start("serve", *arguments, PYTHONPATH=packages)


async def test_it_is_served(start: Start, installed: str, tmp_path: Path) -> None:
    """The kind answers from its table, in JSON and as a stream, and is the metrics' and the log's as any other."""
    with closing(sqlite3.connect(tmp_path / "faq.db")) as table, table:
        table.execute("CREATE TABLE faq (question TEXT, answer TEXT)")
        table.execute("INSERT INTO faq VALUES ('hello', 'Hi')")
    process = await served(start, installed, "sqlite://faq.db")
    ready = await process.event("ready")
    assert (ready["answerer"], ready["kind"]) == ("sqlite://faq.db", "sqlite")
    assert await ask(process, "q=hello") == (200, {"answer": "Hi"})
    assert (await ask(process, "q=nothing"))[0] == 404
    status, text = await ask(process, "q=hello", Accept="text/event-stream")
    assert (status, 'event: answer\ndata: {"answer":"Hi"}' in text) == (200, True)
    assert 'kind="sqlite"' in (await process.get("/metrics")).text
    assert await process.stop() == 0


async def test_its_faults_are_told(start: Start, installed: str) -> None:
    """A load that fails ends the start with the package's own words; a spec it does not take is refused."""
    process = await served(start, installed, "sqlite://absent.db")
    assert await process.ended() == 2
    assert "sqlite://absent.db: there is no file" in process.events("load failed")[0]["error"]
    process = await served(start, installed, "other://x")
    assert await process.ended() == 2
    assert "no package adds the kind 'other' (those installed add sqlite)" in process.output


@pytest.mark.parametrize("name", ["askd_sqlite.py", "pyproject.toml"])
def test_the_page_shows_the_example(name: str) -> None:
    """docs/answerers.md has the example's files as they are."""
    assert f"# {name}\n{(EXAMPLE / name).read_text(encoding='utf-8')}```" in PAGE.read_text(encoding="utf-8")
