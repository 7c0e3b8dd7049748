"""From the spec string to the answerer, by its shape; and what is said where it leads nowhere."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.spec import question_max_length, resolve
from service.errors import SpecError
from service.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a book, code and other things, which each test starts in."""
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
    """The kind that a spec resolves to."""
    return resolve(Settings(answerer=spec)).kind


def refusal(spec: str) -> str:
    """The message with which a spec is refused: always one line that begins with it."""
    with pytest.raises(SpecError) as caught:
        resolve(Settings(answerer=spec))
    said = str(caught.value)
    assert said.splitlines() == [said]
    return said


@pytest.mark.parametrize(
    "spec", [None, "book.yaml", "./book.yaml", "shelf", "shelf/", "shelf/deep/a.MD", "a:b.json", "."]
)
def test_books(spec: str | None) -> None:
    """Nothing, a file of questions, or a folder that has one somewhere below, is a book."""
    assert kind(spec) == "book"


@pytest.mark.parametrize(
    "spec",
    ["code/main.py", "code/main.py:answer", "code/main.py:code.say", "main:answer", "a.b.c:d.e", "größe:antwort"],
)
def test_functions(spec: str) -> None:
    """A Python file, alone or with a name, and a module with a name, is code: a function or a graph."""
    answerer = resolve(Settings(answerer=spec, threads=3, deterministic=True))
    assert (answerer.kind, answerer.name) == ("code", spec)


REFUSALS = {
    "": "it is empty. Give a book",
    "code": "the folder has no book, but main.py, util.py: give code/main.py:NAME",
    "empty": "the folder has no .yaml, .yml, .json or .md file; it has nothing",
    "hidden": "the folder has no .yaml, .yml, .json or .md file; it has .git",
    "notes.txt": "the file ends in .txt. A book is .yaml, .yml, .json or .md, code is path/to/file.py:name",
    "Makefile": "the file has no ending",
    "notes.txt:answer": "notes.txt is no Python file, so it has no answer",
    "/dev/null": "it is neither a file nor a folder",
    "C:\\code\\main.py:answer": "this looks like a Windows path",
    "C:/code/main.py:answer": "this looks like a Windows path",
    "boook.yaml": "near it are book.yaml",
    "code/mian.py": "near it are main.py",
    "code/mian.py:answer": "near it are main.py",
    "code/zzzzzz.py:answer": "it has main.py, util.py",
    "empty/main.py:answer": "which is empty",
    "nowhere/main.py:answer": "there is no folder nowhere",
    "main": "there is no such file or folder. If it is a module, name the function too: main:NAME",
    "shop.app": "If it is a module, name the function too: shop.app:NAME",
    "code/main": "there is no such file, but code/main.py: give code/main.py, or code/main.py:NAME",
    "code/main:answer": "there is no code/main, but code/main.py: give code/main.py:answer",
    "code/main.py:": "'' after the colon is no name: give code/main.py:NAME",
    "code/main.py:answer:": "there is nothing beside the last colon: give code/main.py:answer",
    "code/main.py:answer()": "'answer()' after the colon is no name",
    "shop.app:": "'' after the colon is no name: give shop.app:NAME",
    ":answer": "there is nothing beside the last colon: give package.module:name",
    ".app:answer": "'.app' is no module's name",
    "shop-app:answer": "'shop-app' is no module's name",
    "service:answer": "`service` is the name of askd's own package",
    "service.app:answer": "`service` is the name of askd's own package",
    "x" * 300: "File name too long",
    "a\0b": "",
}


@pytest.mark.parametrize(("spec", "message"), REFUSALS.items(), ids=[spec[:30] or "empty text" for spec in REFUSALS])
def test_refusals(spec: str, message: str) -> None:
    """A spec that leads nowhere is refused with what was found instead, and what to write."""
    said = refusal(spec)
    assert message in said
    assert said.startswith((f"{spec!r} names no answerer: ", f"{spec}: `service`"))


def test_file_called_service(folder: Path) -> None:
    """A file called as askd's own package is refused as the package is."""
    (folder / "service.py").write_text("")
    assert "askd's own package" in refusal("service.py:answer")
    assert "askd's own package" in refusal("service.py")


def test_file_in_a_folder_called_service(folder: Path) -> None:
    """Only the top name counts: a file in a folder of that name is imported by its own."""
    (folder / "service").mkdir()
    (folder / "service" / "main.py").write_text("")
    assert kind("service/main.py:answer") == "code"


@given(st.text(max_size=40))
def test_any_text(spec: str) -> None:
    """Whatever is given, it is an answerer or refused in words."""
    try:
        found = resolve(Settings(answerer=spec)).kind
    except SpecError as refused:
        found = str(refused)
    assert found in {"book", "code", "langgraph", "askd"} or "give" in found.lower() or "names no answerer: " in found


@pytest.mark.parametrize(
    ("spec", "told", "length"),
    [(None, None, 1000), ("main:answer", None, 64 << 10), (None, 5, 5), ("main:answer", 5, 5)],
)
def test_question_max_length(spec: str | None, told: int | None, length: int) -> None:
    """Unless it is set, 1000 characters for a book, and for code what the body limit allows."""
    settings = Settings(answerer=spec, question_max_length=told)
    assert question_max_length(settings, resolve(settings)) == length


@pytest.mark.parametrize(
    ("spec", "absent"),
    [("main:answer", "tantivy"), ("main:answer", "service.answerers.book"), (None, "service.answerers.function")],
)
def test_each_kind_is_imported_alone(spec: str | None, absent: str) -> None:
    """Resolving a function does not load what books need, nor the other way round."""
    code = f"""
import sys
from service.answerers.spec import resolve
from service.settings import Settings
resolve(Settings(answerer={spec!r}))
print({absent!r} in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == "False\n"
