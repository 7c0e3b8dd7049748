"""Search folders: for the file to serve by default, and for books."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from askd.errors import SpecError

BOOK_SUFFIXES: Final = (".yaml", ".yml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".md", ".markdown", ".mdx")
_BOOK_NAMES: Final = tuple(f"book{suffix}" for suffix in BOOK_SUFFIXES)
_FAQ_NAMES: Final = tuple(f"faq{suffix}" for suffix in BOOK_SUFFIXES)
_DEFAULT_SPECS: Final = (("answer.py", "langgraph.json", *_BOOK_NAMES), ("main.py", "app.py"), _FAQ_NAMES)
"""Names of files that are served by default. The names of one group exclude each other; an earlier group wins."""
DEFAULT_SPEC_FILES: Final = tuple(name for group in _DEFAULT_SPECS for name in group)
"""With these names an image needs two lines only: `FROM askd` and `COPY answer.py ./`."""

_MAX_SCANNED_FILES: Final = 10_000
_DOCUMENT_SUFFIXES: Final = frozenset({".py", ".md", ".txt", ".csv", ".html", ".pdf", ".docx"})
"""Suffixes of files that somebody may want to serve; YAML and JSON files are mostly configuration."""
_OTHER_DOCUMENTS: Final = re.compile(
    r"readme|changelog|contributing|code_of_conduct|security|license|requirements|test_|conf|setup"
)
"""Names of files with these suffixes that are hardly meant to be served."""


def find_default_spec(folder: Path) -> str | None:
    """Return the name of the file in `folder` to serve by default, or None to serve the built-in book.

    Upper and lower case in names are the same.

    Raises:
        SpecError: The folder has several of these files.
    """
    files = {name.lower(): name for name in visible_names(folder) if (folder / name).is_file()}
    for group in _DEFAULT_SPECS:
        names = [files[name] for name in group if name in files]
        if len(names) > 1:
            raise SpecError(
                f"{' and '.join(names)} are both in {folder.absolute()}: choose one, as in "
                f"`askd serve {names[0]}` or ASKD_ANSWERER={names[0]}"
            )
        if names:
            return names[0]
    return None


def built_in_book_warning(folder: Path) -> str | None:
    """Return a warning if the built-in book is served although the folder has code or documents, else None."""
    files = [name for name in visible_names(folder) if (folder / name).is_file()]
    candidates = [
        name
        for name in files
        if Path(name).suffix.lower() in _DOCUMENT_SUFFIXES and not _OTHER_DOCUMENTS.match(name.lower())
    ]
    if not candidates:
        return None
    example = next((name for name in candidates if name.endswith(".py")), candidates[0])
    return (
        f"the built-in book is served: {folder.absolute()} has no answer.py, main.py, app.py, langgraph.json, book.* "
        f"or faq.*. To serve {example}, start `askd serve {example}`"
    )


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
