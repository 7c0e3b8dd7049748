"""From the spec to the object: where it is looked for, and what is said when it is not there."""

import pickle
import sys
from pathlib import Path

import pytest

from service.answerers.function import Function
from service.answerers.importing import find
from service.errors import LoadError
from tests.answerers.function.user_code import Write


def fault(spec: str) -> str:
    """The message with which `spec` is refused."""
    with pytest.raises(LoadError) as caught:
        find(spec)
    assert "service/answerers" not in str(caught.value)
    assert "importlib" not in str(caught.value)
    return str(caught.value)


def test_file_is_imported_as_python_would(write: Write) -> None:
    """Its folder leads the path, the current directory stays, it is registered under its name."""
    write("code/helper.py", "WORD = 'hi'")
    write("data.txt", "42")
    path = write(
        "code/main.py",
        """
        from __future__ import annotations
        import dataclasses, helper, pathlib
        @dataclasses.dataclass
        class Point:
            x: int = 1
        def answer(text): return helper.WORD + pathlib.Path("data.txt").read_text()
        """,
    )
    found = find("code/main.py:answer")
    assert found.value("") == "hi42"
    assert (found.module.__name__, found.module.__file__) == ("main", str(path))
    assert (sys.path[0], found.root) == (str(path.parent), path.parent)
    assert pickle.loads(pickle.dumps(found.module.Point())) == found.module.Point()


def test_same_file_is_the_same_module(write: Write) -> None:
    """A file that is imported already is not run again."""
    write("main.py", "answer = str\n")
    assert find("main.py:answer").module is find("main.py:answer").module


def test_another_file_of_the_same_name(write: Write) -> None:
    """Two files of one name in different folders may be loaded one after the other."""
    for folder in "ab":
        write(f"{folder}/main.py", f"def answer(text): return {folder!r}")
    assert [find(f"{folder}/main.py:answer").value("") for folder in "ab"] == ["a", "b"]


def test_module_in_current_directory(write: Write, tmp_path: Path) -> None:
    """A package of the current directory is importable, relative imports included."""
    write("shop/__init__.py", "")
    write("shop/words.py", "WORD = 'hi'")
    write("shop/app.py", "from .words import WORD\ndef answer(text): return WORD")
    found = find("shop.app:answer")
    assert found.value("") == "hi"
    assert found.root == tmp_path


@pytest.mark.parametrize(
    "code",
    [
        "def answer(text): return text",
        "import json, functools\nfrom os.path import join\ndef _helper(): ...\ndef answer(text): return join(text)",
        "class Base: ...\nclass Code:\n    def __call__(self, text): return text\ndel Base",
        "def startup(): ...\ndef shutdown(): ...\ndef ready(): return True\nanswer = lambda text: text",
        "import functools\nanswer = functools.partial(lambda mark, text: text, '!')",
    ],
)
def test_file_with_one_candidate(write: Write, code: str) -> None:
    """A file alone is enough where one thing in it can answer: imports, hooks and private names do not count."""
    write("main.py", code)
    assert callable(find("main.py").value)


def test_file_with_several_candidates(write: Write) -> None:
    """Where several could answer they are listed, ready to be given."""
    write("main.py", "def ask(text): ...\ndef tell(text): ...")
    assert fault("main.py") == "main.py has 2 that could answer: name one of main.py:ask, main.py:tell"


def test_file_without_candidate(write: Write) -> None:
    """Where none could answer, it says what to write."""
    write("main.py", "class Data: ...\nx = 5")
    assert fault("main.py") == "main.py has no function that could answer: write `def answer(text: str) -> str`"


def test_missing_attribute_names_the_nearest_first(write: Write) -> None:
    """A name that is not there is answered with those that are, the nearest first, imports left out."""
    write("main.py", "from json import loads\ndef zebra(t): ...\ndef answer(t): ...\ndef startup(): ...")
    assert fault("main.py:anser") == "main.py has no 'anser': it has answer, zebra"


def test_missing_attribute_of_object(write: Write) -> None:
    """The same within an object, whose methods are named."""
    write("main.py", "class Code:\n    def say(self, t): ...\ncode = Code()")
    assert fault("main.py:code.sag") == "main.py:code has no 'sag': it has say"


def test_missing_attribute_of_empty_file(write: Write) -> None:
    """Where there is nothing, it says so."""
    write("main.py", "x = 1")
    assert fault("main.py:answer") == "main.py has no 'answer', nor anything else that can be called"


def test_attribute_that_fails(write: Write) -> None:
    """A property of the user's that fails is shown with the user's own line."""
    write("main.py", "class Code:\n    @property\n    def say(self): return 1 / 0\ncode = Code()")
    said = "main.py:code.say failed:\n  main.py:3: def say(self): return 1 / 0\n  ZeroDivisionError: division by zero"
    assert fault("main.py:code.say") == said


def test_missing_module() -> None:
    """A module that is nowhere: the interpreter and the folder that were asked, and how to install it there."""
    said = fault("nowhere_shop.app:answer")
    assert said.startswith("nowhere_shop.app: there is no module 'nowhere_shop' in ")
    assert f"among the packages of {sys.executable}" in said
    assert "pip install" in said


def test_missing_submodule(write: Write) -> None:
    """A package that is there without the module: no advice to install it."""
    write("shop/__init__.py", "")
    said = fault("shop.ap:answer")
    assert "there is no module 'shop.ap'" in said
    assert "The package 'shop' is there" in said
    assert "install" not in said


@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_missing_dependency(write: Write, spec: str) -> None:
    """What the user's code imports and is missing: the line, the interpreter, how to install it."""
    write("main.py", "import json\nimport nowhere_lib.sub\n")
    lines = fault(spec).splitlines()
    assert lines[0] == f"{spec.removesuffix(':answer')} cannot be imported:"
    assert lines[1] == "  main.py:2: import nowhere_lib.sub"
    assert lines[2] == "  ModuleNotFoundError: No module named 'nowhere_lib'"
    assert lines[3].startswith(f"  askd runs in {sys.executable}: install it with")
    assert "nowhere_lib" in lines[3]


def test_other_environment_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another environment is active, as beside pipx, the mend is to install askd there."""
    monkeypatch.setenv("VIRTUAL_ENV", "/opt/other")
    write("main.py", "import nowhere_lib\n")
    assert "The active environment, /opt/other, is another one" in fault("main.py:answer")


@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_fault_while_importing_shows_own_frames(write: Write, spec: str) -> None:
    """Only the user's frames are shown, with file, line and source; those of libraries and askd are not."""
    write("main.py", "import helper\n")
    write("helper.py", "import json\n\nCONFIG = json.loads('{')\n")
    said = fault(spec).splitlines()
    assert said[1:3] == ["  main.py:1: import helper", "  helper.py:3: CONFIG = json.loads('{')"]
    assert said[3].startswith("  json.decoder.JSONDecodeError: Expecting property name")
    assert len(said) == 4


@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_syntax_error(write: Write, spec: str) -> None:
    """A syntax error is shown where it is."""
    write("main.py", "x = 1\ndef answer(text) return text\n")
    assert fault(spec).splitlines()[1:] == [
        "  main.py:2: def answer(text) return text",
        "  SyntaxError: expected ':'",
    ]


@pytest.mark.parametrize("kind", ["SystemExit(3)", "KeyboardInterrupt"])
@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_exit_while_importing(write: Write, spec: str, kind: str) -> None:
    """A script that ends the process when it is imported is a LoadError, and can be loaded once it is mended."""
    path = write("main.py", f"raise {kind}\n")
    said = fault(spec)
    assert f"main.py:1: raise {kind}" in said
    assert ("__main__" in said) == kind.startswith("SystemExit")
    assert "main" not in sys.modules
    path.write_text("def answer(text): return text  # mended\n")
    assert callable(find(spec).value)


def test_names_that_are_taken(write: Write) -> None:
    """A file that is called like a module in use would hide it from others: rename it."""
    write("random.py", "def answer(text): ...")
    write("pytest.py", "def answer(text): ...")
    assert "like a module of Python itself" in fault("random.py:answer")
    assert "like the module pytest, which is imported already from" in fault("pytest.py:answer")


@pytest.mark.parametrize("line", ["from service import shop", "import service.shop"])
def test_own_package_called_service(write: Write, line: str) -> None:
    """User code that imports its own `service` gets askd's, and is told."""
    write("main.py", line)
    assert "The package `service` that is imported here is askd's own: rename yours." in fault("main.py:answer")


def test_relative_import_in_a_file(write: Write) -> None:
    """A file of a package that is given as a file is told how to be given."""
    write("shop/__init__.py", "")
    write("shop/main.py", "from . import words")
    assert "name it as package.module:attr" in fault("shop/main.py:answer")


def test_long_messages_are_cut(write: Write) -> None:
    """An exception that says very much does not fill the screen."""
    write("main.py", "raise ValueError('\\n'.join(map(str, range(1000))))")
    assert len(fault("main.py:answer").splitlines()) < 20


async def test_nothing_is_imported_before_load(write: Write) -> None:
    """The import waits for `load`, which runs it in a thread."""
    write("main.py", "import threading\nWHERE = threading.current_thread().name\ndef answer(text): return WHERE")
    function = Function("main.py:answer", threads=1, deterministic=None)
    assert "main" not in sys.modules
    lines: list[str] = []
    await function.load(lines.append)
    assert (lines, sys.modules["main"].WHERE) == (["importing main.py:answer"], "askd-aside-1")
    await function.close()


def test_installed_package(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of installed packages only the one that is named is the user's own."""
    write("site-packages/shop/__init__.py", "")
    write("site-packages/shop/app.py", "import lib\ndef answer(text): return text")
    write("site-packages/single.py", "def answer(text): return text")
    lib = write("site-packages/lib.py", "")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    assert find("shop.app:answer").root == tmp_path / "site-packages" / "shop"
    assert find("single:answer").root == tmp_path / "site-packages" / "single.py"
    for name in ("shop", "shop.app", "lib"):
        del sys.modules[name]
    lib.write_text("1 / 0")
    said = (
        "shop.app cannot be imported:\n  site-packages/shop/app.py:1: import lib\n  ZeroDivisionError: division by zero"
    )
    assert fault("shop.app:answer") == said
