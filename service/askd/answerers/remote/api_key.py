"""The key for a server that wants one: read from a file, and again when the file changes, as mounted Secrets do."""

from pathlib import Path
from typing import Final

import structlog

from service.errors import LoadError

LONGEST: Final = 8192
"""Bytes of a key's file that are read: more than any server takes in a header."""

_log = structlog.get_logger("askd.upstream")


class Key:
    """A file with one key, white space around it left out. `path` None: there is no key."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._seen: tuple[int, ...] = ()
        self._value = ""

    def load(self) -> None:
        """Read the key. Raises LoadError, which never shows it."""
        if self._path is None:
            return
        try:
            self._seen = self._look(self._path)
            self._value = _read(self._path)
        except (OSError, ValueError) as fault:
            raise LoadError(
                f"--upstream-key-file={self._path}: {_why(fault)}: give a file that has the key alone"
            ) from None

    def current(self) -> str:
        """Return the key, empty where there is none. A changed file that is faulty leaves the old key in force."""
        if self._path is not None:
            try:
                if (now := self._look(self._path)) != self._seen:
                    self._seen = now
                    self._value = _read(self._path)
                    _log.info("upstream key read again")
            except (OSError, ValueError) as fault:
                if self._seen:
                    self._seen = ()
                    _log.warning("the changed upstream key cannot be read, the old one stays", cause=_why(fault))
        return self._value

    @staticmethod
    def _look(path: Path) -> tuple[int, ...]:
        found = path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


def _read(path: Path) -> str:
    """Raises OSError, and ValueError where it is no key."""
    with path.open("rb") as file:
        value = file.read(LONGEST + 1)
    if len(value) > LONGEST:
        raise ValueError(f"longer than {LONGEST} bytes")
    text = value.decode("ascii", "replace").strip()
    if not text:
        raise ValueError("it is empty")
    if not all("!" <= letter <= "~" for letter in text):
        raise ValueError("it has spaces, lines or letters that a header cannot have")
    return text


def _why(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or str(fault)
