"""The habits of CONTRIBUTING.md that no other tool checks."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import service

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for name in ("service", "tests", "docs") for path in (ROOT / name).rglob("*.py"))
TESTS = [path for path in SOURCES if path.is_relative_to(ROOT / "tests")]
MEASURING = [ROOT / "tests" / name for name in ("benchmark", "figures", "cluster/proof/code")]
"""Measure time instead of guessing at it, so that they may wait for it; the last is asked to wait."""
TEXTS = {
    ".py",
    ".md",
    ".toml",
    ".lock",
    ".txt",
    ".yaml",
    ".yml",
    ".json",
    ".html",
    ".css",
    ".js",
    ".svg",
    ".sh",
    ".tpl",
    "",
}
NO_TEXT = {".git", "__pycache__", "build", "dist", "node_modules"}
LONGEST = 250

SILENCED = re.compile(r"#\s*(noqa|type:\s*ignore)(.*)", re.IGNORECASE)
REASONED = re.compile(r"(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[a-z, -]+\])[\s:;#,–—-]+\w+\W+\w+")
PLACE = re.compile(r"(?<![\w.:/-])/(home|root|work|Users)/\w")
INDEX = re.compile(r"://|--(extra-)?index|--find-links")


def shown(path: Path, line: int | None = None) -> str:
    """Name a place in the checkout as editors do."""
    return str(path.relative_to(ROOT)) + (f":{line}" if line else "")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function in a file, however deep."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Every comment in a file, with its line; what stands inside strings is none."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def naps(tree: ast.AST) -> Iterator[int]:
    """Lines that wait for time to pass: time.sleep, or asyncio.sleep of anything but a literal 0."""
    direct = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio", "anyio"}
        for alias in node.names
        if alias.name == "sleep"
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        yields = "time." not in name and [ast.unparse(each) for each in call.args] == ["0"]
        if (name in {"time.sleep", "asyncio.sleep", "anyio.sleep"} or name in direct) and not yields:
            yield call.lineno


def texts() -> Iterator[Path]:
    """Every file of text that belongs to the project, as git knows it, or in a source distribution all of them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\0")
    names = [ROOT / name for name in listed if name] or ROOT.rglob("*")
    for path in names:
        parts = path.relative_to(ROOT).parts
        hidden_venv = any(part.startswith(".venv") or part.endswith("_cache") for part in parts)
        if path.is_file() and path.suffix in TEXTS and not hidden_venv and NO_TEXT.isdisjoint(parts):
            yield path


def project() -> dict[str, Any]:
    """Read pyproject's table `project`."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def locked() -> list[Requirement]:
    """Read the lines of requirements.lock that pin something."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_no_file_is_too_long_to_be_read_in_one_go() -> None:
    """No Python file of askd has more than 250 lines."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "service").rglob("*.py")}
    assert not {shown(path): length for path, length in lengths.items() if length > LONGEST}


def test_every_test_says_in_one_line_what_holds() -> None:
    """Every test function has a docstring of one line that ends in a full stop."""
    faults = [
        f"{shown(path, function.lineno)} {function.name}"
        for path in TESTS
        for function in functions(path)
        if function.name.startswith("test_")
        and not re.fullmatch(r"[^\n]*\.", ast.get_docstring(function, clean=False) or "")
    ]
    assert not faults


def test_arrows_point_down() -> None:
    """The contracts on who may import whom, in pyproject.toml, hold."""
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_whoever_silences_a_tool_says_which_rule_and_why() -> None:
    """Every `noqa` and `type: ignore` names its codes, then gives a reason on the same line."""
    faults = [
        shown(path, line)
        for path in SOURCES
        for line, comment in comments(path)
        for silenced in SILENCED.finditer(comment)
        if not REASONED.match(silenced[2])
    ]
    assert not faults


@pytest.mark.parametrize(
    ("comment", "good"),
    [
        ("# noqa: BLE001 - an edge catches everything", True),
        ("# type: ignore[arg-type]  # the stub is wrong", True),
        ("# noqa", False),
        ("# noqa: BLE001", False),
        ("# noqa a word or two", False),
        ("# type: ignore  # the stub is wrong", False),
        ("# type: ignore[arg-type]", False),
    ],
)
def test_a_silence_needs_its_code_and_its_reason(comment: str, good: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A code without a reason, and a reason without a code, are both too little."""
    assert bool(REASONED.match(SILENCED.findall(comment)[0][1])) == good


def test_no_test_sleeps() -> None:
    """Tests wait for events: none calls time.sleep, or asyncio.sleep of more than 0."""
    waiting = [path for path in TESTS if not any(path.is_relative_to(each) for each in MEASURING)]
    assert not [shown(path, line) for path in waiting for line in naps(ast.parse(path.read_text(encoding="utf-8")))]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import time\ntime.sleep(0.1)", [2]),
        ("from asyncio import sleep as nap\nawait nap(1)", [2]),
        ("await asyncio.sleep(delay=1)", [1]),
        ("await asyncio.sleep(0)", []),
        ("clock.sleep(5)", []),
    ],
)
def test_naps_are_found(code: str, expected: list[int]) -> None:
    """The search for naps sees through imports, and lets a mere yield to the loop pass."""
    assert list(naps(ast.parse(code))) == expected


def test_the_changelog_knows_the_current_version() -> None:
    """CHANGELOG.md has a heading for the version that the package says it is."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^##\s+\[?v?{re.escape(service.__version__)}\b", text, re.MULTILINE)


def test_no_file_knows_where_it_was_written() -> None:
    """No file holds an absolute path into somebody's home or workplace."""
    faults = [
        shown(path, number)
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if PLACE.search(line)
    ]
    assert not faults


def test_the_lock_keeps_the_bounds() -> None:
    """Every requirement, of every extra, is locked at one exact version that its bounds allow."""
    extras = project()["optional-dependencies"].values()
    wanted = [Requirement(text) for group in (project()["dependencies"], *extras) for text in group]
    for requirement in wanted:
        pins = [pin for pin in locked() if pin.name.lower() == requirement.name.lower()]
        assert pins, f"{requirement} is not in requirements.lock: run make lock"
        for pin in pins:
            version = str(pin.specifier).removeprefix("==")
            assert requirement.specifier.contains(version), (
                f"{pin} is out of the bounds of {requirement}: run make lock"
            )


def test_the_lock_says_what_and_not_where_from() -> None:
    """Every line of the lock is an exact version; no line names an index."""
    assert all(re.fullmatch(r"==[\w.!+]+", str(pin.specifier)) and not pin.url for pin in locked())
    assert not INDEX.search((ROOT / "requirements.lock").read_text(encoding="utf-8"))
