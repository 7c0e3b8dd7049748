"""Answers from the table `faq (question, answer)` of an SQLite file: `askd serve sqlite://faq.db`."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from askd import Answer, Answerer, NoAnswer, Question
from askd.config import Settings
from askd.errors import LoadError
from askd.models import Contract, ProgressCallback


class SqliteAnswerer(Answerer):
    """Opens the file for each question, so the file may be replaced at any time."""

    kind = "sqlite"
    contract = Contract(summary="Answers from a table.", examples=("hello",))

    def __init__(self, spec: str) -> None:
        self.name = spec
        self._path = Path(spec.removeprefix("sqlite://"))

    async def load(self, progress: ProgressCallback) -> None:
        """Check that the file exists."""
        progress(f"opening {self._path}")
        if not self._path.is_file():
            raise LoadError(f"{self.name}: there is no file {self._path.absolute()}")

    async def answer(self, question: Question) -> Answer:
        """Query the table in a thread, because sqlite3 blocks."""
        row = await asyncio.to_thread(self._find_row, question.text)
        if row is None:
            raise NoAnswer
        return Answer(row[0])

    def _find_row(self, text: str) -> tuple[str] | None:
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute("SELECT answer FROM faq WHERE question = ?", (text,)).fetchone()


def answerer(spec: str, _settings: Settings) -> Answerer | None:
    """Return the answerer for `sqlite://…`. The entry point in pyproject.toml names this function."""
    return SqliteAnswerer(spec) if spec.startswith("sqlite://") else None
