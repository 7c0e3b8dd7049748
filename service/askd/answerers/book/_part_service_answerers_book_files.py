"""Which files a book consists of, and a fingerprint that shows when they change."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from service.answerers.book import read_json, read_markdown, read_yaml
from service.answerers.book.entries import Reader
from service.errors import LoadError

READERS: Final[dict[str, Reader]] = {
    ".yaml": read_yaml.READER,
    ".yml": read_yaml.READER,
    ".json": read_json.READER,
    ".md": read_markdown.READER,
}
_ENDINGS: Final = ".yaml, .yml, .json or .md"

Fingerprint: TypeAlias = tuple[tuple[str, int, int, int, int], ...]


def files(book: Path) -> list[Path]:
    """Return the book's files in their order. Raises LoadError where there are none."""
    if book.is_dir():
        found = sorted(_inside(book), key=lambda path: path.relative_to(book).parts)
        if not found:
            raise LoadError(
                f"{book}: the folder has no {_ENDINGS} file: put one there, its name not beginning with a dot"
            )
        return found
    if not book.exists():
        raise LoadError(f"{book}: there is no such file or folder: give the path of a book ({_ENDINGS}, or a folder)")
    if book.suffix.lower() not in READERS:
        ending = f"the ending {book.suffix}" if book.suffix else "a name without ending"
        raise LoadError(f"{book}: {ending} is not that of a book: give a file that ends in {_ENDINGS}, or a folder")
    return [book]


def _inside(folder: Path) -> Iterator[Path]:
    """Yield the folder's files, also below links to folders, as in a mounted ConfigMap; no circle is followed."""
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        identity = Path(root).stat()
        if (identity.st_dev, identity.st_ino) in seen:
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in READERS:
                yield Path(root, name)


def _unreadable(fault: OSError) -> None:
    raise LoadError(f"{fault.filename}: cannot be listed ({fault.strerror}): allow the server to read it")


def fingerprint(book: Path) -> Fingerprint:
    """Return what changes with any of the files: names, places, times, sizes. Empty where there is no book."""
    try:
        return tuple(_identity(path) for path in files(book))
    except (LoadError, OSError):
        return ()


def _identity(path: Path) -> tuple[str, int, int, int, int]:
    found = path.stat()
    return str(path), found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def read(path: Path) -> bytes:
    """Return the file's bytes. Raises LoadError."""
    try:
        return path.read_bytes()
    except OSError as fault:
        raise LoadError(f"{path}: cannot be read ({fault.strerror}): check its permissions") from None
