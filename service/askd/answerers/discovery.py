"""Find what a folder contains: the file to serve by default, and books."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from askd.errors import SpecError

BOOK_SUFFIXES: Final = (".yaml", ".yml", ".json", ".md")
DEFAULT_SPEC_FILES: Final = ("answer.py", "langgraph.json", "book.yaml", "book.yml", "book.json", "book.md")
"""With these names an image needs two lines only: `FROM askd` and `COPY answer.py ./`."""

_MAX_SCANNED_FILES: Final = 10_000


def find_default_spec(folder: Path) -> str | None:
    """Return the name of the file in `folder` to serve by default, or None to serve the built-in book.

    Raises:
        SpecError: The folder has several of these files.
    """
    names = [name for name in DEFAULT_SPEC_FILES if (folder / name).is_file()]
    if len(names) > 1:
        raise SpecError(
            f"{' and '.join(names)} are both in {folder.absolute()}: choose one, as in "
            f"`askd serve {names[0]}` or ASKD_ANSWERER={names[0]}"
        )
    return names[0] if names else None


def contains_book(folder: Path) -> bool:
    """Return whether the folder or a subfolder has a book file; hidden names are skipped. Raises OSError."""
    return any(Path(name).suffix.lower() in BOOK_SUFFIXES for name in _scanned_files(folder))


def visible_names(folder: Path) -> list[str]:
    """Return the names in the folder that do not start with a dot, sorted. Raises OSError."""
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


def _scanned_files(folder: Path) -> Iterator[str]:
    """Yield the names of the files below, up to a limit, because `/` is a folder too."""
    folder.stat()  # os.walk ignores a folder that cannot be read
    return itertools.islice(_visible_files(folder), _MAX_SCANNED_FILES)


def _visible_files(folder: Path) -> Iterator[str]:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (name for name in files if not name.startswith("."))
