"""Files of a book: finds them, reads them and recognizes those that are no books."""

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from askd.answerers.book.formats import BookFormatError, FormatReader
from askd.errors import LoadError
from askd.file_watcher import Snapshot, take_snapshot

_READERS: Final = {
    ".yaml": ("yaml_file", "READER"),
    ".yml": ("yaml_file", "READER"),
    ".json": ("json_file", "READER"),
    ".jsonl": ("json_file", "LINES_READER"),
    ".ndjson": ("json_file", "LINES_READER"),
    ".csv": ("table_file", "READER"),
    ".tsv": ("table_file", "READER"),
    ".md": ("markdown_file", "READER"),
    ".markdown": ("markdown_file", "READER"),
    ".mdx": ("markdown_file", "READER"),
}
"""Module and attribute of the reader of each suffix."""
_SUPPORTED_SUFFIXES: Final = ".yaml, .json, .jsonl, .csv, .tsv, .md or .mdx"
_PROJECT_FILE: Final = re.compile(
    r"(readme|changelog|changes|history|contributing|license|licence|code_of_conduct|security|authors)\b.*",
    re.IGNORECASE,
)
_BOOK_NAME: Final = re.compile(r"faq|q&a|question|(^|[^a-z])book", re.IGNORECASE)


def get_reader(path: Path) -> FormatReader:
    """Return the reader for a file, which is imported now: the built-in book starts faster without the YAML parser."""
    module, attribute = _READERS[path.suffix.lower()]
    reader: FormatReader = getattr(importlib.import_module(f"askd.answerers.book.formats.{module}"), attribute)
    return reader


def list_book_files(book: Path) -> list[Path]:
    """Return the files that may belong to the book, sorted by path.

    Raises:
        LoadError: The path does not exist, has an unsupported extension, or is a folder without such files.
    """
    if book.is_dir():
        paths = sorted(_walk_folder(book), key=lambda path: path.relative_to(book).parts)
        if not paths:
            raise LoadError(
                f"{book}: the folder contains no {_SUPPORTED_SUFFIXES} file: add one (dotfiles are ignored)"
            )
        return paths
    if not book.exists():
        raise LoadError(f"{book}: no such file or folder: give the path of a book ({_SUPPORTED_SUFFIXES}, or a folder)")
    if book.suffix.lower() not in _READERS:
        reason = f"unsupported file extension {book.suffix}" if book.suffix else "missing file extension"
        raise LoadError(f"{book}: {reason}: give a file that ends in {_SUPPORTED_SUFFIXES}, or a folder")
    return [book]


def _walk_folder(folder: Path) -> Iterator[Path]:
    """Yield the folder's files. Follows links, as in a mounted ConfigMap, but visits each folder once."""
    visited: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable_folder):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in _READERS:
                yield Path(root, name)


def _raise_unreadable_folder(error: OSError) -> None:
    raise LoadError(f"{error.filename}: cannot list the folder ({error.strerror}): make it readable for the server")


def looks_like_book(path: Path, data: bytes) -> bool:
    """Return whether a file of a folder is part of the book: by its name, otherwise by its content."""
    if _PROJECT_FILE.fullmatch(path.stem):
        return False
    if not data.strip():
        return True  # perhaps half saved: its error must stop the load, not its absence go unnoticed
    reader = get_reader(path)
    try:
        if _BOOK_NAME.search(path.stem):
            return any(reader.read_entries(data))
        return reader.is_book(data)
    except BookFormatError:
        return True  # its error must be seen


def take_book_snapshot(book: Path) -> Snapshot:
    """Return the state of the book's files; empty if the book cannot be found."""
    try:
        return take_snapshot(list_book_files(book))
    except (LoadError, OSError):
        return {}


def read_book_file(path: Path) -> bytes:
    """Return the content of the file. Raises LoadError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
