"""The book: files of questions and answers, held in memory, searched, and read again when they change."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, TypeAlias

import structlog

from service.answerers.book.build import Cancelled, Changing, build_edition, give_back
from service.answerers.book.edition import Edition
from service.answerers.book.files import Fingerprint
from service.answerers.book.watch import Watch
from service.errors import LoadError, Unavailable
from service.models import Answer, Answerer, Contract, Progress, Question, Statistics

__all__ = ["Book", "Outcome"]

Outcome: TypeAlias = Literal["reloaded", "unchanged", "failed"]
"""How one attempt to read a changed book ended; unchanged: its content is the same."""

_BUILT_IN: Final = Path(__file__).parents[2] / "books"
_INLINE: Final = 200_000
"""Questions up to which a search runs on the loop. Measured: comparing the candidates takes 0.2 ms at every size and
holds the interpreter's lock, so a thread gains nothing there; tantivy's share, which does not, is 0.05 ms at this size,
what handing over to a thread costs. With a million it is up to 2 ms, during which the loop can answer others."""
_TRIES: Final = 20
_PAUSE: Final = 0.25
"""Seconds between two tries of a first load whose files change meanwhile."""
_LOG: Final = structlog.get_logger("askd.book")


class Book(Answerer):
    """Answers from `path`, a file or a folder; None is the built-in book, which is not watched for changes."""

    kind = "book"
    deterministic = True

    def __init__(self, path: Path | None = None) -> None:
        self.name = str(path) if path else "built-in book"
        self._path = path
        self._edition: Edition | None = None
        self._recent: dict[str, Answer] = {}
        self._reloads = 0
        self._failures = 0
        self._failing = False
        self._closing = threading.Event()
        self._watch: Watch | None = None
        self._searcher: ThreadPoolExecutor | None = None
        self._listeners: list[asyncio.Queue[Outcome]] = []

    async def load(self, progress: Progress) -> None:
        """Read the book in a thread, then watch it. Raises LoadError with file, line and fault."""
        loop = asyncio.get_running_loop()
        loading = loop.run_in_executor(None, self._first, lambda line: _tell(loop, progress, line))
        try:
            edition, seen = await asyncio.shield(loading)
        except asyncio.CancelledError:
            self._closing.set()
            with contextlib.suppress(Cancelled, LoadError):
                await loading
            raise
        self._serve(edition)
        if self._path:
            self._watch = Watch(self._path, seen, lambda now: self._reload(loop, now))

    def _first(self, progress: Progress) -> tuple[Edition, Fingerprint]:
        for _ in range(_TRIES):
            try:
                return build_edition(self._path or _BUILT_IN, progress, self._closing)
            except Changing:
                if self._closing.wait(_PAUSE):
                    raise Cancelled from None
        raise LoadError(f"{self.name}: the files change while they are read: wait until they are complete")

    def _serve(self, edition: Edition) -> None:
        """Swap the edition in. Runs on the loop, so that no exchange sees parts of two."""
        self._edition, self._recent = edition, edition.recent
        self.version = edition.version
        self.contract = Contract(
            summary="Answers a question from a book.",
            description=f"A book of {edition.entries:,} answers. A question that is not in it gets the answer to the "
            "one that is nearest, or none, and then up to three suggestions.",
            examples=edition.examples,
        )

    def _reload(self, loop: asyncio.AbstractEventLoop, _: Fingerprint) -> None:
        """Serve the book as it is on disk now, if it is whole; runs in the watching thread."""
        try:
            edition, _ = build_edition(
                self._path or _BUILT_IN, lambda line: _LOG.debug("book.loading", progress=line), self._closing
            )
        except Cancelled:
            return
        except Changing:
            return  # the watch sees the change as well, and calls again
        except Exception as fault:
            self._failures += 1
            self._failing = True
            _LOG.error(
                "book.reload_failed",
                fault=str(fault),
                serving=self.version,
                exc_info=not isinstance(fault, LoadError),
            )
            self._conclude(loop, "failed")
            return
        self._failing = False
        if edition.version == self.version:
            self._conclude(loop, "unchanged")
            return
        self._reloads += 1
        _LOG.info("book.reloaded", version=edition.version, before=self.version, entries=edition.entries)
        self._conclude(loop, "reloaded", edition)
        del edition
        give_back()

    def _conclude(self, loop: asyncio.AbstractEventLoop, outcome: Outcome, edition: Edition | None = None) -> None:
        """Swap the edition in, if there is one, and tell who listens; returns when that is done."""
        done = threading.Event()

        def conclude() -> None:
            if edition:
                self._serve(edition)
            for listener in self._listeners:
                listener.put_nowait(outcome)
            done.set()

        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(conclude)
            done.wait(1.0)

    def outcomes(self) -> asyncio.Queue[Outcome]:
        """Return a queue that gets the outcome of every reload from now on: something to wait for, in tests."""
        queue: asyncio.Queue[Outcome] = asyncio.Queue()
        self._listeners.append(queue)
        return queue

    def at_hand(self, question: Question) -> Answer | None:
        """Return the answer to a question that is in the book, up to normalisation."""
        answer = self._recent.get(question.text)
        if answer is None and self._edition:
            answer = self._edition.exact(question.text)
        return answer

    async def answer(self, question: Question) -> Answer:
        """Return the answer to that question, or to the nearest. Raises NoAnswer."""
        if answer := self.at_hand(question):
            return answer
        edition = self._edition
        if not edition:
            raise Unavailable("The book is being read.")
        if edition.questions <= _INLINE:
            return edition.fuzzy(question.text)
        self._searcher = self._searcher or ThreadPoolExecutor(1, "askd-book-search")
        return await asyncio.get_running_loop().run_in_executor(self._searcher, edition.fuzzy, question.text)

    async def close(self) -> None:
        """Stop watching and searching; a reload under way is given up."""
        self._closing.set()
        if self._watch:
            await asyncio.to_thread(self._watch.stop)
        if self._searcher:
            self._searcher.shutdown(wait=False, cancel_futures=True)

    def statistics(self) -> Statistics:
        """Return how many answers there are, how many reloads succeeded and failed, and how the last one went."""
        edition = self._edition
        return Statistics(
            entries=edition.entries if edition else 0,
            reloads=self._reloads,
            reload_failures=self._failures,
            reload_failing=self._failing,
        )


def _tell(loop: asyncio.AbstractEventLoop, progress: Progress, line: str) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(progress, line)
