"""What to tell the person whose spec leads nowhere: what is there instead, and what to write."""

import difflib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BOOK_SUFFIXES: Final = (".yaml", ".yml", ".json", ".md")
_SEEN_AT_MOST: Final = 10_000
_SHAPES: Final = (
    "a book (file or folder of .yaml, .json, .md), package.module:name, path/to/file.py:name, langgraph.json, or a URL"
)
_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/].*|.*\\.*")


def astray(spec: str) -> str:
    """Return one line for people."""
    try:
        return f"{spec!r} names no answerer: {_why(spec)}"
    except (OSError, ValueError) as fault:
        return f"{spec!r} names no answerer: {getattr(fault, 'strerror', None) or fault}"


def holds_book(folder: Path) -> bool:
    """Whether a file of a book is in the folder or below; names that start with a dot do not count. Raises OSError."""
    return any(Path(name).suffix.lower() in BOOK_SUFFIXES for name in _files(folder))


def _files(folder: Path) -> Iterator[str]:
    """Yield the names of files below, of the first ten thousand: `/` is a folder too."""
    folder.stat()  # os.walk says nothing of a folder that cannot be read
    return itertools.islice(_visible_files(folder), _SEEN_AT_MOST)


def _visible_files(folder: Path) -> Iterator[str]:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (name for name in files if not name.startswith("."))


def _why(spec: str) -> str:
    if not spec:
        return f"it is empty. Give {_SHAPES}"
    if "://" in spec:
        return f"servers are asked at http://, https://, ask+http:// or ask+https://. Give {_SHAPES}"
    path = Path(spec)
    if path.is_dir():
        return _of_folder(path)
    if path.exists():
        return _of_file(path)
    if _WINDOWS.fullmatch(spec) and os.sep == "/":
        return f"this looks like a Windows path, and askd runs on {os.uname().sysname}: write it with /"
    place, colon, attribute = spec.rpartition(":")
    return _of_pair(place, attribute) if colon else _of_missing(path)


def _of_folder(path: Path) -> str:
    modules = sorted(each.name for each in path.glob("*.py") if each.name != "__init__.py")
    if modules:
        return f"the folder has no book, but {_some(modules)}: give {path / modules[0]}:NAME"
    found = _some(sorted(each.name for each in path.iterdir()))
    return f"the folder has no {_listed(BOOK_SUFFIXES)} file; it has {found or 'nothing'}"


def _of_file(path: Path) -> str:
    if not path.is_file():
        return "it is neither a file nor a folder"
    ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
    return f"the file {ending}. A book is {_listed(BOOK_SUFFIXES)}, code is path/to/file.py:name"


def _of_pair(place: str, attribute: str) -> str:
    if not place or (not attribute and ":" in place):
        return f"there is nothing beside the last colon: give {place or 'package.module:name or path/to/file.py:name'}"
    path = Path(place)
    if path.suffix != ".py" and Path(f"{place}.py").is_file():
        return f"there is no {place}, but {place}.py: give {place}.py:{attribute or 'NAME'}"
    if path.suffix == ".py" and not path.is_file():
        return _of_missing(path)
    if not all(part.isidentifier() for part in attribute.split(".")):
        return f"{attribute!r} after the colon is no name: give {place}:NAME, such as {place}:answer"
    if path.exists():
        return f"{place} is no Python file, so it has no {attribute}"
    return f"{place!r} is no module's name: give package.module:{attribute} or path/to/file.py:{attribute}"


def _of_missing(path: Path) -> str:
    name = str(path)
    if Path(f"{name}.py").is_file():
        return f"there is no such file, but {name}.py: give {name}.py, or {name}.py:NAME"
    folder = path.parent
    if all(part.isidentifier() for part in name.split(".")) and path.suffix not in {".py", *BOOK_SUFFIXES}:
        near = _nearest(path.name, folder)
        return f"there is no such file or folder{near}. If it is a module, name the function too: {name}:NAME"
    if not folder.is_dir():
        return f"there is no folder {folder}"
    return f"there is no {path.name} in {folder.resolve()}{_nearest(path.name, folder) or _contents(folder)}"


def _nearest(name: str, folder: Path) -> str:
    near = difflib.get_close_matches(name, _names(folder), n=3)
    return f"; near it are {_some(near)}" if near else ""


def _contents(folder: Path) -> str:
    names = _names(folder)
    return f"; it has {_some(names)}" if names else ", which is empty"


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
