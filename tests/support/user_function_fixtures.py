"""Fixtures that write, load and call a user's function, and their types."""

import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from askd.answerers.function import FunctionAnswerer, accepts_question
from askd.answerers.user_code.importer import resolve_target
from askd.errors import LoadError
from askd.models import Answer, Question


class WriteFile(Protocol):
    """Writes a file of user code, dedented, below the test's folder."""

    def __call__(self, name: str, code: str) -> Path:
        """Return the path of the file."""


class LoadFunction(Protocol):
    """Writes the code to `main.py` and loads `main.py:NAME`."""

    def __call__(
        self, code: str, name: str = "answer", *, threads: int = 4, deterministic: bool | None = None
    ) -> Awaitable[FunctionAnswerer]:
        """Return the loaded function; it is closed after the test."""


class AskFunction(Protocol):
    """Calls a function with query parameters."""

    def __call__(self, function: FunctionAnswerer, text: str = "hello", **parameters: list[str]) -> Awaitable[Answer]:
        """Return the answer."""


def module_globals(function: FunctionAnswerer) -> Mapping[str, Any]:
    """Return the global names of the user's module."""
    names: Mapping[str, Any] = function._function.__globals__
    return names


@pytest.fixture(autouse=True)
def fresh_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start in an empty folder; remove the modules that the test imported from it, or as `main`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
        if name == "main" or any(str(place).startswith(str(tmp_path)) for place in places):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Write a file of user code, dedented."""

    def write(name: str, code: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


@pytest.fixture
async def load(write: WriteFile) -> AsyncIterator[LoadFunction]:
    """Load `main.py:answer` or another name from code; closed after the test."""
    functions = []

    async def load(
        code: str, name: str = "answer", *, threads: int = 4, deterministic: bool | None = None
    ) -> FunctionAnswerer:
        write("main.py", code)
        functions.append(FunctionAnswerer(f"main.py:{name}", threads=threads, deterministic=deterministic))
        await functions[-1].load(lambda line: None)
        return functions[-1]

    yield load
    for function in functions:
        await function.close()


@pytest.fixture
def ask() -> AskFunction:
    """Call a function with query parameters."""

    async def ask(function: FunctionAnswerer, text: str = "hello", **parameters: list[str]) -> Answer:
        values = function.parse_parameters(parameters, from_strings=True)
        return await function.answer(Question(text=text, parameters=values))

    return ask


def error_message(spec: str) -> str:
    """Return the LoadError for a spec, which contains no frames of askd or importlib."""
    with pytest.raises(LoadError) as caught:
        resolve_target(spec, accepts_question)
    assert "askd/answerers" not in str(caught.value)
    assert "importlib" not in str(caught.value)
    return str(caught.value)
