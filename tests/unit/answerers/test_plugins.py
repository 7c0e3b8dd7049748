"""Kinds of answerers that installed packages add."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.answerers.spec import resolve
from service.errors import SpecError
from service.settings import Settings
from tests.answerers.installing import install

CODE = """
from service.errors import SpecError
from service.models import Answer, Answerer

class Loud(Answerer):
    kind = "loud"

    def __init__(self, spec):
        self.name = spec

    async def answer(self, question):
        return Answer(question.text.upper())

class Bare(Answerer):
    pass

def loud(spec, settings):
    return Loud(f"{spec} {settings.threads}")

def shy(spec, settings):
    return None

def strict(spec, settings):
    raise SpecError(f"{spec}: give a number")

def broken(spec, settings):
    return 1 / int("0")

def leaves(spec, settings):
    raise SystemExit("bye")

def other(spec, settings):
    return object()

def bare(spec, settings):
    return Bare()
"""
KINDS = {"gone": "no_such_module:loud", "nameless": "loud_kinds:absent"} | {
    name: f"loud_kinds:{name}" for name in ("loud", "shy", "strict", "broken", "leaves", "other", "bare")
}


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, of which one adds kinds that do well and kinds that do not."""
    folder = tmp_path / "packages"
    install(folder, "loud-kinds", {"loud_kinds": CODE}, KINDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "loud_kinds", raising=False)
    return folder


@pytest.mark.parametrize("spec", ["loud:", "loud:x", "loud:x.y:z", "loud://host/path?a=1#b", "loud:two\nlines"])
async def test_a_kind_is_asked_by_its_name(spec: str) -> None:
    """What begins with the kind's name and a colon goes to its factory, whole, with the settings."""
    answerer = resolve(Settings(answerer=spec, threads=3))
    assert (answerer.kind, answerer.name) == ("loud", f"{spec} 3")


REFUSALS = {
    "shy://x": "'shy://x' names no answerer: the kind 'shy' of loud-kinds 1.0 does not take it",
    "strict:x": "strict:x: give a number",
    "gone:x": "The kind 'gone' of loud-kinds 1.0 failed:\n  ModuleNotFoundError: No module named 'no_such_module'",
    "nameless:x": "AttributeError: module 'loud_kinds' has no attribute 'absent'",
    "leaves:x": "SystemExit: bye",
    "other:x": "the kind 'other' of loud-kinds 1.0 made a object: make a subclass of service.models.Answerer",
    "bare:x": "made a Bare without kind, name, answer: see docs/answerers.md",
    "nosuch://x": "'nosuch://x' names no answerer: no package adds the kind 'nosuch' (those installed add bare, ",
}


@pytest.mark.parametrize(("spec", "message"), REFUSALS.items())
def test_refusals(spec: str, message: str) -> None:
    """What a kind refuses or cannot do is said in words, with the package's name and version."""
    with pytest.raises(SpecError) as caught:
        resolve(Settings(answerer=spec))
    assert message in str(caught.value)


def test_a_factory_that_fails(packages: Path) -> None:
    """A factory that raises is told with the frames that lie in its package, and no others."""
    with pytest.raises(SpecError) as caught:
        resolve(Settings(answerer="broken:x"))
    line = CODE[: CODE.index("return 1 /")].count("\n") + 1
    assert str(caught.value).splitlines() == [
        "The kind 'broken' of loud-kinds 1.0 failed:",
        f'  packages/loud_kinds.py:{line}: return 1 / int("0")',
        "  ZeroDivisionError: division by zero",
    ]


def test_what_a_kind_leaves_is_a_module(tmp_path: Path) -> None:
    """`name:attr` that the kind does not take is tried as a module's; a file goes before any kind."""
    assert resolve(Settings(answerer="shy:answer")).name == "shy:answer"
    (tmp_path / "loud:x.yaml").write_text("- ask: hello\n  answer: Hi\n")
    assert resolve(Settings(answerer="loud:x.yaml")).kind == "book"


def test_servers_are_asked_by_askd_itself(packages: Path) -> None:
    """A package cannot take the addresses of servers over."""
    install(packages, "taker", {}, {"http": "loud_kinds:loud"})
    assert resolve(Settings(answerer="https://example.org")).kind != "loud"


def test_two_packages_with_one_kind(packages: Path) -> None:
    """Where two packages add a kind of the same name, neither is guessed."""
    install(packages, "other-kinds", {}, {"loud": "other_kinds:loud"})
    with pytest.raises(SpecError, match=r"'loud' is added by loud-kinds 1\.0 and other-kinds 1\.0: uninstall all but"):
        resolve(Settings(answerer="loud:x"))


@pytest.mark.parametrize(("spec", "imported"), [("loud:x", True), ("main:answer", False), (None, False)])
def test_a_package_is_imported_when_it_is_named(
    packages: Path,
    spec: str | None,
    imported: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """No other spec imports it; and a spec that names none does not look through the packages."""
    code = f"""
import sys
sys.path.insert(0, {str(packages)!r})
from service.answerers.spec import resolve
from service.settings import Settings
resolve(Settings(answerer={spec!r}))
print("loud_kinds" in sys.modules, "importlib.metadata" in sys.modules or {spec!r} is not None)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == f"{imported} {spec is not None}\n"
