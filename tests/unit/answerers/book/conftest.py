"""Books written to a folder of the test's own, and loaded."""

import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from service.answerers.book import Book


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a file below `books`, its indentation removed; return the folder."""
    folder = tmp_path / "books"

    def write(name: str, text: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return write


@pytest.fixture
async def load() -> AsyncIterator[Callable[[Path | None], Awaitable[Book]]]:
    """Load a book; closed after the test."""
    books = []

    async def load(path: Path | None) -> Book:
        books.append(Book(path))
        await books[-1].load(lambda line: None)
        return books[-1]

    yield load
    for book in books:
        await book.close()
