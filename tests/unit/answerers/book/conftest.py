"""Fixtures that write and load books."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from askd.answerers.book.answerer import BookAnswerer, ReloadOutcome
from askd.models import Answer, Question


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that writes a dedented file to the folder `books` and returns the folder."""
    folder = tmp_path / "books"

    def write(name: str, text: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return write


@pytest.fixture
async def load() -> AsyncIterator[Callable[[Path | None], Awaitable[BookAnswerer]]]:
    """Return a function that loads a book; all books are closed after the test."""
    books = []

    async def load(path: Path | None) -> BookAnswerer:
        books.append(BookAnswerer(path))
        await books[-1].load(lambda line: None)
        return books[-1]

    yield load
    for book in books:
        await book.close()


def exact(book: BookAnswerer, text: str) -> Answer | None:
    """Return the exact answer of the book."""
    return book.try_immediate(Question(text=text))


async def wait_until_reloaded(outcomes: asyncio.Queue[ReloadOutcome]) -> None:
    """Wait for a reload that succeeds. An earlier one may fail because the file was empty for a moment."""
    async with asyncio.timeout(20):
        while await outcomes.get() != "reloaded":
            pass
