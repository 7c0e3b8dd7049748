"""Faults of the user's code for people: a line, and below it, indented, the user's own frames and the mend if known."""

import contextlib
import importlib.util
import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ASKD: Final = Path(__file__).parents[1]
_SHOWN_FRAMES: Final = 5
_SHOWN_LINES: Final = 12


def import_failed(fault: BaseException, *, what: str, root: Path) -> str:
    """Say why the module `what` could not be imported. Files below `root` are the user's own."""
    return "\n  ".join([f"{what} cannot be imported:", *_told(fault, root), *_mends(fault)])


def call_failed(fault: BaseException, *, what: str, root: Path) -> str:
    """Say why `what`, a hook, a class or a property, failed."""
    return "\n  ".join([f"{what} failed:", *_told(fault, root)])


def no_module(name: str, missing: str) -> str:
    """Say where the user's own module was looked for; `missing` is it or the package of it that is not there."""
    asked = f"{name}: there is no module {missing!r} in {Path.cwd()} or among the packages of {sys.executable}."
    top = missing.partition(".")[0]
    if top != missing:
        return f"{asked} The package {missing.rpartition('.')[0]!r} is there: is the name right?"
    return f"{asked}\n  Start askd in the folder that holds {top}, or {_install(top)}{_other_environment()}"


def own_frames(fault: BaseException, root: Path) -> list[traceback.FrameSummary]:
    """Return the frames of the fault that lie in the user's own code, outermost first."""
    return [each for each in traceback.extract_tb(fault.__traceback__) if is_own(each.filename, root)]


def is_own(file: str, root: Path) -> bool:
    """Whether a file is the user's: below `root`, or at least neither askd's, Python's nor an installed package's."""
    path = Path(file)
    if not path.is_absolute() or path.is_relative_to(_ASKD):
        return False
    foreign = any(path.is_relative_to(each) for each in _library_folders() if not root.is_relative_to(each))
    return not foreign and (not is_installed(path) or path.is_relative_to(root))


def _library_folders() -> Iterator[str]:
    paths = sysconfig.get_paths()
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield paths[name]


def is_installed(path: Path) -> bool:
    """Whether it lies among installed packages."""
    return "site-packages" in path.parts or "dist-packages" in path.parts


def _told(fault: BaseException, root: Path) -> list[str]:
    frames = [(each.filename, each.lineno or 0) for each in own_frames(fault, root)[-_SHOWN_FRAMES:]]
    said = [line.rstrip() for part in traceback.format_exception_only(fault) for line in part.splitlines()]
    if isinstance(fault, SyntaxError) and fault.filename:
        frames.append((fault.filename, fault.lineno or 0))
        said = [f"{type(fault).__name__}: {fault.msg}"]
    lines = [f"{_near(file)}:{line}: {linecache.getline(file, line).strip()}".rstrip(": ") for file, line in frames]
    return [*lines, *said[:_SHOWN_LINES]]


def _near(file: str) -> str:
    with contextlib.suppress(ValueError):
        return str(Path(file).relative_to(Path.cwd()))
    return file


def _mends(fault: BaseException) -> Iterator[str]:
    if isinstance(fault, ModuleNotFoundError) and fault.name:
        top = fault.name.partition(".")[0]
        if top == _ASKD.name:
            yield "The package `service` that is imported here is askd's own: rename yours."
        else:
            yield f"askd runs in {sys.executable}: {_install(top)}{_other_environment()}"
    elif isinstance(fault, ImportError) and (fault.path or "").startswith(str(_ASKD)):
        yield "The package `service` that is imported here is askd's own: rename yours."
    elif isinstance(fault, ImportError) and "relative import" in str(fault):
        yield "The file belongs to a package: name it as package.module:attr, from the folder that holds the package."
    elif isinstance(fault, SystemExit):
        yield 'The module ends the process when it is imported: put that under `if __name__ == "__main__":`.'


def _install(top: str) -> str:
    """How to install it; where the package has another name than the module, that is for people to know."""
    if importlib.util.find_spec("pip"):
        return f"install it with `{sys.executable} -m pip install {top}` (the package's name may differ)"
    return f"install it with `uv pip install --python {sys.executable} {top}` (the package's name may differ)"


def _other_environment() -> str:
    """A tool's own environment, as pipx and uv make it, does not see what the active one has."""
    active = os.environ.get("VIRTUAL_ENV")
    if not active or os.path.realpath(active) == os.path.realpath(sys.prefix):
        return ""
    return f".\n  The active environment, {active}, is another one: install askd into it to use its packages"
