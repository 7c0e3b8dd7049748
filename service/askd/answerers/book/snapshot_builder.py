"""Loads a book: finds its files, parses them and builds a `BookSnapshot`.

A book loads completely or not at all. The state of the files before and after the load shows whether they changed in
between. Loading holds the interpreter's lock only for a few milliseconds at a time, so that a server can load a
large book in a thread while it answers requests.
"""

import bisect
import ctypes
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final

from askd.answerers.book.formats import BookFormatError, Entry
from askd.answerers.book.formats.book_file_discovery import (
    get_reader,
    list_book_files,
    looks_like_book,
    read_book_file,
    take_book_snapshot,
)
from askd.answerers.book.languages import DEFAULT_LANGUAGE, LANGUAGES, Language, assign_languages, find_language
from askd.answerers.book.packed_storage import CompactHashTable, PackedEntryStore
from askd.answerers.book.ranked_search import SearchIndexBuilder
from askd.answerers.book.snapshot import BookSnapshot
from askd.answerers.book.text_analysis import normalize, strip_question_lead
from askd.errors import AskdError, LoadError
from askd.file_watcher import Snapshot
from askd.models import ProgressCallback, ProgressMessage

_RULES_VERSION: Final = b"askd book 5"
"""Part of the book's version. Increase the number if normalization, terms, thresholds or ranking change."""
_MAX_NAMED_DUPLICATES: Final = 20
_MAX_NAMED_FILES: Final = 10
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

ReportCallback = Callable[[str, dict[str, str]], None]
"""Called with the name and the fields of a warning about the book. It need not be an error, such as a duplicate."""


class LoadCancelled(AskdError):
    """The load was cancelled."""


class FilesChanged(AskdError):
    """The files changed during the load, so the result may mix old and new content."""


def load_snapshot(
    book: Path,
    progress: ProgressCallback,
    cancelled: Event,
    *,
    report: ReportCallback = lambda *_: None,
    refuse_duplicates: bool = False,
) -> tuple[BookSnapshot, Snapshot]:
    """Load the book, and return it with the state of the files that were read.

    Takes seconds for a large book, so call it in a thread.

    Args:
        book: File or folder of the book.
        progress: Called in this thread with progress messages.
        cancelled: Set this event from another thread to stop the load.
        report: Called in this thread with warnings: files that were left out, questions that stand twice.
        refuse_duplicates: Whether two different answers to one question are an error; otherwise the first one counts.

    Raises:
        LoadError: The book is invalid; the message has the file and the line.
        FilesChanged: The files changed during the load.
        LoadCancelled: `cancelled` was set.
    """
    files = take_book_snapshot(book)
    builder = _SnapshotBuilder(progress, cancelled, total_bytes=sum(size for *_, size in files.values()))
    try:
        builder.add_book(book, report)
    except LoadError:
        if take_book_snapshot(book) != files:
            raise FilesChanged from None
        raise
    if take_book_snapshot(book) != files:
        raise FilesChanged
    snapshot = builder.build(report, refuse_duplicates=refuse_duplicates)
    release_free_memory()
    return snapshot, files


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
        self._search_index_builder = SearchIndexBuilder()
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
        self._keywords: dict[str, tuple[str, int, Language] | None] = {}
        """Keyword as written, its entry and its language, by its normalized form; None if several entries have it."""
        self._duplicates: list[tuple[int, int]] = []
        self._duplicate_count = 0
        self._first_keyword = 0
        """Number of the first question that is a keyword."""

    def add_book(self, book: Path, report: ReportCallback) -> None:
        """Add all files of the book; of a folder, those that look like books."""
        left_out: list[str] = []
        is_folder = book.is_dir()
        for path in list_book_files(book):
            data = read_book_file(path)
            if is_folder and not looks_like_book(path, data):
                left_out.append(str(path.relative_to(book)))
            else:
                self._add_file(path, data)
        names = _abbreviate(left_out)
        if not self._paths:
            raise LoadError(f"{book}: no file of the folder looks like a book ({names}): serve one of them by its path")
        if left_out:
            report("book_files_left_out", {"files": names, "hint": "to serve one of them, add faq to its name"})

    def _add_file(self, path: Path, data: bytes) -> None:
        reader = get_reader(path)
        first_entry = self._store.entry_count
        self._paths.append(path)
        self._first_entry_numbers.append(first_entry)
        try:
            for batch in reader.read_entries(data):
                for start in range(0, len(batch), _ENTRIES_PER_YIELD):
                    self._add_entries(
                        batch[start : start + _ENTRIES_PER_YIELD],
                        lambda index: reader.find_entry_lines(data, {index})[index],
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

        detected = assign_languages(len(entries), get_words, self._language)
        languages = [
            (find_language(entry.fields.get("language")) if entry.fields else None) or language
            for entry, language in zip(entries, detected, strict=True)
        ]
        self._language = languages[-1] if languages else self._language
        return languages

    def _add_entry(self, entry: Entry, language: Language) -> str | None:
        """Add one entry. Returns an error message if it is invalid."""
        question_number = self._store.question_count
        questions = entry.questions
        answer = entry.answer.strip()
        if not answer:
            return "the answer is blank: write the answer"
        if not questions:
            return "the list of questions is empty: write at least one question"
        self._store.add(questions, answer, entry.fields)
        entry_number = self._store.entry_count - 1
        for number, question in enumerate(questions, question_number):
            normalized = normalize(question)
            if not normalized:
                return "a question is blank: write the question"
            self._index_question(normalized, number, entry_number, language)
        for keyword in entry.keywords:
            self._add_keyword(keyword, entry_number, language)
        return None

    def _index_question(self, normalized: str, number: int, entry: int, language: Language) -> None:
        self._exact_index.add(normalized, number)
        subject = strip_question_lead(normalized)
        if subject != normalized:
            self._subject_index.add(subject, number)
        self._search_index_builder.add(normalized, entry, language)

    def _add_keyword(self, keyword: str, entry: int, language: Language) -> None:
        normalized = normalize(keyword)
        known = self._keywords.setdefault(normalized, (keyword, entry, language))
        if known and known[1] != entry:
            self._keywords[normalized] = None

    def _index_keywords(self) -> None:
        """Add the keywords that only one entry has as further questions. They come last, so that questions win."""
        for normalized, owner in self._keywords.items():
            if normalized and owner:
                keyword, entry, language = owner
                self._index_question(normalized, self._store.question_count, entry, language)
                self._store.add_question(keyword, entry)

    def _yield_to_threads(self) -> None:
        if self._cancelled.is_set():
            raise LoadCancelled
        time.sleep(_YIELD_SLEEP)

    def build(self, report: ReportCallback, *, refuse_duplicates: bool) -> BookSnapshot:
        """Build the indexes. Raises LoadError if two entries answer the same question and duplicates are refused."""
        message = f"read {self._store.entry_count:,} entries, building the index"
        self._progress(ProgressMessage.with_fraction(message, _READ_PROGRESS_SHARE))
        self._first_keyword = self._store.question_count
        self._index_keywords()
        self._exact_index.build(self._record_duplicate, self._yield_to_threads)
        self._report_duplicates(report, refuse=refuse_duplicates)
        self._subject_index.build(self._record_ambiguity, self._yield_to_threads)
        return BookSnapshot(
            store=self._store,
            exact_index=self._exact_index,
            subject_index=self._subject_index,
            ambiguous_questions=self._ambiguous_questions,
            search_index=self._search_index_builder.build(self._store),
            version=self._store.compute_digest(_RULES_VERSION),
        )

    def _record_ambiguity(self, first: int, second: int) -> None:
        if not self._store.has_same_answer(first, second):
            self._ambiguous_questions.add(first)

    def _record_duplicate(self, first: int, second: int) -> None:
        if second < self._first_keyword and not self._store.has_same_answer(first, second):
            self._duplicate_count += 1
            if len(self._duplicates) < _MAX_NAMED_DUPLICATES:
                self._duplicates.append((first, second))

    def _report_duplicates(self, report: ReportCallback, *, refuse: bool) -> None:
        locations = self._find_locations(set(itertools.chain.from_iterable(self._duplicates)))
        for first, second in self._duplicates:
            get_question = self._store.get_question
            if refuse:
                raise LoadError(
                    f"{locations[second]}: `{get_question(second)}` has a different answer at {locations[first]} "
                    f"(`{get_question(first)}`): both are the same question, so keep one of the answers"
                )
            fields = {"question": get_question(second), "used": locations[first], "ignored": locations[second]}
            report("book_question_twice", {**fields, "hint": "keep one of the answers"})
        if more := self._duplicate_count - len(self._duplicates):
            report("book_questions_twice", {"more": f"{more:,}", "hint": "keep one answer to each question"})

    def _find_locations(self, questions: set[int]) -> dict[int, str]:
        """Return the file and line of the entries of these questions.

        Reads the files again: storing the lines of all entries would take memory that only few of them need.
        """
        entries_by_file: dict[int, dict[int, int]] = defaultdict(dict)
        for question in questions:
            entry = self._store.get_entry_number(question)
            file_index = bisect.bisect_right(self._first_entry_numbers, entry) - 1
            entries_by_file[file_index][question] = entry - self._first_entry_numbers[file_index]
        locations = {}
        for file_index, entries in entries_by_file.items():
            path = self._paths[file_index]
            lines = _find_entry_lines(path, set(entries.values()))
            for question, entry in entries.items():
                locations[question] = f"{path}:{lines[entry]}" if entry in lines else str(path)
        return locations


def _find_entry_lines(path: Path, entries: set[int]) -> dict[int, int]:
    try:
        return get_reader(path).find_entry_lines(read_book_file(path), entries)
    except (LoadError, BookFormatError):
        return {}  # the file has changed since it was read


def _abbreviate(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMED_FILES])
    return shown + (f" and {len(names) - _MAX_NAMED_FILES} more" if len(names) > _MAX_NAMED_FILES else "")
