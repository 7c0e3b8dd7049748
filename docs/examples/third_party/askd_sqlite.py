"""Answers from the table `faq (question, answer)` of an SQLite file: `askd serve sqlite://faq.db`."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from service.errors import LoadError, NoAnswer
from service.models import Answer, Answerer, Contract, Progress, Question
from service.settings import Settings


class Faq(Answerer):
    """One file; it is opened for each question, so that it may be replaced at any time."""

    kind = "sqlite"
    contract = Contract(summary="Answers from a table.", examples=("hello",))

    def __init__(self, spec: str) -> None:
        self.name = spec
        self._path = Path(spec.removeprefix("sqlite://"))

    async def load(self, progress: Progress) -> None:
        """Look for the file."""
        progress(f"looking for {self._path}")
        if not self._path.is_file():
            raise LoadError(f"{self.name}: there is no file {self._path.absolute()}")

    async def answer(self, question: Question) -> Answer:
        """Look the question up, in a thread, for that blocks."""
        row = await asyncio.to_thread(self._row, question.text)
        if row is None:
            raise NoAnswer
        return Answer(row[0])

    def _row(self, text: str) -> tuple[str] | None:
        with closing(sqlite3.connect(self._path)) as table:
            return table.execute("SELECT answer FROM faq WHERE question = ?", (text,)).fetchone()


def answerer(spec: str, _settings: Settings) -> Answerer | None:
    """Make the answerer for a spec that begins with `sqlite:`; the entry point names this function."""
    return Faq(spec) if spec.startswith("sqlite://") else None
