"""Loads a book: finds its files, parses them and builds a `BookSnapshot`.

A book loads completely or not at all. Fingerprints of the files before and after the load show whether they changed
in between. Loading holds the interpreter's lock only for a few milliseconds at a time, so that a server can load a
large book in a thread while it answers requests.
"""

import bisect
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Final, TypeAlias

from askd.answerers.book.formats import BookFormatError, Entry, FormatReader, json_file, markdown_file, yaml_file
from askd.answerers.book.fuzzy_search import FuzzyIndexBuilder
from askd.answerers.book.languages import DEFAULT_LANGUAGE, LANGUAGES, Language, assign_languages
from askd.answerers.book.packed_storage import CompactHashTable, PackedEntryStore
from askd.answerers.book.snapshot import BookSnapshot
from askd.answerers.book.text_analysis import normalize, strip_question_lead
from askd.errors import AskdError, LoadError
from askd.models import ProgressCallback, ProgressMessage

READERS_BY_SUFFIX: Final[dict[str, FormatReader]] = {
    ".yaml": yaml_file.READER,
    ".yml": yaml_file.READER,
    ".json": json_file.READER,
    ".md": markdown_file.READER,
}
_SUPPORTED_SUFFIXES: Final = ".yaml, .yml, .json or .md"

_RULES_VERSION: Final = b"askd book 2"
"""Part of the book's version. Increase the number if normalization, terms, thresholds or ranking change."""
_PROGRESS_INTERVAL: Final = 0.1
"""Minimum number of seconds between two progress messages."""
_READ_PROGRESS_SHARE: Final = 0.8
"""Fraction of the load that is reading; its progress is the size of the texts relative to the size of the files."""
_DETECTION_LENGTH: Final = 300
"""Number of characters of an answer from which its language is detected."""
_YIELD_SLEEP: Final = 0.0001
"""Seconds. After a sleep of zero this thread would take the interpreter's lock back before a waiting thread wakes."""
_ENTRIES_PER_YIELD: Final = 1000
"""Entries added before other threads may run: about 5 ms of work, the interval at which Python switches threads."""

Fingerprint: TypeAlias = tuple[tuple[str, int, int, int, int], ...]
"""Path, device, inode, modification time and size of each file of a book."""


class LoadCancelled(AskdError):
    """The load was cancelled."""


class FilesChanged(AskdError):
    """The files changed during the load, so the result may mix old and new content."""


def list_book_files(book: Path) -> list[Path]:
    """Return the book's files, sorted by path.

    Raises:
        LoadError: The path does not exist, has an unsupported extension, or is a folder without book files.
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
    if book.suffix.lower() not in READERS_BY_SUFFIX:
        reason = f"unsupported file extension {book.suffix}" if book.suffix else "missing file extension"
        raise LoadError(f"{book}: {reason}: give a file that ends in {_SUPPORTED_SUFFIXES}, or a folder")
    return [book]


def _walk_folder(folder: Path) -> Iterator[Path]:
    """Yield the folder's book files. Follows links, as in a mounted ConfigMap, but visits each folder once."""
    visited: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unreadable_folder):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in READERS_BY_SUFFIX:
                yield Path(root, name)


def _raise_unreadable_folder(error: OSError) -> None:
    raise LoadError(f"{error.filename}: cannot list the folder ({error.strerror}): make it readable for the server")


def compute_fingerprint(book: Path) -> Fingerprint:
    """Return a value that changes whenever a file of the book changes; empty if the book cannot be found."""
    try:
        return tuple(_file_signature(path) for path in list_book_files(book))
    except (LoadError, OSError):
        return ()


def _file_signature(path: Path) -> tuple[str, int, int, int, int]:
    status = path.stat()
    return str(path), status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def read_book_file(path: Path) -> bytes:
    """Return the content of the file. Raises LoadError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None


def load_snapshot(book: Path, progress: ProgressCallback, cancelled: Event) -> tuple[BookSnapshot, Fingerprint]:
    """Load the book, and return it with the fingerprint of the files that were read.

    Takes seconds for a large book, so call it in a thread.

    Args:
        book: File or folder of the book.
        progress: Called in this thread with progress messages.
        cancelled: Set this event from another thread to stop the load.

    Raises:
        LoadError: The book is invalid; the message has the file and the line.
        FilesChanged: The files changed during the load.
        LoadCancelled: `cancelled` was set.
    """
    fingerprint = compute_fingerprint(book)
    builder = _SnapshotBuilder(progress, cancelled, total_bytes=sum(size for *_, size in fingerprint))
    try:
        for path in list_book_files(book):
            builder.add_file(path)
    except LoadError:
        if compute_fingerprint(book) != fingerprint:
            raise FilesChanged from None
        raise
    if compute_fingerprint(book) != fingerprint:
        raise FilesChanged
    snapshot = builder.build()
    release_free_memory()
    return snapshot, fingerprint


def release_free_memory() -> None:
    """Return freed memory to the operating system: after a load glibc keeps hundreds of megabytes that stay unused."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # C libraries other than glibc do not have malloc_trim


class _SnapshotBuilder:
    def __init__(self, progress: ProgressCallback, cancelled: Event, *, total_bytes: int) -> None:
        self._progress = progress
        self._total_bytes = total_bytes
        self._cancelled = cancelled
        self._store = PackedEntryStore()
        self._fuzzy_index_builder = FuzzyIndexBuilder()
        self._language = LANGUAGES[DEFAULT_LANGUAGE]
        # The callbacks must not refer to `self`: the snapshot would keep its builder alive, in a reference cycle that
        # only the garbage collector frees.
        get_question = self._store.get_question
        self._exact_index = CompactHashTable(lambda number: normalize(get_question(number)))
        self._subject_index = CompactHashTable(lambda number: strip_question_lead(normalize(get_question(number))))
        self._ambiguous_questions: set[int] = set()
        self._last_progress_at = time.monotonic()
        self._paths: list[Path] = []
        self._first_entry_numbers: list[int] = []

    def add_file(self, path: Path) -> None:
        data = read_book_file(path)
        reader = READERS_BY_SUFFIX[path.suffix.lower()]
        first_entry = self._store.entry_count
        self._paths.append(path)
        self._first_entry_numbers.append(first_entry)
        try:
            for batch in reader.read_entries(data):
                for start in range(0, len(batch), _ENTRIES_PER_YIELD):
                    self._add_entries(
                        batch[start : start + _ENTRIES_PER_YIELD],
                        lambda index: reader.find_entry_line(data, index),
                        first_entry,
                    )
            if self._store.entry_count == first_entry:
                message = (
                    "the file contains no questions: add some, or exclude the file by a name that begins with a dot"
                )
                raise BookFormatError(1, message)  # noqa: TRY301 - handled below
        except BookFormatError as error:
            raise LoadError(f"{path}:{error.line}: {error.message}") from None

    def _add_entries(self, entries: list[Entry], find_line: Callable[[int], int], first_entry: int) -> None:
        languages = self._assign_languages(entries)
        for entry_number, (entry, language) in enumerate(zip(entries, languages, strict=True), self._store.entry_count):
            error_message = self._add_entry(entry, language)
            if error_message:
                raise BookFormatError(find_line(entry_number - first_entry), error_message)
        if (now := time.monotonic()) >= self._last_progress_at + _PROGRESS_INTERVAL:
            self._last_progress_at = now
            fraction = self._store.total_bytes / max(self._total_bytes, 1) * _READ_PROGRESS_SHARE
            message = f"read {self._store.entry_count:,} entries"
            self._progress(ProgressMessage.with_fraction(message, fraction))
        self._yield_to_threads()

    def _assign_languages(self, entries: list[Entry]) -> list[Language]:
        """Return the language of each entry. A batch without known words has the language of the previous one."""

        def get_words(index: int) -> list[str]:
            entry = entries[index]
            return normalize(f"{' '.join(entry.questions)} {entry.answer[:_DETECTION_LENGTH]}").split()

        languages = assign_languages(len(entries), get_words, self._language)
        self._language = languages[-1] if languages else self._language
        return languages

    def _add_entry(self, entry: Entry, language: Language) -> str | None:
        """Add one entry. Returns an error message if it is invalid."""
        question_number = self._store.question_count
        questions = entry.questions
        answer = entry.answer.strip()
        if not answer:
            return "`answer` is blank: write the answer"
        if not questions:
            return "`ask` is an empty list: write at least one question"
        self._store.add(questions, answer)
        for number, question in enumerate(questions, question_number):
            normalized = normalize(question)
            if not normalized:
                return "`ask` is blank: write the question"
            self._exact_index.add(normalized, number)
            subject = strip_question_lead(normalized)
            if subject != normalized:
                self._subject_index.add(subject, number)
            self._fuzzy_index_builder.add(normalized, language)
        return None

    def _yield_to_threads(self) -> None:
        if self._cancelled.is_set():
            raise LoadCancelled
        time.sleep(_YIELD_SLEEP)

    def build(self) -> BookSnapshot:
        """Build the indexes. Raises LoadError if two entries answer the same question differently."""
        message = f"read {self._store.entry_count:,} entries, building the index"
        self._progress(ProgressMessage.with_fraction(message, _READ_PROGRESS_SHARE))
        self._exact_index.build(self._reject_contradiction, self._yield_to_threads)
        self._subject_index.build(self._record_ambiguity, self._yield_to_threads)
        return BookSnapshot(
            store=self._store,
            exact_index=self._exact_index,
            subject_index=self._subject_index,
            ambiguous_questions=self._ambiguous_questions,
            fuzzy_index=self._fuzzy_index_builder.build(self._store.get_question, self._store.get_answer),
            version=self._store.compute_digest(_RULES_VERSION),
        )

    def _record_ambiguity(self, first: int, second: int) -> None:
        if not self._store.has_same_answer(first, second):
            self._ambiguous_questions.add(first)

    def _reject_contradiction(self, first: int, second: int) -> None:
        if not self._store.has_same_answer(first, second):
            raise LoadError(
                f"{self._format_location(second)}: `{self._store.get_question(second)}` has a different answer at "
                f"{self._format_location(first)} (`{self._store.get_question(first)}`): both are the same question, "
                "so keep one of the answers"
            )

    def _format_location(self, question: int) -> str:
        """Return the file and line of a question's entry.

        Reads the file again: storing the lines of all entries would take memory that only errors need.
        """
        entry = self._store.get_entry_number(question)
        file_index = bisect.bisect_right(self._first_entry_numbers, entry) - 1
        path = self._paths[file_index]
        reader = READERS_BY_SUFFIX[path.suffix.lower()]
        try:
            line = reader.find_entry_line(read_book_file(path), entry - self._first_entry_numbers[file_index])
        except (LoadError, BookFormatError, StopIteration):
            return str(path)  # the file has changed since it was read
        return f"{path}:{line}"
