"""Fixtures that write and load books."""

import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from askd.answerers.book.answerer import BookAnswerer


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
