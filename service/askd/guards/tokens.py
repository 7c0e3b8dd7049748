"""Tokens: who may ask. A file, or a folder of files, says whose token has which SHA-256; the tokens are nowhere.

A token is 256 bits of chance, so that a plain hash of it can be stored: there is nothing to guess, as there would be
with passwords. How long a look-up takes tells nothing of use: what is looked up is the hash, in a dict whose own
hashing has a secret of the process, and who knows part of a SHA-256 cannot make a token that has it.
"""

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from service.changes import Changes, State, state, watch
from service.errors import StartupError
from service.guards.token_lines import PREFIX, Faults, Line, Lines, files, is_name, read

_BYTES: Final = 32

_log = structlog.get_logger("askd.tokens")


class Statistics(msgspec.Struct, frozen=True):
    """What is known and what was counted."""

    tokens: int
    requests: Mapping[str, int]
    """Requests let in, by name; as many names as there are in force."""
    refused: Mapping[str, int]
    """Requests that were not, by what was wrong."""
    reloads: int
    reload_failures: int
    reload_failing: bool
    """Whether the last reload failed, so that the tokens in force are older than the file."""


class Caller:
    """One who may ask."""

    __slots__ = ("name", "requests")

    def __init__(self, name: str, requests: int = 0) -> None:
        self.name = name
        self.requests = requests


class Tokens:
    """The tokens of one file or folder. Raises StartupError where that is faulty.

    One loop asks; `look` and `statistics` may be called in any thread, for what they share is replaced, not changed.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._changes = Changes(self._state)
        try:
            lines = read(self.path)
        except Faults as faults:
            raise StartupError("\n".join(faults.lines)) from None
        self._known: dict[bytes, tuple[bytes, Caller]] = {}
        self._take(lines)
        self._refused: Counter[str] = Counter(missing=0, unknown=0)
        self._reloads = self._failures = 0
        self._failing = False

    async def watch(self) -> None:
        """Read again whenever the file has changed; until cancelled."""
        self._warn()
        await watch(self.look)

    def caller(self, token: str) -> Caller | None:
        """Return whose token this is, counted as one request; None: nobody's."""
        digest = hashlib.sha256(token.encode()).digest()
        found = self._known.get(digest)
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        found[1].requests += 1
        return found[1]

    def refused(self, why: str) -> None:
        """Count a request that was not let in; `why` is `missing` or `unknown`."""
        self._refused[why] += 1

    def look(self) -> None:
        """Read again where the file has changed. What is faulty leaves the old tokens in force, and is logged once."""
        if not self._changes.settled():
            return
        try:
            lines = read(self.path)
        except Faults as faults:
            self._failures += 1
            self._failing = True
            _log.warning("the changed tokens are faulty, the old ones stay", faults=list(faults.lines))
            return
        self._take(lines)
        self._reloads += 1
        self._failing = False
        _log.info("tokens read again", tokens=len(lines), names=len(self.names))
        self._warn()

    @property
    def names(self) -> Sequence[str]:
        """Who may ask, in order."""
        return sorted({caller.name for _, caller in self._known.values()})

    def statistics(self) -> Statistics:
        """Return what is counted now."""
        known = self._known
        return Statistics(
            tokens=len(known),
            requests={caller.name: caller.requests for _, caller in known.values()},
            refused=dict(self._refused),
            reloads=self._reloads,
            reload_failures=self._failures,
            reload_failing=self._failing,
        )

    def _take(self, lines: Lines) -> None:
        """Put these tokens in force. Who keeps the name keeps the count; names that are gone leave nothing behind."""
        callers = {caller.name: caller for _, caller in self._known.values()}
        for line in lines:
            callers.setdefault(line.name, Caller(line.name))
        self._known = {line.digest: (line.digest, callers[line.name]) for line in lines}

    def _warn(self) -> None:
        if not self._known:
            _log.warning("no token is known, so that nobody may ask", file=str(self.path), mend="askd token NAME")

    def _state(self) -> State:
        try:
            return state(files(self.path))
        except Faults:
            return state([self.path])


def pair(name: str) -> tuple[str, str]:
    """Make a token; return it, and the line for the file. Raises ValueError for what is no name."""
    if not is_name(name):
        raise ValueError("a name is 1 to 64 letters, digits, dots, dashes and underscores")
    token = PREFIX + secrets.token_urlsafe(_BYTES)
    return token, Line(name, hashlib.sha256(token.encode()).digest()).text
