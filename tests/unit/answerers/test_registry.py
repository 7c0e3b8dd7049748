"""Specs: which answerer they select, and the errors for specs that select none."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.registry import create_answerer
from askd.config import Settings
from askd.errors import SpecError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start in a folder with a book, code and other files."""
    monkeypatch.chdir(tmp_path)
    for name in ("book.yaml", "shelf/deep/a.MD", "code/main.py", "code/util.py", "notes.txt", "Makefile", "a:b.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("empty", "hidden/.git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "hidden/.git/README.md").write_text("")
    (tmp_path / "shelf/.hidden.yaml").write_text("")
    return tmp_path


def kind(spec: str | None) -> str:
    """Return the kind of the answerer for a spec."""
    return create_answerer(Settings(answerer=spec)).kind


def error_message(spec: str) -> str:
    """Return the error for a spec, which is always one line."""
    with pytest.raises(SpecError) as caught:
        create_answerer(Settings(answerer=spec))
    message = str(caught.value)
    assert message.splitlines() == [message]
    return message


@pytest.mark.parametrize(
    "spec", [None, "book.yaml", "./book.yaml", "shelf", "shelf/", "shelf/deep/a.MD", "a:b.json", "."]
)
def test_books(spec: str | None) -> None:
    """No spec, a file of questions, or a folder that contains one at any depth, is a book."""
    assert kind(spec) == "book"


@pytest.mark.parametrize(
    "spec",
    [
        "code/main.py",
        "code/main.py:answer",
        "code/main.py:code.say",
        "main:answer",
        "a.b.c:d.e",
        "größe:antwort",
        "service:answer",
        "service.main:answer",
    ],
)
def test_code(spec: str) -> None:
    """A Python file with or without a name, and a module with a name, is code."""
    answerer = create_answerer(Settings(answerer=spec, threads=3, deterministic=True))
    assert (answerer.kind, answerer.name) == ("code", spec)


SUFFIXES = ".yaml, .yml, .json, .jsonl, .ndjson, .csv, .tsv, .md, .markdown or .mdx"
ERRORS = {
    "": "the spec is empty. Use a book",
    "code": "the folder contains no book, but main.py, util.py: use code/main.py:NAME",
    "empty": f"the folder contains no {SUFFIXES} file; it is empty",
    "hidden": f"the folder contains no {SUFFIXES} file; it contains .git",
    "notes.txt": f"unsupported suffix .txt. A book is {SUFFIXES}, code is path/to/",
    "Makefile": "missing suffix",
    "notes.txt:answer": "notes.txt is not a Python file, so it cannot contain answer",
    "/dev/null": "it is neither a file nor a folder",
    "C:\\code\\main.py:answer": "this looks like a Windows path",
    "C:/code/main.py:answer": "this looks like a Windows path",
    "boook.yaml": "similar names: book.yaml",
    "code/mian.py": "similar names: main.py",
    "code/mian.py:answer": "similar names: main.py",
    "code/zzzzzz.py:answer": "the folder contains main.py, util.py",
    "empty/main.py:answer": "the folder is empty",
    "nowhere/main.py:answer": "the folder nowhere does not exist",
    "main": "no such file or folder. If it is a module, add the function's name: main:NAME",
    "shop.app": "If it is a module, add the function's name: shop.app:NAME",
    "code/main": "the file does not exist, but code/main.py does: use code/main.py or code/main.py:NAME",
    "code/main:answer": "code/main does not exist, but code/main.py does: use code/main.py:answer",
    "code/main.py:": "'' after the colon is not a Python name: use code/main.py:NAME",
    "code/main.py:answer:": "the name after the last colon is missing: use code/main.py:answer",
    "code/main.py:answer()": "'answer()' after the colon is not a Python name",
    "shop.app:": "'' after the colon is not a Python name: use shop.app:NAME",
    ":answer": "the name before the colon is missing: use package.module:name",
    ".app:answer": "'.app' is not a valid module name",
    "shop-app:answer": "'shop-app' is not a valid module name",
    "x" * 300: "File name too long",
    "a\0b": "",
}


@pytest.mark.parametrize(("spec", "message"), ERRORS.items(), ids=[spec[:30] or "empty text" for spec in ERRORS])
def test_errors(spec: str, message: str) -> None:
    """The error for an invalid spec explains the reason and what to use instead."""
    error = error_message(spec)
    assert message in error
    assert error.startswith(f"invalid answerer {spec!r}: ")


@given(st.text(max_size=40))
def test_any_text(spec: str) -> None:
    """Any text is either an answerer or a SpecError."""
    try:
        result = create_answerer(Settings(answerer=spec)).kind
    except SpecError as error:
        result = str(error)
    assert result in {"book", "code", "langgraph", "askd"} or "give" in result.lower() or "invalid" in result


@pytest.mark.parametrize(
    ("spec", "setting", "length"),
    [(None, None, 1000), ("main:answer", None, 64 << 10), (None, 5, 5), ("main:answer", 5, 5)],
)
def test_question_max_length(spec: str | None, setting: int | None, length: int) -> None:
    """The default is 1000 characters for a book, and the body limit for code."""
    settings = Settings(answerer=spec, question_max_length=setting)
    assert settings.effective_question_max_length(create_answerer(settings).kind) == length


@pytest.mark.parametrize(
    ("spec", "module"),
    [("main:answer", "tantivy"), ("main:answer", "askd.answerers.book.answerer"), (None, "askd.answerers.function")],
)
def test_kinds_are_imported_on_demand(spec: str | None, module: str) -> None:
    """Code does not import the modules of books, and a book does not import those of code."""
    code = f"""
import sys
from askd.answerers.registry import create_answerer
from askd.config import Settings
create_answerer(Settings(answerer={spec!r}))
print({module!r} in sys.modules)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert process.stdout == "False\n"
