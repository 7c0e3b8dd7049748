"""Importing the user's code: module search, and error messages."""

import importlib
import pickle
import sys
from pathlib import Path

import pytest

from askd.answerers.function import FunctionAnswerer
from askd.answerers.user_code.importer import resolve_target
from tests.support.user_function_fixtures import WriteFile, error_message


def test_file_is_imported_as_python_would(write: WriteFile) -> None:
    """The file's folder is last in sys.path, the current directory is unchanged, and the module is registered."""
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
    target = resolve_target("code/main.py:answer")
    assert target.value("") == "hi42"
    assert (target.module.__name__, target.module.__file__) == ("main", str(path))
    assert (sys.path[-2:], target.root) == ([str(path.parent), str(Path.cwd())], path.parent)
    assert pickle.loads(pickle.dumps(target.module.Point())) == target.module.Point()


def test_file_is_imported_once(write: WriteFile) -> None:
    """A file that is already imported is not run again."""
    write("main.py", "answer = str\n")
    assert resolve_target("main.py:answer").module is resolve_target("main.py:answer").module


def test_another_file_of_the_same_name(write: WriteFile) -> None:
    """Two files of the same name in different folders can be loaded one after the other."""
    for folder in "ab":
        write(f"{folder}/main.py", f"def answer(text): return {folder!r}")
    assert [resolve_target(f"{folder}/main.py:answer").value("") for folder in "ab"] == ["a", "b"]


def test_module_in_current_directory(write: WriteFile, tmp_path: Path) -> None:
    """A package in the current directory can be imported, including its relative imports."""
    write("shop/__init__.py", "")
    write("shop/words.py", "WORD = 'hi'")
    write("shop/app.py", "from .words import WORD\ndef answer(text): return WORD")
    target = resolve_target("shop.app:answer")
    assert target.value("") == "hi"
    assert target.root == tmp_path


def test_missing_attribute(write: WriteFile) -> None:
    """The error for a missing name lists the names that can answer, the most similar one first."""
    write("main.py", "from json import loads\ndef zebra(t): ...\ndef answer(t): ...\ndef startup(): ...")
    assert error_message("main.py:anser") == "main.py does not contain 'anser': it contains answer, zebra"


def test_missing_attribute_of_object(write: WriteFile) -> None:
    """The error for a missing name in an object lists its methods."""
    write("main.py", "class Code:\n    def say(self, t): ...\ncode = Code()")
    assert error_message("main.py:code.sag") == "main.py:code does not contain 'sag': it contains say"


def test_missing_attribute_of_empty_file(write: WriteFile) -> None:
    """The error says that the module has nothing that can be called."""
    write("main.py", "x = 1")
    assert error_message("main.py:answer") == "main.py does not contain 'answer' or anything else that can be called"


def test_failing_property(write: WriteFile) -> None:
    """The error of a property that raises has the user's line."""
    write("main.py", "class Code:\n    @property\n    def say(self): return 1 / 0\ncode = Code()")
    message = (
        "main.py:code.say failed:\n  main.py:3: def say(self): return 1 / 0\n  ZeroDivisionError: division by zero"
    )
    assert error_message("main.py:code.say") == message


def test_missing_module() -> None:
    """The error has the folder, the interpreter, and how to install a package, but not one with the module's name."""
    message = error_message("nowhere_shop.app:answer")
    assert message.startswith("nowhere_shop.app: cannot find the module 'nowhere_shop' in ")
    assert f"in the packages of {sys.executable}" in message
    assert "pip install" in message
    assert "install nowhere_shop" not in message


def test_missing_submodule(write: WriteFile) -> None:
    """If the package exists, the error does not suggest to install it."""
    write("shop/__init__.py", "")
    message = error_message("shop.ap:answer")
    assert "cannot find the module 'shop.ap'" in message
    assert "The package 'shop' exists" in message
    assert "install" not in message


@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_missing_dependency(write: WriteFile, spec: str) -> None:
    """The error for a missing dependency has the line, the interpreter, and how to install it."""
    write("main.py", "import json\nimport nowhere_lib.sub\n")
    lines = error_message(spec).splitlines()
    assert lines[0] == f"{spec.removesuffix(':answer')} cannot be imported:"
    assert lines[1] == "  main.py:2: import nowhere_lib.sub"
    assert lines[2] == "  ModuleNotFoundError: No module named 'nowhere_lib'"
    assert lines[3].startswith(f"  askd runs in {sys.executable}: install the package that contains it: `")
    assert "nowhere_lib" not in lines[3]


def test_missing_module_of_the_project(write: WriteFile, tmp_path: Path) -> None:
    """For a module that exists in the project, the hint is its folder: an installed package would be another one."""
    write("lib/acme/__init__.py", "")
    write("main.py", "import acme.shop")
    message = error_message("main.py:answer")
    assert f"lib/acme exists, but its folder is not importable: set PYTHONPATH={tmp_path / 'lib'}" in message
    assert "install" not in message
    message = error_message("acme.shop:answer")
    assert "lib/acme exists" in message
    assert "install" not in message


def test_hidden_module_of_the_project(write: WriteFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For a module of the project that an installed one hides, the hint is to rename it."""
    write("site-packages/tools_of_all.py", "")
    write("tools_of_all.py", "def shout(text): ...")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    write("main.py", "from tools_of_all import shout")
    message = error_message("main.py:answer")
    assert message.endswith("site-packages/tools_of_all.py hides tools_of_all.py: rename one of them")


def test_missing_submodule_of_an_installed_package(write: WriteFile) -> None:
    """For a missing submodule of an installed package, nothing is to be installed."""
    write("main.py", "import yaml.no_such_module")
    message = error_message("main.py:answer")
    assert message.endswith("but has no yaml.no_such_module: check the name and its version.")
    assert "pip install" not in message


def test_file_that_hides_a_package(write: WriteFile) -> None:
    """For a submodule of a name that is a file, the hint names the file."""
    write("shop.py", "")
    write("main.py", "import shop.words")
    message = error_message("main.py:answer")
    assert message.endswith("shop.py is not a package, so it has no shop.words: rename the file or the package")
    assert "install" not in message


def test_other_environment_is_named(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another environment is active, as with pipx, the hint is to install askd there."""
    monkeypatch.setenv("VIRTUAL_ENV", "/opt/other")
    write("main.py", "import nowhere_lib\n")
    assert "The active environment is /opt/other: install askd into it" in error_message("main.py:answer")


@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_import_error_shows_own_frames(write: WriteFile, spec: str) -> None:
    """The error has only the user's frames, with file, line and source."""
    write("main.py", "import helper\n")
    write("helper.py", "import json\n\nCONFIG = json.loads('{')\n")
    lines = error_message(spec).splitlines()
    assert lines[1:3] == ["  main.py:1: import helper", "  helper.py:3: CONFIG = json.loads('{')"]
    assert lines[3].startswith("  json.decoder.JSONDecodeError: Expecting property name")
    assert len(lines) == 4


@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_syntax_error(write: WriteFile, spec: str) -> None:
    """The error for a syntax error has its line."""
    write("main.py", "x = 1\ndef answer(text) return text\n")
    assert error_message(spec).splitlines()[1:] == [
        "  main.py:2: def answer(text) return text",
        "  SyntaxError: expected ':'",
    ]


@pytest.mark.parametrize("exception", ["SystemExit(3)", "KeyboardInterrupt"])
@pytest.mark.parametrize("spec", ["main.py:answer", "main:answer"])
def test_exit_while_importing(write: WriteFile, spec: str, exception: str) -> None:
    """A script that exits when it is imported is a LoadError, and can be loaded after it is fixed."""
    path = write("main.py", f"raise {exception}\n")
    message = error_message(spec)
    assert f"main.py:1: raise {exception}" in message
    assert ("__main__" in message) == exception.startswith("SystemExit")
    assert "main" not in sys.modules
    path.write_text("def answer(text): return text  # fixed\n")
    assert callable(resolve_target(spec).value)


@pytest.mark.parametrize("name", ["calendar", "queue", "pytest", "click"])
def test_names_of_other_modules(write: WriteFile, name: str) -> None:
    """A file with the name of another module is served and does not hide that module, imported or not."""
    before = sys.modules.get(name)
    write(f"{name}.py", f"import {name} as other\ndef answer(text): return other.__file__")
    target = resolve_target(f"{name}.py:answer")
    assert target.module.__name__ == f"_{name}_file"
    assert target.value("") == importlib.import_module(name).__file__ != target.module.__file__
    assert before in {None, sys.modules[name]}


def test_file_named_like_its_package(write: WriteFile) -> None:
    """A file named like its package can import the package and modules in the project's root."""
    write("src/agent/__init__.py", "")
    write("src/agent/words.py", "WORD = 'hi'")
    write("src/shared.py", "WORD = 'all'")
    code = "from agent.words import WORD\nimport shared\ndef answer(text): return f'{WORD} {shared.WORD}'"
    write("src/agent/agent.py", code)
    assert resolve_target("src/agent/agent.py:answer").value("") == "hi all"


@pytest.mark.parametrize("init", [True, False])
def test_relative_imports_in_a_file(write: WriteFile, *, init: bool) -> None:
    """A file with relative imports is imported as part of its package."""
    if init:
        write("code/shop/__init__.py", "")
    write("code/shop/words.py", "WORD = 'hi'")
    write("code/shop/main.py", "from .words import WORD\ndef answer(text): return WORD")
    target = resolve_target("code/shop/main.py:answer")
    assert (target.value(""), target.module.__name__) == ("hi", "shop.main")


def test_method_of_a_class(write: WriteFile) -> None:
    """A method that is not bound to an object is refused with the fix; static and class methods are served."""
    write(
        "main.py",
        """
        class Bot:
            def say(self, text): ...
            @staticmethod
            def shout(text): return text.upper()
            @classmethod
            def make(cls, text): return text
        """,
    )
    assert error_message("main.py:Bot.say") == (
        "main.py:Bot.say is a method of a class, not of an object: add `bot = Bot()` and name bot.say, "
        "or name the class if it has a `__call__`"
    )
    assert resolve_target("main.py:Bot.shout").value("hi") == "HI"
    assert resolve_target("main.py:Bot.make").value("hi") == "hi"


@pytest.mark.parametrize("spec", ["main.py:answer", "askd.shop:answer"])
def test_package_named_askd(write: WriteFile, spec: str) -> None:
    """A user's package called askd cannot be imported, and the error explains why."""
    write("askd/__init__.py", "")
    write("askd/shop.py", "def answer(text): return text")
    write("main.py", "import askd.shop")
    assert "`askd` is the server's own package: rename yours if it has the same name." in error_message(spec)


@pytest.mark.parametrize(
    "spec", ["service.py:answer", "service/main.py:answer", "service.main:answer", "main.py:answer"]
)
def test_modules_named_service(write: WriteFile, spec: str) -> None:
    """The user's own module or package may have the name service."""
    code = "def answer(text): return text.upper()"
    if spec == "service.py:answer":
        write("service.py", code)
    else:
        write("service/__init__.py", "")
        write("service/main.py", code)
        write("main.py", "from service.main import answer")
    assert resolve_target(spec).value("hi") == "HI"


def test_long_messages_are_truncated(write: WriteFile) -> None:
    """A long exception message is truncated."""
    write("main.py", "raise ValueError('\\n'.join(map(str, range(1000))))")
    assert len(error_message("main.py:answer").splitlines()) < 20


async def test_nothing_is_imported_before_load(write: WriteFile) -> None:
    """Only `load` imports the module, in a thread."""
    write("main.py", "import threading\nWHERE = threading.current_thread().name\ndef answer(text): return WHERE")
    function = FunctionAnswerer("main.py:answer", threads=1, deterministic=None)
    assert "main" not in sys.modules
    lines: list[str] = []
    await function.load(lines.append)
    assert (lines, sys.modules["main"].WHERE) == (["importing main.py:answer"], "askd-hooks-1")
    await function.close()


def test_installed_package(write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the named one of the installed packages is the user's own code."""
    write("site-packages/shop/__init__.py", "")
    write("site-packages/shop/app.py", "import lib\ndef answer(text): return text")
    write("site-packages/single.py", "def answer(text): return text")
    lib = write("site-packages/lib.py", "")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    assert resolve_target("shop.app:answer").root == tmp_path / "site-packages" / "shop"
    assert resolve_target("single:answer").root == tmp_path / "site-packages" / "single.py"
    for name in ("shop", "shop.app", "lib"):
        del sys.modules[name]
    lib.write_text("1 / 0")
    message = (
        "shop.app cannot be imported:\n  site-packages/shop/app.py:1: import lib\n  ZeroDivisionError: division by zero"
    )
    assert error_message("shop.app:answer") == message
