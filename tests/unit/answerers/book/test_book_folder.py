"""Which files of a folder are a book."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from askd.answerers.book.answerer import BookAnswerer
from askd.errors import LoadError
from askd.models import Answer
from tests.unit.answerers.book.conftest import exact, wait_until_reloaded

Write = Callable[[str, str], Path]
Load = Callable[[Path | None], Awaitable[BookAnswerer]]


async def test_folder_reads_only_books(write: Write, load: Load) -> None:
    """All formats are read; project files and files without questions are left out, which is logged once."""
    write("a.yaml", "- {ask: a, answer: yaml}")
    write("b.json", '{"Why b?": "json"}')
    write("c/c.jsonl", '{"q": "c", "a": "jsonl"}')
    write("d.csv", "question,answer\nd,csv")
    write("e.tsv", "question\tanswer\ne\ttsv")
    write("f.mdx", "## Why f?\nmdx\n")
    write("my-faq.md", "## g\nmd\n")
    write("faq-index.md", "+++\ntitle = x\n+++\nSee above.\n")
    write("README.md", "## Why h?\nnothing\n")
    write("package.json", '{"name": "x", "scripts": {"query": "y"}}')
    write("prices.csv", "date,price\n1,2\n")
    folder = write("sub/guide.md", "# Guide\n\n## Install\nText.\n")
    with capture_logs() as logs:
        book = await load(folder)
        outcomes = book.subscribe_reloads()
        write("a.yaml", "- {ask: a, answer: changed}")
        await wait_until_reloaded(outcomes)
    names = ["a", "why b", "c", "d", "e", "Why f?", "g"]
    texts = [answer.text if (answer := exact(book, name)) else None for name in names]
    assert texts == ["changed", "json", "jsonl", "csv", "tsv", "mdx", "md"]
    assert exact(book, "Why h?") is None
    left_out = [log["files"] for log in logs if log["event"] == "book_files_left_out"]
    assert left_out == ["README.md, faq-index.md, package.json, prices.csv, sub/guide.md"]


async def test_left_out_file_is_served_by_its_path(write: Write, load: Load) -> None:
    """A file that is named is always read."""
    folder = write("README.md", "## Why h?\nyes\n")
    assert exact(await load(folder / "README.md"), "why h") == Answer("yes")


async def test_folder_without_books(write: Write) -> None:
    """If no file looks like a book, the error message names the files that were left out."""
    for number in range(12):
        folder = write(f"{number:02}.md", "# Guide\n")
    book = BookAnswerer(folder)
    with pytest.raises(LoadError, match=r"no file of the folder looks like a book \(00.md, .*09.md and 2 more\)"):
        await book.load(lambda line: None)
    await book.close()


async def test_emptied_file_is_not_left_out(write: Write, load: Load) -> None:
    """A file that was emptied, or is half saved, fails the reload, so that its answers are not lost."""
    write("a.yaml", "- {ask: a, answer: b}")
    book = await load(write("b.yaml", "- {ask: b, answer: c}"))
    outcomes = book.subscribe_reloads()
    write("b.yaml", "")
    assert await outcomes.get() == "failed"
    assert exact(book, "b") == Answer("c")
