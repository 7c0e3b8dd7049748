"""A folder of user code that each test starts in, and functions loaded from it."""

import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.answerers.function import Function
from service.models import Answer, Question
from tests.answerers.function.user_code import Ask, Load, Write


@pytest.fixture(autouse=True)
def fresh_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start in an empty folder, and forget afterwards what the test imported from it, or as `main`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if name == "main" or str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of user code, its indentation removed."""

    def write(name: str, code: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


@pytest.fixture
async def load(write: Write) -> AsyncIterator[Load]:
    """Load `main.py:answer`, or what else is named, from code; closed after the test."""
    functions = []

    async def load(code: str, name: str = "answer", *, threads: int = 4, deterministic: bool | None = None) -> Function:
        write("main.py", code)
        functions.append(Function(f"main.py:{name}", threads=threads, deterministic=deterministic))
        await functions[-1].load(lambda line: None)
        return functions[-1]

    yield load
    for function in functions:
        await function.close()


@pytest.fixture
def ask() -> Ask:
    """Bind text parameters as a query would, and ask."""

    async def ask(function: Function, text: str = "hello", **given: list[str]) -> Answer:
        return await function.answer(Question(text=text, parameters=function.bind(given, textual=True)))

    return ask
