"""Deterministic functions: the declaration in the code, and the version for the cache."""

import importlib
import sys
from pathlib import Path

import pytest

from askd.answerers.function import FunctionAnswerer
from askd.errors import LoadError
from tests.support.user_function_fixtures import LoadFunction, WriteFile

Override = bool | None

DECLARED = {
    "function": "def answer(text): return text\nanswer.deterministic = True",
    "async function": "async def answer(text): return text\nanswer.deterministic = True",
    "partial": (
        "import functools\ndef say(mark, text): return text\nsay.deterministic = True\n"
        "answer = functools.partial(say, '!')"
    ),
    "partial itself": (
        "import functools\ndef say(mark, text): return text\n"
        "answer = functools.partial(say, '!')\nanswer.deterministic = True"
    ),
    "method": ("class Code:\n    def say(self, text): return text\n    say.deterministic = True\nanswer = Code().say"),
    "object": "class Code:\n    deterministic = True\n    def __call__(self, text): return text\nanswer = Code()",
    "class": "class answer:\n    deterministic = True\n    def __call__(self, text): return text",
    "call": (
        "class Code:\n    def __call__(self, text): return text\n    __call__.deterministic = True\nanswer = Code()"
    ),
}


@pytest.mark.parametrize("code", DECLARED.values(), ids=DECLARED.keys())
async def test_declared_by_code(load: LoadFunction, code: str) -> None:
    """`deterministic = True` may be on the function, the partial, the object or the class."""
    function = await load(code)
    assert function.deterministic
    assert len(function.version) == 16


async def test_not_by_default(load: LoadFunction) -> None:
    """Code without a declaration is not deterministic and its version is empty."""
    function = await load("def answer(text): return text")
    assert (function.deterministic, function.version) == (False, "")


@pytest.mark.parametrize("setting", [True, False])
async def test_setting_overrides_declaration(load: LoadFunction, setting: Override) -> None:
    """The setting overrides the declaration in the code."""
    code = f"def answer(text): return text\nanswer.deterministic = {not setting}"
    assert (await load(code, deterministic=setting)).deterministic is setting


@pytest.mark.parametrize("code", ["def answer(text, question): ...", "def answer(query: 'Question'): ..."])
@pytest.mark.parametrize("setting", [True, None])
async def test_question_cannot_be_deterministic(load: LoadFunction, code: str, setting: Override) -> None:
    """A function that takes the Question, which has the client and the request id, cannot be deterministic."""
    declared = "" if setting else "\nanswer.deterministic = True"
    with pytest.raises(LoadError, match=r"cannot be deterministic: .* Take only the text, or remove the declaration"):
        await load(code + declared, deterministic=setting)


async def version(spec: str) -> str:
    """Return the version of a deterministic function."""
    function = FunctionAnswerer(spec, threads=1, deterministic=True)
    await function.load(lambda line: None)
    await function.close()
    return function.version


async def test_version_depends_on_the_code(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code in another folder has the same version; a change in an imported module changes it."""
    versions = []
    for folder, word in [("a", "x"), ("b", "x"), ("c", "y")]:
        write(f"{folder}/main.py", "from helper import WORD\ndef answer(text): return WORD")
        write(f"{folder}/helper.py", f"WORD = {word!r}")
        with monkeypatch.context() as fresh:
            fresh.setattr(sys, "path", list(sys.path))
            versions.append(await version(f"{folder}/main.py:answer"))
        del sys.modules["helper"]
    assert versions[0] == versions[1] != versions[2]


async def test_version_of_a_package(write: WriteFile) -> None:
    """The version of a package depends on its modules."""
    write("shop/__init__.py", "")
    write("shop/app.py", "def answer(text): return text")
    first = await version("shop.app:answer")
    assert first == await version("shop.app:answer")
    write("shop/app.py", "def answer(text): return text * 2")
    assert first != await version("shop.app:answer")


async def test_version_of_an_installed_package(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other installed packages do not change the version, because their imports depend on earlier questions."""
    write("site-packages/shop/__init__.py", "")
    write("site-packages/shop/app.py", "def answer(text): return text")
    write("site-packages/lib.py", "")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    first = await version("shop.app:answer")
    importlib.import_module("lib")
    assert first == await version("shop.app:answer")


async def test_declared_version(load: LoadFunction) -> None:
    """Code whose answers depend on data may declare a version."""
    code = "def answer(text): return text\nanswer.deterministic, answer.version = True, 'model-7'"
    assert (await load(code)).version == "model-7"
