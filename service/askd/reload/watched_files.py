"""Files that `--reload` watches: the user's code, variables, and askd's own source if it is editable."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import askd
from askd.answerers.user_code.exceptions import is_in_site_packages
from askd.file_watcher import Snapshot, take_snapshot

_CODE_FILE: Final = re.compile(r"(?P<file>.+\.py|(.*/)?langgraph\.json)([:#].*)?")
_SKIPPED_FOLDERS: Final = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
_ASKD_SUFFIXES: Final = (".py", ".html", ".css", ".js", ".yaml")
"""Suffixes of askd's own files."""
_MAX_FOLDERS: Final = 2000
"""More than a project has: a limit for code in a home folder or in `/`."""


class WatchedFiles:
    """The `.py` files of the code's folder, its subfolders and the folders that a worker imported from; variables.

    Other files do not count, so that data that the code writes does not restart it.

    Args:
        spec: The answerer's spec. Its folder is the working directory unless it names a file. A book is not watched
            here, because it watches itself.
        env_files: Paths of the files with variables, which need not exist.
    """

    def __init__(self, spec: str | None, env_files: Sequence[str]) -> None:
        match = _CODE_FILE.fullmatch(spec or "")
        is_module = spec is not None and ":" in spec and "://" not in spec
        self._root = Path(match["file"]).absolute().parent if match else Path.cwd() if is_module else None
        self._project = Path(match["file"]).absolute() if match and match["file"].endswith(".json") else None
        self._env_files = [str(Path(file).absolute()) for file in env_files]
        self._imported_folders: frozenset[str] = frozenset()
        source = Path(askd.__file__).parent
        self._askd_source = None if is_in_site_packages(source) else source

    def add_folders(self, folders: Iterable[str]) -> Snapshot:
        """Watch these folders too. Returns the state of the files in them."""
        root = self._root
        new = frozenset(folder for folder in folders if root is None or not Path(folder).is_relative_to(root))
        self._imported_folders |= new
        return take_snapshot(file for folder in new for file in _list_files(folder, (".py",)))

    def scan(self) -> Snapshot:
        """Return the state of all files."""
        folders = {*_walk_folders(self._root), *self._imported_folders}
        files = [file for folder in folders for file in _list_files(folder, (".py",))]
        files += [file for folder in _walk_folders(self._askd_source) for file in _list_files(folder, _ASKD_SUFFIXES)]
        return take_snapshot([*files, *self._env_files, *self._project_files()])

    def _project_files(self) -> Iterator[str]:
        """Yield langgraph.json and its env file, whose name may change."""
        if self._project is None:
            return
        yield str(self._project)
        try:
            env_file = json.loads(self._project.read_bytes()).get("env")
        except (OSError, ValueError, AttributeError):  # it is being edited
            return
        if isinstance(env_file, str):
            yield str(self._project.parent / env_file)


def _walk_folders(root: Path | None) -> Iterator[str]:
    """Yield the root and its subfolders, without hidden folders and virtual environments."""
    if root is None:
        return
    for number, (folder, subfolders, files) in enumerate(os.walk(root)):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name not in _SKIPPED_FOLDERS]
        if "pyvenv.cfg" in files:
            subfolders.clear()
        if number == _MAX_FOLDERS:
            return
        yield folder


def _list_files(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a fifth of the time of Path.iterdir
    except OSError:  # removed in the meantime
        return []
    return [f"{folder}{os.sep}{name}" for name in names if name.endswith(suffixes)]
