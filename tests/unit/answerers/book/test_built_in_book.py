"""Quality tests of the built-in book: typical questions get the right answer, all others get none."""

import asyncio
import json
import re
from pathlib import Path

import pytest

import askd
from askd.answerers.book.answerer import BookAnswerer
from askd.errors import NoAnswer
from askd.models import Question

FOLDER = Path(askd.__file__).parent / "books"

SUBJECTS = """
    server, client, port, API, framework, container, cloud, request, response, protocol, HTTP, TCP, DNS, TLS,
    load balancer, reverse proxy, probe, replica, autoscaler, rollout, drain, time-out, retry, cache, rate limit,
    metric, log, trace, Kubernetes, pod, Helm, image, thread, event loop, latency, throughput
"""

_LABELED = json.loads(Path(__file__).with_name("built_in_book_questions.json").read_text(encoding="utf-8"))
PARAPHRASES: dict[str, str] = _LABELED["paraphrases"]
"""Questions of users, and the question of the entry that should answer each."""
OFF_TOPIC: list[str] = _LABELED["off_topic"]
"""Questions that the book should not answer."""


@pytest.fixture(scope="module")
def book() -> BookAnswerer:
    """Return the loaded built-in book, which needs no event loop after the load."""
    book = BookAnswerer()
    asyncio.run(book.load(lambda line: None))
    return book


async def ask(book: BookAnswerer, text: str) -> str | None:
    """Return the text of the answer, or None without an answer."""
    try:
        return (await book.answer(Question(text=text))).text
    except NoAnswer:
        return None


@pytest.mark.parametrize("text", ["hello", "Hello!", "hi", "HEY", " hi. "])
async def test_greeting(book: BookAnswerer, text: str) -> None:
    """A greeting gets exactly `Hi`."""
    assert await ask(book, text) == "Hi"


@pytest.mark.parametrize("subject", [subject.strip() for subject in SUBJECTS.split(",")])
async def test_subjects_are_answered(book: BookAnswerer, subject: str) -> None:
    """Each subject has an exact answer, by its name alone or with a question lead."""
    for text in (subject, f"What is a {subject}?", f"define {subject.lower()}"):
        assert book.try_immediate(Question(text=text)), text


async def test_paraphrases_are_answered(book: BookAnswerer) -> None:
    """Every labeled paraphrase gets the answer of its entry."""
    expected = {text: await ask(book, question) for text, question in PARAPHRASES.items()}
    assert None not in expected.values()
    assert {text: await ask(book, text) for text in PARAPHRASES} == expected


async def test_off_topic_questions_get_no_answer(book: BookAnswerer) -> None:
    """Questions about other subjects and random words get no answer."""
    assert {text: await ask(book, text) for text in OFF_TOPIC} == dict.fromkeys(OFF_TOPIC)


def test_answers_are_short_and_plain() -> None:
    """The book has at least 1,000 answers of one to three sentences without markup."""
    paths = sorted(FOLDER.iterdir())
    entries = [entry for path in paths for entry in json.loads(path.read_text(encoding="utf-8"))]
    assert len(entries) >= 1000
    for entry in entries[1:]:
        sentences = re.findall(r"[.!?](?:\s|$)", entry["answer"].strip())
        assert 1 <= len(sentences) <= 3, entry["ask"]
        assert not re.search(r"[`<]|\*\*|__", entry["answer"]), entry["ask"]
