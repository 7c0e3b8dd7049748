"""Which files make up the user's code, and how they are now."""

import contextlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

State = tuple[int, int, int]
"""Time of the last change in ns, size in bytes, inode: a save changes at least one of them."""
Snapshot = Mapping[str, State]
"""Path → how that file is."""

_FILE: Final = re.compile(r"(?P<file>.+\.py)(:[^/\\]*)?")
_GRAPHS: Final = re.compile(r"(?P<file>(.*/)?langgraph\.json)(#.*)?")
_MODULE: Final = re.compile(r"(?P<top>[^\W\d]\w*)(\.\w+)*:.*")
_SKIPPED: Final = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
_PROGRAM: Final = (".py", ".html", ".css", ".js", ".yaml")
"""What askd's own files end in."""
_MOST_FOLDERS: Final = 2000
"""More than a project has: a bound for a file that lies in a home folder or in `/`."""


class Places:
    """The folders with code: that of the spec and those below it, and what a worker found that it imported from.

    `env_files` are the files of variables. Of a folder its `.py` files count, of the spec's also `langgraph.json` and
    `.env`; what a program writes beside its code must not restart it. `program` is the folder of askd's own source, of
    which its pages and books count too; None: it is installed, and nobody edits it.
    """

    def __init__(self, spec: str | None, env_files: Sequence[str], *, program: Path | None = None) -> None:
        self._root, files = _root(spec)
        self._program = program
        self._files = tuple(os.path.abspath(file) for file in (*files, *env_files))  # noqa: PTH100 resolve() follows links, and the link may change too
        self._found: frozenset[str] = frozenset()

    def also(self, folders: Iterable[str]) -> Snapshot:
        """Count the `.py` files of these folders too, from now on; return how those are that did not count before."""
        new = {folder for folder in folders if not self._is_below_root(folder)} - self._found
        self._found |= new
        seen: dict[str, State] = {}
        for folder in new:
            _note_folder(folder, seen)
        return seen

    def look(self) -> tuple[list[str], Snapshot]:
        """Return the folders to watch, none with those below it, and how every file that counts is now."""
        folders = {*_walk(self._root), *self._found}
        seen: dict[str, State] = {}
        for folder in folders:
            _note_folder(folder, seen)
        for folder in _walk(self._program):
            folders.add(folder)
            _note_folder(folder, seen, _PROGRAM)
        for file in (*self._files, *self._named_env()):
            _note(file, seen)
        folders |= {str(Path(file).parent) for file in self._files}
        return sorted(folder for folder in folders if Path(folder).is_dir()), seen

    def _is_below_root(self, folder: str) -> bool:
        return self._root is not None and Path(folder).is_relative_to(self._root)

    def _named_env(self) -> Iterator[str]:
        """Yield the file of variables that langgraph.json names; it may name another at any time."""
        for file in (Path(each) for each in self._files if each.endswith("langgraph.json")):
            try:
                named = json.loads(file.read_bytes()).get("env")
            except (OSError, ValueError, AttributeError):
                continue
            if isinstance(named, str):
                yield str(file.parent / named)


def _walk(root: str | Path | None) -> Iterator[str]:
    """Yield the root and the folders below it, but for hidden ones and whole environments; None: nothing."""
    if root is None:
        return
    for number, (folder, below, files) in enumerate(os.walk(root)):
        below[:] = [name for name in below if not name.startswith(".") and name not in _SKIPPED]
        if "pyvenv.cfg" in files:
            below.clear()
        if number == _MOST_FOLDERS:
            return
        yield folder


def _root(spec: str | None) -> tuple[str | None, list[str]]:
    """Return the spec's own folder, and files in it that count beside the code; a book watches itself."""
    if spec is None:
        return None, []
    if found := _GRAPHS.fullmatch(spec):
        folder = Path(found["file"]).absolute().parent
        return str(folder), [found["file"], str(folder / ".env")]
    if found := _FILE.fullmatch(spec):
        folder = Path(found["file"]).absolute().parent
        return str(folder), [str(folder / ".env")]
    found = _MODULE.fullmatch(spec)
    root = _package(found["top"]) if found else None
    return root, [".env"] if root else []


def _package(name: str) -> str | None:
    """Return the folder of a top package, or of a single module; None: it is not there, or not the user's own."""
    here = Path.cwd()
    if (here / name).is_dir():
        return str(here / name)
    if (here / f"{name}.py").is_file():
        return str(here)
    if name in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None or not spec.origin else str(Path(spec.origin).parent)


def _note_folder(folder: str, seen: dict[str, State], suffixes: tuple[str, ...] = (".py",)) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffixes):
                _note(entry.path, seen)


def _note(file: str, seen: dict[str, State]) -> None:
    with contextlib.suppress(OSError):  # it may be gone by now
        stat = Path(file).stat()
        seen[file] = stat.st_mtime_ns, stat.st_size, stat.st_ino
