"""From files to an edition: everything is read and checked, or nothing is served."""

import bisect
import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final

from service.answerers.book import files
from service.answerers.book.edition import Edition
from service.answerers.book.entries import Entry, Fault
from service.answerers.book.files import Fingerprint
from service.answerers.book.index import Builder
from service.answerers.book.lookup import Lookup
from service.answerers.book.normalise import bare, normalise
from service.answerers.book.store import Store
from service.errors import AskdError, LoadError
from service.models import Progress, Step

_RULES: Final = b"askd book 1"
"""Part of the version: raise the number when normalisation, terms, threshold or ranking change."""
_REPORT: Final = 0.1
"""Seconds between two lines of progress, at least."""
_READING: Final = 0.8
"""Share of the load that is reading. How far it is, is told by the bytes of the texts among those of the files."""
_BREATH: Final = 0.0001
"""Seconds. A sleep of zero would take the interpreter's lock back before a waiting thread has woken."""
_STEP: Final = 1000
"""Entries between two breaths: about five milliseconds of work, after which Python would switch threads anyway."""


class Cancelled(AskdError):
    """The load was asked to stop."""


class Changing(AskdError):
    """The files changed while they were read: what was read may be half old, half new."""


def build_edition(book: Path, progress: Progress, cancelled: Event) -> tuple[Edition, Fingerprint]:
    """Read the book; return it with the fingerprint of what was read.

    Takes seconds for a large one: belongs into a thread, and lets others run meanwhile. Raises LoadError with file,
    line and fault, Changing, or Cancelled soon after that event is set.
    """
    before = files.fingerprint(book)
    build = _Build(progress, cancelled, size=sum(size for *_, size in before))
    try:
        for path in files.files(book):
            build.read(path)
    except LoadError:
        if files.fingerprint(book) != before:
            raise Changing from None
        raise
    if files.fingerprint(book) != before:
        raise Changing
    edition = build.finish()
    give_back()
    return edition, before


def give_back() -> None:
    """Return freed memory to the system: after a load glibc keeps hundreds of megabytes that nothing will use."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # another C library: it has its own ways


class _Build:
    def __init__(self, progress: Progress, cancelled: Event, *, size: int) -> None:
        self._progress = progress
        self._size = size
        self._cancelled = cancelled
        self._store = Store()
        self._index = Builder()
        question = (
            self._store.question
        )  # not by `self`: an edition must not keep its builder, nor wait for the collector
        self._exact = Lookup(lambda number: normalise(question(number)))
        self._stripped = Lookup(lambda number: bare(normalise(question(number))))
        self._ambiguous: set[int] = set()
        self._told = time.monotonic()
        self._paths: list[Path] = []
        self._firsts: list[int] = []

    def read(self, path: Path) -> None:
        """Take up one file."""
        data = files.read(path)
        reader = files.READERS[path.suffix.lower()]
        first = self._store.entries
        self._paths.append(path)
        self._firsts.append(first)
        try:
            for piece in reader.read(data):
                for start in range(0, len(piece), _STEP):
                    self._take(piece[start : start + _STEP], lambda index: reader.line_of(data, index), first)
            if self._store.entries == first:
                raise Fault(1, "holds no question: give it some, or begin its name with a dot to leave it out")  # noqa: TRY301 - named like the others
        except Fault as fault:
            raise LoadError(f"{path}:{fault.line}: {fault.text}") from None

    def _take(self, entries: list[Entry], line_of: Callable[[int], int], first: int) -> None:
        before = self._store.entries
        for number, entry in enumerate(entries, before):
            fault = self._add(entry)
            if fault:
                raise Fault(line_of(number - first), fault)
        if (now := time.monotonic()) >= self._told + _REPORT:
            self._told = now
            line = f"read {self._store.entries:,} entries"
            self._progress(Step.of(line, self._store.size / max(self._size, 1) * _READING))
        self._pause()

    def _add(self, entry: Entry) -> str | None:
        """Take up one entry; return what is wrong with it, if something is."""
        number = self._store.questions
        questions = entry.questions
        answer = entry.answer.strip()
        if not answer:
            return "`answer` is blank: write the answer"
        if not questions:
            return "`ask` is an empty list: write at least one question"
        self._store.add(questions, answer)
        for question in questions:
            normal = normalise(question)
            if not normal:
                return "`ask` is blank: write the question"
            self._exact.note(normal, number)
            subject = bare(normal)
            if subject != normal:
                self._stripped.note(subject, number)
            self._index.add(normal)
            number += 1
        return None

    def _pause(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        time.sleep(_BREATH)

    def finish(self) -> Edition:
        """Check that no two entries contradict one another, and make all of it searchable."""
        self._progress(Step.of(f"read {self._store.entries:,} entries, building the index", _READING))
        self._exact.settle(self._contradiction, self._pause)
        self._stripped.settle(self._ambiguity, self._pause)
        search = self._index.finish(self._store.question)
        version = self._store.digest(_RULES)
        return Edition(
            store=self._store,
            exact=self._exact,
            stripped=self._stripped,
            ambiguous=self._ambiguous,
            search=search,
            version=version,
        )

    def _ambiguity(self, one: int, other: int) -> None:
        if not self._store.same(one, other):
            self._ambiguous.add(one)

    def _contradiction(self, one: int, other: int) -> None:
        if not self._store.same(one, other):
            first, second = self._place(one), self._place(other)
            raise LoadError(
                f"{second}: `{self._store.question(other)}` has another answer at {first}, where it is written "
                f"`{self._store.question(one)}`: the two are the same question, so keep one of the answers"
            )

    def _place(self, question: int) -> str:
        """Return file and line of a question's entry. The file is read again: lines are needed for faults alone."""
        entry = self._store.entry(question)
        at = bisect.bisect_right(self._firsts, entry) - 1
        path = self._paths[at]
        try:
            line = files.READERS[path.suffix.lower()].line_of(files.read(path), entry - self._firsts[at])
        except (LoadError, Fault, StopIteration):
            return str(path)  # changed since
        return f"{path}:{line}"
