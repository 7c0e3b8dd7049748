"""Conventions of CONTRIBUTING.md that no linter checks."""

import ast
import importlib
import io
import pkgutil
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

import askd

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("service", "tests", "tools", "benchmarks", "docs")
SOURCES = sorted(path for root in SOURCE_ROOTS for path in (ROOT / root).rglob("*.py"))
TESTS = [path for path in SOURCES if path.is_relative_to(ROOT / "tests")]
SLEEPING_CODE = ROOT / "tests" / "e2e" / "slow" / "code"
"""Answerers that sleep on request."""
MAX_LINES = 400
TEXT_SUFFIXES = {
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
SKIPPED_FOLDERS = {".git", "__pycache__", "build", "dist", "node_modules"}

SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore)(.*)", re.IGNORECASE)
CODE_AND_REASON = re.compile(r"(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[a-z, -]+\])[\s:;#,–—-]+\w+\W+\w+")
PERSONAL_PATH = re.compile(r"(?<![\w.:/-])/(home|root|work|Users)/\w")
PACKAGE_INDEX = re.compile(r"://|--(extra-)?index|--find-links")


def location(path: Path, line: int | None = None) -> str:
    """Return a path relative to the checkout, with the line as editors show it."""
    return str(path.relative_to(ROOT)) + (f":{line}" if line else "")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a file, including nested ones."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every comment of a file."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def sleep_lines(tree: ast.AST) -> Iterator[int]:
    """Yield lines that call time.sleep, or asyncio.sleep with anything but a literal 0."""
    imported_names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio", "anyio"}
        for alias in node.names
        if alias.name == "sleep"
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        only_yields = "time." not in name and [ast.unparse(argument) for argument in call.args] == ["0"]
        if (name in {"time.sleep", "asyncio.sleep", "anyio.sleep"} or name in imported_names) and not only_yields:
            yield call.lineno


def text_files() -> Iterator[Path]:
    """Yield the project's text files that git tracks; in a source distribution, all text files."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\0")
    for path in [ROOT / name for name in tracked if name] or ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        is_cache = any(part.startswith(".venv") or part.endswith("_cache") for part in parts)
        if path.is_file() and path.suffix in TEXT_SUFFIXES and not is_cache and SKIPPED_FOLDERS.isdisjoint(parts):
            yield path


def project_table() -> dict[str, Any]:
    """Read the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def locked_requirements() -> list[Requirement]:
    """Read the requirements of requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_files_are_short() -> None:
    """No Python file except tests has more than 400 lines."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES if path not in TESTS}
    assert not {location(path): length for path, length in lengths.items() if length > MAX_LINES}


def test_every_test_has_a_docstring_of_one_line() -> None:
    """Every test function has a docstring of one line that ends with a full stop."""
    violations = [
        f"{location(path, function.lineno)} {function.name}"
        for path in TESTS
        for function in functions(path)
        if function.name.startswith("test_")
        and not re.fullmatch(r"[^\n]*\.", ast.get_docstring(function, clean=False) or "")
    ]
    assert not violations


def test_import_layers() -> None:
    """The import contracts in pyproject.toml hold."""
    lint_imports = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_suppressions_name_the_rule_and_the_reason() -> None:
    """Every `noqa` and `type: ignore` names its codes, then gives a reason on the same line."""
    violations = [
        location(path, line)
        for path in SOURCES
        for line, comment in comments(path)
        for suppression in SUPPRESSION.finditer(comment)
        if not CODE_AND_REASON.match(suppression[2])
    ]
    assert not violations


@pytest.mark.parametrize(
    ("comment", "valid"),
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
def test_suppression_needs_code_and_reason(comment: str, valid: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A suppression with only a code, or only a reason, is rejected."""
    assert bool(CODE_AND_REASON.match(SUPPRESSION.findall(comment)[0][1])) == valid


def test_no_test_sleeps() -> None:
    """Tests wait for events: none calls time.sleep, or asyncio.sleep of more than 0."""
    tests = [path for path in TESTS if not path.is_relative_to(SLEEPING_CODE)]
    assert not [
        location(path, line) for path in tests for line in sleep_lines(ast.parse(path.read_text(encoding="utf-8")))
    ]


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
def test_sleeps_are_found(code: str, expected: list[int]) -> None:
    """Sleeps are found under any imported name; yielding to the event loop is allowed."""
    assert list(sleep_lines(ast.parse(code))) == expected


def test_no_file_has_a_personal_path() -> None:
    """No file contains an absolute path into a home or work folder."""
    violations = [
        location(path, number)
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if PERSONAL_PATH.search(line)
    ]
    assert not violations


def test_lock_file_satisfies_the_requirements() -> None:
    """Every requirement of the package and its extras is locked at a version that its bounds allow."""
    extras = project_table()["optional-dependencies"].values()
    requirements = [Requirement(text) for group in (project_table()["dependencies"], *extras) for text in group]
    for requirement in requirements:
        pins = [pin for pin in locked_requirements() if pin.name.lower() == requirement.name.lower()]
        assert pins, f"{requirement} is not in requirements.lock: run make lock"
        for pin in pins:
            version = str(pin.specifier).removeprefix("==")
            assert requirement.specifier.contains(version), f"{pin} does not satisfy {requirement}: run make lock"


def test_lock_file_has_exact_versions_and_no_index() -> None:
    """Every line of the lock file is an exact version; no line names a package index."""
    assert all(re.fullmatch(r"==[\w.!+]+", str(pin.specifier)) and not pin.url for pin in locked_requirements())
    assert not PACKAGE_INDEX.search((ROOT / "requirements.lock").read_text(encoding="utf-8"))


def subclasses_of_other_packages() -> Iterator[tuple[type, type]]:
    """Yield every class of askd with each of its base classes from another package."""
    for module_info in pkgutil.walk_packages(askd.__path__, "askd."):
        if module_info.name != "askd.__main__":
            module = importlib.import_module(module_info.name)
            for item in vars(module).values():
                if isinstance(item, type) and item.__module__ == module_info.name:
                    yield from ((item, base) for base in item.__mro__[1:] if not base.__module__.startswith("askd"))


def test_no_private_member_of_another_package_is_overridden() -> None:
    """Names that begin with one underscore may change in any release; SLF001 of ruff finds those that are read."""
    overridden = {
        f"{owner.__module__}.{owner.__qualname__}.{name}: {base.__module__}.{base.__qualname__}"
        for owner, base in subclasses_of_other_packages()
        for name in vars(owner)
        if re.fullmatch(r"_[a-z]\w*", name)
        and name in vars(base)
        and base.__module__.partition(".")[0] not in {"abc", "collections", "enum", "typing"}
        and name not in {"_abc_impl", "_is_protocol"}  # of every abstract class and of every protocol
    }
    assert overridden == set()
