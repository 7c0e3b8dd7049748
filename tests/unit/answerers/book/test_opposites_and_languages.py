"""Quality tests of matching: opposites, and books in other languages than English."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from askd.answerers.book.answerer import BookAnswerer
from askd.errors import NoAnswer
from askd.models import Question

Write = Callable[[str, str], Path]
Load = Callable[[Path | None], Awaitable[BookAnswerer]]

DATA: dict[str, Any] = json.loads(Path(__file__).with_name("opposites_and_languages.json").read_text(encoding="utf-8"))
OPPOSITES: list[dict[str, str]] = DATA["opposites"]
"""Questions of entries, the opposite of each, and a paraphrase of the opposite."""
LANGUAGES: dict[str, dict[str, Any]] = DATA["languages"]
"""A book for each language, paraphrases with the question of their entry, and questions that the book cannot answer."""


async def ask(book: BookAnswerer, text: str) -> str | None:
    """Return the text of the answer, or None without an answer."""
    try:
        return (await book.answer(Question(text=text))).text
    except NoAnswer:
        return None


def to_book(questions: list[str]) -> str:
    """Return a JSON book in which each question has its own answer."""
    return json.dumps([{"ask": question, "answer": f"to {question}"} for question in questions])


async def test_opposites_are_not_answered(write: Write, load: Load) -> None:
    """The opposite of an entry's question gets no answer, whatever its wording."""
    book = await load(write("a.json", to_book([pair["entry"] for pair in OPPOSITES])))
    questions = [pair[key] for pair in OPPOSITES for key in ("opposite", "paraphrase")]
    assert {question: await ask(book, question) for question in questions} == dict.fromkeys(questions)


async def test_opposites_are_distinguished(write: Write, load: Load) -> None:
    """If a book has both opposites, a paraphrase never gets the answer to the other one, and mostly the right one."""
    book = await load(write("a.json", to_book([pair[key] for pair in OPPOSITES for key in ("entry", "opposite")])))
    answers = [(await ask(book, pair["paraphrase"]), f"to {pair['opposite']}") for pair in OPPOSITES]
    assert {answer for answer, expected in answers if answer != expected} <= {None}
    assert sum(answer == expected for answer, expected in answers) >= 24


@pytest.mark.parametrize("name", list(LANGUAGES))
async def test_books_in_other_languages(write: Write, load: Load, name: str) -> None:
    """In German, Chinese and Arabic, most paraphrases get the right answer and questions out of scope get none."""
    await assert_quality(await load(write("a.json", json.dumps(LANGUAGES[name]["entries"]))), LANGUAGES[name])


async def test_mixed_book(write: Write, load: Load) -> None:
    """A book may have entries in several languages."""
    entries = [entry for language in LANGUAGES.values() for entry in language["entries"]]
    english = [{"ask": pair["entry"], "answer": f"The answer to: {pair['entry']}"} for pair in OPPOSITES]
    book = await load(write("a.json", json.dumps(entries + english)))
    for language in LANGUAGES.values():
        await assert_quality(book, language)
    assert await ask(book, "uploading my photo albums") == "The answer to: How do I upload a photo album?"


async def test_declared_language(write: Write, load: Load) -> None:
    """An entry may name its language, so that short entries without common words are stemmed correctly."""
    entries = [
        {"ask": "Rechnungen", "answer": "a", "language": "de-AT"},
        {"ask": "Zahlungen", "answer": "b", "language": "de"},
    ]
    book = await load(write("a.json", json.dumps(entries)))
    assert await ask(book, "meine Rechnung") == "a"


async def assert_quality(book: BookAnswerer, language: dict[str, Any]) -> None:
    """Assert that 3 of 4 paraphrases are answered, none wrongly, and at most 1 of 20 questions out of scope."""
    expected = {text: await ask(book, question) for text, question in language["paraphrases"].items()}
    answers = {text: await ask(book, text) for text in expected}
    assert {text: answer for text, answer in answers.items() if answer not in {None, expected[text]}} == {}
    assert sum(answer is not None for answer in answers.values()) >= 0.75 * len(expected)
    out_of_scope = {text: await ask(book, text) for text in language["out_of_scope"]}
    assert sum(answer is not None for answer in out_of_scope.values()) <= 1, out_of_scope
