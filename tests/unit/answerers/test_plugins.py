"""Plugins: answerer kinds that installed packages provide."""

import subprocess
import sys
from pathlib import Path

import pytest

from askd.answerers.registry import create_answerer
from askd.config import Settings
from askd.errors import SpecError
from tests.support.plugin_package import write_plugin_package

CODE = """
from askd.errors import SpecError
from askd.models import Answer, Answerer

class Loud(Answerer):
    kind = "loud"

    def __init__(self, spec):
        self.name = spec

    async def answer(self, question):
        return Answer(question.text.upper())

class Incomplete(Answerer):
    pass

def loud(spec, settings):
    return Loud(f"{spec} {settings.threads}")

def declining(spec, settings):
    return None

def strict(spec, settings):
    raise SpecError(f"{spec}: give a number")

def broken(spec, settings):
    return 1 / int("0")

def exiting(spec, settings):
    raise SystemExit("bye")

def other(spec, settings):
    return object()

def incomplete(spec, settings):
    return Incomplete()
"""
KINDS = {"gone": "no_such_module:loud", "nameless": "loud_kinds:absent"} | {
    name: f"loud_kinds:{name}" for name in ("loud", "declining", "strict", "broken", "exiting", "other", "incomplete")
}


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with working and failing plugins; return its folder."""
    folder = tmp_path / "packages"
    write_plugin_package(folder, "loud-kinds", {"loud_kinds": CODE}, KINDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "loud_kinds", raising=False)
    return folder


@pytest.mark.parametrize("spec", ["loud:", "loud:x", "loud:x.y:z", "loud://host/path?a=1#b", "loud:two\nlines"])
async def test_kind_is_selected_by_name(spec: str) -> None:
    """A spec that begins with the kind's name and a colon goes to its factory, with the settings."""
    answerer = create_answerer(Settings(answerer=spec, threads=3))
    assert (answerer.kind, answerer.name) == ("loud", f"{spec} 3")


REFUSALS = {
    "declining://x": (
        "invalid answerer 'declining://x': the answerer kind 'declining' of loud-kinds 1.0 does not accept it"
    ),
    "strict:x": "strict:x: give a number",
    "gone:x": (
        "The answerer kind 'gone' of loud-kinds 1.0 failed:\n  ModuleNotFoundError: No module named 'no_such_module'"
    ),
    "nameless:x": "AttributeError: module 'loud_kinds' has no attribute 'absent'",
    "exiting:x": "SystemExit: bye",
    "other:x": (
        "the answerer kind 'other' of loud-kinds 1.0 returned object: "
        "expected an instance of a subclass of askd.models.Answerer"
    ),
    "incomplete:x": "returned Incomplete without kind, name, answer: see docs/how-to/add-an-answerer.md",
    "nosuch://x": (
        "invalid answerer 'nosuch://x': no package provides the answerer kind 'nosuch' "
        "(installed kinds: broken, declining, exiting, "
    ),
}


@pytest.mark.parametrize(("spec", "message"), REFUSALS.items())
def test_errors(spec: str, message: str) -> None:
    """An error names the kind, and the name and version of its package."""
    with pytest.raises(SpecError) as caught:
        create_answerer(Settings(answerer=spec))
    assert message in str(caught.value)


def test_failing_factory(packages: Path) -> None:
    """The error of a factory that raises shows only the stack frames in its package."""
    with pytest.raises(SpecError) as caught:
        create_answerer(Settings(answerer="broken:x"))
    line = CODE[: CODE.index("return 1 /")].count("\n") + 1
    assert str(caught.value).splitlines() == [
        "The answerer kind 'broken' of loud-kinds 1.0 failed:",
        f'  packages/loud_kinds.py:{line}: return 1 / int("0")',
        "  ZeroDivisionError: division by zero",
    ]


def test_declined_spec_is_a_module(tmp_path: Path) -> None:
    """A `name:attr` that the plugin declines is a module; an existing file precedes any plugin."""
    assert create_answerer(Settings(answerer="declining:answer")).name == "declining:answer"
    (tmp_path / "loud:x.yaml").write_text("- ask: hello\n  answer: Hi\n")
    assert create_answerer(Settings(answerer="loud:x.yaml")).kind == "book"


def test_plugins_cannot_replace_remote_servers(packages: Path) -> None:
    """A plugin named http does not get URLs of servers."""
    write_plugin_package(packages, "taker", {}, {"http": "loud_kinds:loud"})
    assert create_answerer(Settings(answerer="https://example.org")).kind != "loud"


def test_two_packages_with_the_same_kind(packages: Path) -> None:
    """A kind that two packages provide is an error that names both."""
    write_plugin_package(packages, "other-kinds", {}, {"loud": "other_kinds:loud"})
    with pytest.raises(
        SpecError, match=r"'loud' is provided by loud-kinds 1\.0 and other-kinds 1\.0: uninstall all but"
    ):
        create_answerer(Settings(answerer="loud:x"))


@pytest.mark.parametrize(("spec", "imported"), [("loud:x", True), ("main:answer", False), (None, False)])
def test_plugins_are_imported_on_demand(
    packages: Path,
    spec: str | None,
    imported: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Other specs do not import the package, and the built-in book does not even scan the packages."""
    code = f"""
import sys
sys.path.insert(0, {str(packages)!r})
from askd.answerers.registry import create_answerer
from askd.config import Settings
create_answerer(Settings(answerer={spec!r}))
print("loud_kinds" in sys.modules, "importlib.metadata" in sys.modules or {spec!r} is not None)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert process.stdout == f"{imported} {spec is not None}\n"
