"""Answerer for a book: loads the files into memory, searches them, and reloads them when they change."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, TypeAlias

import structlog

from askd.answerers.book.formats.book_file_discovery import take_book_snapshot
from askd.answerers.book.question_similarity import MIN_SCORES
from askd.answerers.book.semantic_search import SentenceModel, get_vector_cache
from askd.answerers.book.snapshot import BookSnapshot
from askd.answerers.book.snapshot_builder import FilesChanged, LoadCancelled, load_snapshot, release_free_memory
from askd.errors import LoadError, NoAnswer, Unavailable
from askd.file_watcher import FileWatcher, Snapshot
from askd.models import Answer, Answerer, AnswererStatistics, Contract, ProgressCallback, Question

__all__ = ["BookAnswerer", "ReloadOutcome"]

ReloadOutcome: TypeAlias = Literal["reloaded", "unchanged", "failed"]
"""Outcome of a reload; `unchanged` means that the files changed but their content did not."""

_BUILT_IN_BOOK: Final = Path(__file__).parents[2] / "books"
_MAX_INLINE_QUESTIONS: Final = 200_000
"""Maximum number of questions up to which the event loop runs a search itself.

Measured: comparing the candidates takes 1 ms or less at every size and holds the interpreter's lock, so a thread does
not help. Tantivy releases the lock; its part takes 0.05 ms at this size, as much as the handover to a thread. For a
million questions it takes up to 2 ms, during which the event loop can answer other requests."""
_WATCH_INTERVAL: Final = 0.5
"""Seconds between two scans of the book's files …"""
_SETTLE_TIME: Final = 0.05
"""… and after which changed files must be the same to be read."""
_MAX_LOAD_ATTEMPTS: Final = 20
_LOAD_RETRY_DELAY: Final = 0.25
"""Seconds between two attempts of the initial load if the files change during the load."""
_log: Final = structlog.get_logger("askd.book")


class BookAnswerer(Answerer):
    """Answers questions from a book.

    Args:
        path: File or folder of the book. None selects the built-in book, which is not watched for changes.
        refuse_duplicates: Whether two different answers to one question are an error.
        min_score: Minimum score, 0 to 1, of the answer to a similar question; infinity for exact matches only.
        semantic: Whether to compare questions by sentence embeddings too.
        deterministic: Whether equal questions always have equal answers; None: unless `semantic` is set, because
            embeddings depend on the CPU.
        log_unanswered: Whether to log the text of questions without an answer.
    """

    kind = "book"
    deterministic = True

    def __init__(
        self,
        path: Path | None = None,
        *,
        min_score: float = MIN_SCORES["normal"],
        semantic: bool = False,
        deterministic: bool | None = None,
        refuse_duplicates: bool = False,
        log_unanswered: bool = False,
    ) -> None:
        self.name = str(path) if path else "built-in book"
        self._path = path
        self._min_score = min_score
        self._semantic = semantic
        self._model: SentenceModel | None = None
        self.deterministic = not semantic if deterministic is None else deterministic
        self._log_unanswered = log_unanswered
        self._refuse_duplicates = refuse_duplicates
        self._reported: set[str] = set()
        self._snapshot: BookSnapshot | None = None
        self._recent_answers: dict[str, Answer] = {}
        self._reload_count = 0
        self._reload_failures = 0
        self._reload_failing = False
        self._close_event = threading.Event()
        self._watch_task: asyncio.Task[None] | None = None
        self._search_executor: ThreadPoolExecutor | None = None
        self._reload_listeners: list[asyncio.Queue[ReloadOutcome]] = []

    async def load(self, progress: ProgressCallback) -> None:
        """Load the book in a thread, then watch it. Raises LoadError, whose message has the file and the line."""
        loop = asyncio.get_running_loop()
        loading = loop.run_in_executor(None, self._load_initial, lambda line: _report_progress(loop, progress, line))
        try:
            snapshot, files = await asyncio.shield(loading)
        except asyncio.CancelledError:
            self._close_event.set()
            with contextlib.suppress(LoadCancelled, LoadError):
                await loading
            raise
        self._activate_snapshot(snapshot)
        if path := self._path:
            watcher = FileWatcher(
                lambda: take_book_snapshot(path),
                lambda _paths: self._reload(loop),
                known=files,
                interval=_WATCH_INTERVAL,
                settle=_SETTLE_TIME,
            )
            self._watch_task = asyncio.create_task(watcher.run())

    def _make_version(self, snapshot: BookSnapshot) -> str:
        """Return a version that differs if the same book has other answers because of another minimum score."""
        is_default = self._min_score == MIN_SCORES["normal"] and not self._semantic
        suffix = "-semantic" if self._semantic else ""
        return snapshot.version if is_default else f"{snapshot.version}-{self._min_score:g}{suffix}"

    def _load_initial(self, progress: ProgressCallback) -> tuple[BookSnapshot, Snapshot]:
        for _ in range(_MAX_LOAD_ATTEMPTS):
            try:
                return self._load_snapshot(progress)
            except FilesChanged:
                if self._close_event.wait(_LOAD_RETRY_DELAY):
                    raise LoadCancelled from None
        raise LoadError(f"{self.name}: the files keep changing during the load: start again when they are complete")

    def _load_snapshot(self, progress: ProgressCallback) -> tuple[BookSnapshot, Snapshot]:
        """Load the book. Warnings that the previous load also had are not logged again."""
        reported: set[str] = set()

        def report(event: str, fields: dict[str, str]) -> None:
            warning = repr((event, fields))
            if warning not in self._reported:
                _log.warning(event, **fields)
            reported.add(warning)

        snapshot, fingerprint = load_snapshot(
            self._path or _BUILT_IN_BOOK,
            progress,
            self._close_event,
            report=report,
            refuse_duplicates=self._refuse_duplicates,
        )
        self._reported = reported
        if self._semantic:
            self._model = self._model or SentenceModel()
            snapshot.enable_semantic_search(self._model, get_vector_cache(self._path), self._report_or_cancel(progress))
        return snapshot, fingerprint

    def _report_or_cancel(self, progress: ProgressCallback) -> ProgressCallback:
        def report(line: str) -> None:
            if self._close_event.is_set():
                raise LoadCancelled
            progress(line)

        return report

    def _activate_snapshot(self, snapshot: BookSnapshot) -> None:
        """Replace the snapshot. Must run on the event loop, so that no request sees parts of two snapshots."""
        self._snapshot, self._recent_answers = snapshot, snapshot.recent_answers
        self.version = self._make_version(snapshot)
        self.contract = Contract(
            summary=f"Answers questions from the {f'book {self._path.name}' if self._path else 'built-in book'}.",
            description=f"A book of {snapshot.entry_count:,} answers. If a question is not in it, the response is the "
            "answer to the most similar question, with this question and a score, or up to three suggestions if no "
            "question is similar enough.",
            examples=snapshot.examples,
        )

    def _reload(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load the changed book, and replace the snapshot if it is valid. Runs in the watcher's thread."""
        try:
            snapshot, _ = self._load_snapshot(lambda line: _log.debug("book_loading", progress=line))
        except LoadCancelled:
            return
        except FilesChanged:
            return  # the watcher sees this change as well and calls again
        except Exception as error:
            self._reload_failures += 1
            self._reload_failing = True
            _log.error(
                "book_reload_failed",
                error=str(error),
                current_version=self.version,
                exc_info=not isinstance(error, LoadError),
            )
            self._finish_reload(loop, "failed")
            return
        self._reload_failing = False
        if self._make_version(snapshot) == self.version:
            self._finish_reload(loop, "unchanged")
            return
        self._reload_count += 1
        _log.info(
            "book_reloaded",
            version=self._make_version(snapshot),
            previous_version=self.version,
            entries=snapshot.entry_count,
        )
        self._finish_reload(loop, "reloaded", snapshot)
        del snapshot
        release_free_memory()

    def _finish_reload(
        self, loop: asyncio.AbstractEventLoop, outcome: ReloadOutcome, snapshot: BookSnapshot | None = None
    ) -> None:
        """Activate the new snapshot, if any, on the event loop and notify the listeners. Waits until this is done."""
        done = threading.Event()

        def activate_and_notify() -> None:
            if snapshot:
                self._activate_snapshot(snapshot)
            for listener in self._reload_listeners:
                listener.put_nowait(outcome)
            done.set()

        with contextlib.suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(activate_and_notify)
            done.wait(1.0)

    def subscribe_reloads(self) -> asyncio.Queue[ReloadOutcome]:
        """Return a queue that receives the outcome of every later reload. Tests use it to wait for a reload."""
        queue: asyncio.Queue[ReloadOutcome] = asyncio.Queue()
        self._reload_listeners.append(queue)
        return queue

    def try_immediate(self, question: Question) -> Answer | None:
        """Return the answer if the question equals one in the book after normalization, else None."""
        answer = self._recent_answers.get(question.text)
        if answer is None and self._snapshot:
            answer = self._snapshot.find_exact(question.text)
        return answer

    async def answer(self, question: Question) -> Answer:
        """Return the answer to this question or to the most similar one.

        Raises:
            NoAnswer: No question in the book is similar enough. It suggests questions as written in the book.
            Unavailable: The book is not loaded yet.
        """
        if answer := self.try_immediate(question):
            return answer
        snapshot = self._snapshot
        if not snapshot:
            raise Unavailable("The book is still loading.")
        if snapshot.question_count <= _MAX_INLINE_QUESTIONS and not self._semantic:
            similar = snapshot.find_similar(question.text)
        else:
            self._search_executor = self._search_executor or ThreadPoolExecutor(1, "askd-book-search")
            loop = asyncio.get_running_loop()
            similar = await loop.run_in_executor(self._search_executor, snapshot.find_similar, question.text)
        if similar.answer and similar.score >= self._min_score:
            return similar.answer
        if self._log_unanswered:
            best_score = similar.score if similar.answer else None
            _log.info("question_unanswered", question=question.text, suggestions=similar.suggestions, score=best_score)
        raise NoAnswer(similar.suggestions)

    async def close(self) -> None:
        """Stop watching and searching, and cancel a load in progress."""
        self._close_event.set()
        if self._watch_task:
            self._watch_task.cancel()
            await asyncio.wait({self._watch_task})
        if self._search_executor:
            self._search_executor.shutdown(wait=False, cancel_futures=True)

    def statistics(self) -> AnswererStatistics:
        """Return the number of entries and the reload counters."""
        snapshot = self._snapshot
        return AnswererStatistics(
            entries=snapshot.entry_count if snapshot else 0,
            reloads=self._reload_count,
            reload_failures=self._reload_failures,
            reload_failing=self._reload_failing,
        )


def _report_progress(loop: asyncio.AbstractEventLoop, progress: ProgressCallback, line: str) -> None:
    with contextlib.suppress(RuntimeError):  # the event loop is closed
        loop.call_soon_threadsafe(progress, line)
