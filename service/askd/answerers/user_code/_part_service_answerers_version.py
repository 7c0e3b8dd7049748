"""A version of the user's code: equal where the code is, on any machine, and another after any change to it."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from service.answerers.faults import is_own

_DIGITS: Final = 16


def version_of(module: ModuleType, root: Path) -> str:
    """Return a hash of the files of `module` and of every module below `root` that it has imported.

    Where the code stands does not count, nor do installed packages and data files.
    """
    digest = hashlib.sha256()
    for name, file in sorted(_files(module, root)):
        content = hashlib.sha256(file.read_bytes()).digest()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:_DIGITS]


def _files(module: ModuleType, root: Path) -> Iterator[tuple[str, Path]]:
    for each in {id(each): each for each in (module, *list(sys.modules.values()))}.values():
        file = Path(getattr(each, "__file__", None) or "-")
        if (each is module or (is_own(str(file), root) and file.is_relative_to(root))) and file.is_file():
            yield file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name, file
