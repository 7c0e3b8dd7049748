"""Whether answers may be cached, as code declares it, and the version that they are cached under."""

import importlib
import sys
from pathlib import Path

import pytest

from service.answerers.function import Function
from service.errors import LoadError
from tests.answerers.function.user_code import Load, Write

Told = bool | None

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
async def test_declared_by_code(load: Load, code: str) -> None:
    """`deterministic = True` counts wherever the code has it, and gives the answers a version."""
    function = await load(code)
    assert function.deterministic
    assert len(function.version) == 16


async def test_not_by_default(load: Load) -> None:
    """Code that declares nothing is not cached, and needs no version."""
    function = await load("def answer(text): return text")
    assert (function.deterministic, function.version) == (False, "")


@pytest.mark.parametrize("told", [True, False])
async def test_setting_wins(load: Load, told: Told) -> None:
    """What the setting says wins over what the code declares."""
    code = f"def answer(text): return text\nanswer.deterministic = {not told}"
    assert (await load(code, deterministic=told)).deterministic is told


@pytest.mark.parametrize("code", ["def answer(text, question): ...", "def answer(it: 'Question'): ..."])
@pytest.mark.parametrize("told", [True, None])
async def test_not_with_the_question(load: Load, code: str, told: Told) -> None:
    """A function that sees the client or the request's id cannot be deterministic, whoever says so."""
    declared = "" if told else "\nanswer.deterministic = True"
    with pytest.raises(LoadError, match="cannot be deterministic: take the text alone, or drop the declaration"):
        await load(code + declared, deterministic=told)


async def version(spec: str) -> str:
    """The version of a deterministic function."""
    function = Function(spec, threads=1, deterministic=True)
    await function.load(lambda line: None)
    await function.close()
    return function.version


async def test_version_is_that_of_the_code(write: Write) -> None:
    """Equal code in another place has the same version; a change in a module that it imports gives another."""
    versions = []
    for folder, word in [("a", "x"), ("b", "x"), ("c", "y")]:
        write(f"{folder}/main.py", "from helper import WORD\ndef answer(text): return WORD")
        write(f"{folder}/helper.py", f"WORD = {word!r}")
        versions.append(await version(f"{folder}/main.py:answer"))
        del sys.modules["helper"]
    assert versions[0] == versions[1] != versions[2]


async def test_version_of_a_package(write: Write) -> None:
    """The version of a package counts its modules, wherever the name leads."""
    write("shop/__init__.py", "")
    write("shop/app.py", "def answer(text): return text")
    first = await version("shop.app:answer")
    assert first == await version("shop.app:answer")
    write("shop/app.py", "def answer(text): return text * 2")
    assert first != await version("shop.app:answer")


async def test_version_of_an_installed_package(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among installed packages only the named one counts: what else is imported differs by what was asked before."""
    write("site-packages/shop/__init__.py", "")
    write("site-packages/shop/app.py", "def answer(text): return text")
    write("site-packages/lib.py", "")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    first = await version("shop.app:answer")
    importlib.import_module("lib")
    assert first == await version("shop.app:answer")


async def test_version_of_its_own(load: Load) -> None:
    """Code whose data decide its answers names a version itself."""
    code = "def answer(text): return text\nanswer.deterministic, answer.version = True, 'model-7'"
    assert (await load(code)).version == "model-7"
