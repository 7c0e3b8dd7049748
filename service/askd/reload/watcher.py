"""Watch the files that `--reload` depends on.

WatchedFiles decides which files count; SourceWatcher reports their changes from a thread. A file system event only
triggers a scan, and the comparison of two scans decides. That covers saves by rename, new folders, and events that
never arrive (network file systems, files shared into a container) without special cases.
"""

import contextlib
import importlib.util
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
import watchfiles

FileState = tuple[int, int, int]
"""Modification time in ns, size in bytes, inode: a save changes at least one of them."""
Snapshot = Mapping[str, FileState]
"""State of each file, by its path."""

_FILE_SPEC: Final = re.compile(r"(?P<file>.+\.py)(:[^/\\]*)?")
_LANGGRAPH_SPEC: Final = re.compile(r"(?P<file>(.*/)?langgraph\.json)(#.*)?")
_MODULE_SPEC: Final = re.compile(r"(?P<top>[^\W\d]\w*)(\.\w+)*:.*")
_SKIPPED_FOLDERS: Final = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
_ASKD_SUFFIXES: Final = (".py", ".html", ".css", ".js", ".yaml")
"""Suffixes of askd's own files."""
_MAX_FOLDERS: Final = 2000
"""More than a project has: a limit for code in a home folder or in `/`."""
_POLL_INTERVAL_MS: Final = 500
"""Milliseconds between two scans without an event …"""
_SCAN_PAUSE_FACTOR: Final = 20
"""… but at least this many times the duration of a scan."""
_BURST_GAP_MS: Final = 30
"""Milliseconds without an event that end a burst of events …"""
_MAX_BURST_MS: Final = 300
"""… and its maximum duration."""
_MISSING_FILE_GRACE: Final = 0.3
"""Seconds for which a file may be missing in the middle of a save before it counts as deleted."""

_log = structlog.get_logger("askd.reload")


class WatchedFiles:
    """Files of the user's code: the folder of the spec with its subfolders, and folders that a worker imported from.

    Only `.py` files count, and `langgraph.json` and `.env` beside the spec, so that data that the code writes does not
    restart it.

    Args:
        spec: The answerer's spec. A book is not watched here, because it watches itself.
        env_files: Paths given with `--env-file`.
        askd_source: Folder of askd's source, whose templates and books count as well. None if askd is installed.
    """

    def __init__(self, spec: str | None, env_files: Sequence[str], *, askd_source: Path | None = None) -> None:
        self._code_root, files = _find_code_root(spec)
        self._askd_source = askd_source
        self._extra_files = tuple(os.path.abspath(file) for file in (*files, *env_files))  # noqa: PTH100 - resolve() follows symbolic links, and the link itself may change
        self._imported_folders: frozenset[str] = frozenset()

    def add_folders(self, folders: Iterable[str]) -> Snapshot:
        """Watch the `.py` files of these folders too. Returns the state of the files that were not watched before."""
        new = {folder for folder in folders if not self._is_below_root(folder)} - self._imported_folders
        self._imported_folders |= new
        states: dict[str, FileState] = {}
        for folder in new:
            _add_folder_files(folder, states)
        return states

    def scan(self) -> tuple[list[str], Snapshot]:
        """Return the folders to watch (not recursively) and the state of every file that counts."""
        folders = {*_walk_folders(self._code_root), *self._imported_folders}
        states: dict[str, FileState] = {}
        for folder in folders:
            _add_folder_files(folder, states)
        for folder in _walk_folders(self._askd_source):
            folders.add(folder)
            _add_folder_files(folder, states, _ASKD_SUFFIXES)
        for file in (*self._extra_files, *self._langgraph_env_files()):
            _add_file(file, states)
        folders |= {str(Path(file).parent) for file in self._extra_files}
        return sorted(folder for folder in folders if Path(folder).is_dir()), states

    def _is_below_root(self, folder: str) -> bool:
        return self._code_root is not None and Path(folder).is_relative_to(self._code_root)

    def _langgraph_env_files(self) -> Iterator[str]:
        """Yield the env file that langgraph.json names. It is read each time, because the name may change."""
        for file in (Path(path) for path in self._extra_files if path.endswith("langgraph.json")):
            try:
                env_file = json.loads(file.read_bytes()).get("env")
            except (OSError, ValueError, AttributeError):
                continue
            if isinstance(env_file, str):
                yield str(file.parent / env_file)


def _walk_folders(root: str | Path | None) -> Iterator[str]:
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


def _find_code_root(spec: str | None) -> tuple[str | None, list[str]]:
    """Return the folder of the spec's code, if any, and files that count besides the code."""
    if spec is None:
        return None, []
    if match := _LANGGRAPH_SPEC.fullmatch(spec):
        folder = Path(match["file"]).absolute().parent
        return str(folder), [match["file"], str(folder / ".env")]
    if match := _FILE_SPEC.fullmatch(spec):
        folder = Path(match["file"]).absolute().parent
        return str(folder), [str(folder / ".env")]
    match = _MODULE_SPEC.fullmatch(spec)
    root = _find_package_folder(match["top"]) if match else None
    return root, [".env"] if root else []


def _find_package_folder(name: str) -> str | None:
    """Return the folder of a top-level package or module. None if it is missing or not the user's."""
    working_directory = Path.cwd()
    if (working_directory / name).is_dir():
        return str(working_directory / name)
    if (working_directory / f"{name}.py").is_file():
        return str(working_directory)
    if name in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None or not spec.origin else str(Path(spec.origin).parent)


def _add_folder_files(folder: str, states: dict[str, FileState], suffixes: tuple[str, ...] = (".py",)) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffixes):
                _add_file(entry.path, states)


def _add_file(file: str, states: dict[str, FileState]) -> None:
    with contextlib.suppress(OSError):  # deleted in the meantime
        stat = Path(file).stat()
        states[file] = stat.st_mtime_ns, stat.st_size, stat.st_ino


class SourceWatcher:
    """Calls `on_change` from a thread after each burst of changes, with paths relative to the working directory."""

    def __init__(self, files: WatchedFiles, on_change: Callable[[Sequence[str]], object]) -> None:
        self._watched_files = files
        self._on_change = on_change
        self._folders, self._last_snapshot = files.scan()
        self._missing_since: float | None = None
        self._lock = threading.Lock()
        self._stop_event = threading.Event()
        self._thread = threading.Thread(target=self._run, name="askd-reload-watch", daemon=True)

    def start(self) -> None:
        """Report changes since this object was created."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Stop watching, and wait up to `timeout` seconds for the thread."""
        self._stop_event.set()
        self._thread.join(timeout)

    def add_folders(self, folders: Sequence[str]) -> None:
        """Watch these folders too. The files in them now are not reported as changes."""
        with self._lock:
            self._last_snapshot = {**self._watched_files.add_folders(folders), **self._last_snapshot}

    def _run(self) -> None:
        while not self._stop_event.is_set():
            folders, next_scan = self._folders, 0.0
            for events in self._wait_for_events(folders):
                if events or self._missing_since is not None or time.monotonic() >= next_scan:
                    next_scan = time.monotonic() + _SCAN_PAUSE_FACTOR * self._check_for_changes()
                if self._folders != folders:
                    break  # watch the new folders

    def _wait_for_events(self, folders: Sequence[str]) -> Iterator[object]:
        """Yield after each burst of events and at least every _POLL_INTERVAL_MS, until stopped."""
        try:
            yield from watchfiles.watch(
                *folders,
                watch_filter=None,
                step=_BURST_GAP_MS,
                debounce=_MAX_BURST_MS,
                rust_timeout=_POLL_INTERVAL_MS,
                yield_on_timeout=True,
                stop_event=self._stop_event,
                recursive=False,
                raise_interrupt=False,
            )
        except OSError as error:  # usually: the machine has no inotify watches left
            fallback = f"polling every {_POLL_INTERVAL_MS} ms"
            _log.warning("file_events_unavailable", error=str(error), fallback=fallback)
        while not self._stop_event.wait(_POLL_INTERVAL_MS / 1000):
            yield None

    def _check_for_changes(self) -> float:
        """Compare the files with the last snapshot, and report changes. Returns the duration in seconds."""
        started = time.monotonic()
        with self._lock:
            self._folders, snapshot = self._watched_files.scan()
            changed = self._changed_files(snapshot)
            report = bool(changed) and not self._is_save_in_progress(snapshot)
            self._last_snapshot = snapshot if report else self._last_snapshot
        if report:
            self._on_change([_display_path(file) for file in changed])
        return time.monotonic() - started

    def _changed_files(self, snapshot: Snapshot) -> list[str]:
        previous = self._last_snapshot
        return sorted(file for file in {*snapshot, *previous} if snapshot.get(file) != previous.get(file))

    def _is_save_in_progress(self, snapshot: Snapshot) -> bool:
        """Whether a file has been missing for a moment only: editors that save by renaming remove it first."""
        if self._last_snapshot.keys() <= snapshot.keys():
            self._missing_since = None
            return False
        self._missing_since = self._missing_since or time.monotonic()
        if time.monotonic() - self._missing_since < _MISSING_FILE_GRACE:
            return True
        self._missing_since = None
        return False


def _display_path(file: str) -> str:
    working_directory = Path.cwd()
    return os.path.relpath(file, working_directory) if Path(file).is_relative_to(working_directory) else file
