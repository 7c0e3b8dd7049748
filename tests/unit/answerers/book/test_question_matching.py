"""Tests of matching: which entry answers a question, and which questions get no answer."""

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from askd.answerers.book.answerer import BookAnswerer
from askd.answerers.book.question_similarity import MIN_SCORES
from askd.errors import NoAnswer, Unavailable
from askd.models import Answer, Question
from tests.support.log_capture import LogCapture
from tests.unit.answerers.book.conftest import exact, wait_until_reloaded

Write = Callable[[str, str], Path]
Load = Callable[[Path | None], Awaitable[BookAnswerer]]


async def ask(book: BookAnswerer, text: str) -> str | None:
    """Return the text of the answer, or None without an answer."""
    try:
        return (await book.answer(Question(text=text))).text
    except NoAnswer:
        return None


async def test_exact_match_is_immediate(write: Write, load: Load) -> None:
    """Equal questions after normalization are answered without a search, and the answer is cached."""
    book = await load(write("a.yaml", "- {ask: [What is TCP?, tcp], answer: ' bytes '}"))
    question = Question(text="WHAT is  tcp!")
    answer = book.try_immediate(question)
    assert answer
    assert answer.text == "bytes"
    assert book.try_immediate(question) is answer


async def test_question_lead_is_ignored(write: Write, load: Load) -> None:
    """Questions match with any question lead or without one, whether the entry has a lead or not."""
    book = await load(write("a.yaml", "- {ask: What is a port?, answer: p}\n- {ask: node, answer: n}"))
    for lead in ("", "what's a ", "define ", "Explain the ", "please tell me what is a "):
        answers = [ask_immediate(book, lead + subject) for subject in ("port", "node")]
        assert [answer and answer.text for answer in answers] == ["p", "n"]


def ask_immediate(book: BookAnswerer, text: str) -> Answer | None:
    """Return the answer if it needs no search."""
    return book.try_immediate(Question(text=text))


async def test_question_lead_distinguishes_entries(write: Write, load: Load) -> None:
    """If two entries differ only in their leads, each answers its own wording and other leads do not match."""
    asks = {"What is TCP": "a", "Explain TCP": "b", "dns": "c", "what is dns": "d"}
    text = json.dumps([{"ask": ask, "answer": answer} for ask, answer in asks.items()])
    book = await load(write("a.json", text))
    assert [await ask(book, text) for text in ("what is tcp", "explain tcp", "dns", "What is DNS?")] == list("abcd")
    assert ask_immediate(book, "define tcp") is None
    assert ask_immediate(book, "define dns") is None


async def test_duplicate_questions_with_equal_answers(write: Write, load: Load) -> None:
    """A book may contain a question twice if the answers are equal."""
    write("a.yaml", "- {ask: a b, answer: c}")
    book = await load(write("b.yaml", "- {ask: A-B, answer: c}\n- {ask: what is a b, answer: c}"))
    assert await ask(book, "define a b") == "c"
    assert book.statistics().entries == 3


@pytest.mark.parametrize("others", [0, 2, 3000])
async def test_threshold_is_independent_of_size(write: Write, load: Load, others: int) -> None:
    """In books of any size, a question matches with few different words but not with half of them."""
    rng = random.Random(others)
    entries = [{"ask": " ".join(f"w{rng.randrange(500)}" for _ in range(5)), "answer": str(n)} for n in range(others)]
    entries.insert(others // 2, {"ask": "How do I reset the password of my router?", "answer": "match"})
    book = await load(write("a.json", json.dumps(entries)))
    for text in ("reset router password", "how can i reset my routers password please", "reset password of old router"):
        assert await ask(book, text) == "match", text
    for text in ("reset the clock of my oven", "router of a joiner", "password", "w1 q x y", "nonsense"):
        assert await ask(book, text) is None, text


async def test_ties_go_to_the_earlier_entry(write: Write, load: Load) -> None:
    """Of equally similar entries the first in the sorted files answers; suggestions have the same order."""
    orders = [" ".join(words) for words in itertools.permutations(["alpha", "beta", "gamma", "delta", "zeta"])]
    for name, questions in (("c", orders[:40]), ("a", orders[40:80]), ("b", orders[80:])):
        write(f"{name}.yaml", "".join(f"- {{ask: {order}, answer: {name} {order}}}\n" for order in questions))
    book = await load(write("a/z.yaml", "- {ask: so zeta gamma alpha delta beta, answer: first}"))
    assert await ask(book, "gamma beta, alpha zeta delta please") == "first"
    with pytest.raises(NoAnswer) as caught:
        await book.answer(Question(text="beta delta alpha juliet romeo"))
    assert caught.value.extensions["suggestions"] == ["so zeta gamma alpha delta beta", *orders[40:42]]


async def test_answer_names_the_matched_question(write: Write, load: Load) -> None:
    """An exact match has no fields; another answer has the question that it matched, as written, and a score."""
    book = await load(
        write("a.yaml", "- {ask: [How do I upgrade Ollama?, ollama upgrade], answer: a}\n- {ask: b, answer: c}")
    )
    exact = await book.answer(Question(text="how do I upgrade OLLAMA"))
    assert (exact.text, exact.fields) == ("a", {})
    similar = await book.answer(Question(text="upgrading of Ollama please"))
    assert similar.text == "a"
    assert similar.fields["question"] == "How do I upgrade Ollama?"
    assert 0.75 <= similar.fields["score"] <= 1
    assert similar.fields["score"] == round(similar.fields["score"], 2)


@pytest.mark.parametrize(("mode", "answered"), [("exact", 0), ("strict", 1), ("normal", 2), ("eager", 3)])
async def test_match_modes(write: Write, mode: str, answered: int) -> None:
    """Stricter modes answer fewer of the same questions; what is not answered is suggested."""
    path = write(
        "a.yaml", "- {ask: How do I reset the password of my router?, answer: match}\n- {ask: opening hours, answer: b}"
    )
    book = BookAnswerer(path, min_score=MIN_SCORES[mode])
    await book.load(lambda line: None)
    texts = ["reset my router's password", "my router needs a new aerial, a cable and a password", "router"]
    answers = [await ask(book, text) for text in texts]
    await book.close()
    assert answers == ["match"] * answered + [None] * (3 - answered)


async def test_version_depends_on_the_minimum_score(write: Write, load: Load) -> None:
    """Replicas with another minimum score give other answers, so they have another version."""
    path = write("a.yaml", "- {ask: a, answer: b}")
    default = await load(path)
    strict = BookAnswerer(path, min_score=0.9)
    await strict.load(lambda line: None)
    await strict.close()
    assert strict.version == f"{default.version}-0.9"


@pytest.mark.parametrize(
    ("entry", "question"),
    [
        ("What is Kubernetes?", "kubernets"),
        ("What is Kubernetes?", "what is kubernetse"),
        ("How do I reset my password?", "reset my pasword"),
        ("How do I reset my password?", "reset my passwrod"),
        ("How do I configure authentication?", "configure authetnication"),
        ("Which certificates have expired?", "certficate expired"),
        ("How do I join the Wi-Fi?", "join wifi"),
        ("How do I join the wifi?", "join Wi-Fi"),
        ("How do I set up the printer?", "setting up the printer"),
        ("Printer setup", "setting up the printer"),
        ("Can I skip pre-flight checks?", "skip preflight checks"),
        ("Can I use two monitors?", "use 2 monitors"),
        ("How do I delete my account?", "remove my account"),
        ("Can I use an unsupported device?", "use a device that is not supported"),
        ("How do I run without Kubernetes?", "run with no kubernetes"),
    ],
)
async def test_spelling_variants_match(write: Write, load: Load, entry: str, question: str) -> None:
    """Typos, hyphens, number words, synonyms and other ways to negate do not matter."""
    entries = [entry, "How do I change the colour of the menu?", "Where is the nearest shop?"]
    book = await load(write("a.json", json.dumps([{"ask": text, "answer": text} for text in entries])))
    assert await ask(book, question) == entry


@pytest.mark.parametrize(
    ("entry", "question"),
    [
        ("How do I fix error 7?", "how do I fix error 8"),
        ("What is the address 1.1.1.1?", "what is the address 192.168.1.1"),
        ("Does it run on python3?", "does it run on python2"),
        ("How do I convert a PDF file to a Word file?", "convert a Word file to a PDF file"),
        ("Can I pay by card?", "can I not pay by card"),
        ("What is trust?", "rust"),
        ("Who are you?", "how are you"),
    ],
)
async def test_different_meanings_do_not_match(write: Write, load: Load, entry: str, question: str) -> None:
    """Numbers, versions, directions and negations must agree, and short words must not differ in a letter."""
    entries = [entry, "How do I change the colour of the menu?", "Where is the nearest shop?"]
    book = await load(write("a.json", json.dumps([{"ask": text, "answer": text} for text in entries])))
    assert await ask(book, question) is None


async def test_words_of_the_answer_count_a_little(write: Write, load: Load) -> None:
    """Words that only the answer has raise the score, but never suffice alone."""
    with_word = "- {ask: How do I back up my notes?, answer: With the button Export in the settings.}\n"
    without_word = "- {ask: How do I back up my notes?, answer: With the button in the settings.}\n"
    scores = []
    for text in (with_word, without_word):
        book = await load(write("a.yaml", text + "- {ask: Where are my tags?, answer: b}"))
        assert book._snapshot
        scores.append(book._snapshot.find_similar("notes backup export").score)
        assert await ask(book, "export button") is None
    assert scores[0] > scores[1]


async def test_unanswered_questions_are_logged_with_consent(write: Write) -> None:
    """Questions without an answer are logged with suggestions and the best score, only if that is enabled."""
    path = write("a.yaml", "- {ask: How do I reset the password of my router?, answer: a}\n- {ask: b c, answer: d}")
    with LogCapture() as log:
        for enabled in (False, True):
            book = BookAnswerer(path, log_unanswered=enabled)
            await book.load(lambda line: None)
            for text in ("router aerial", "zzz"):
                assert await ask(book, text) is None
            await book.close()
    lines = log.lines("question_unanswered")
    assert [(line["question"], line["suggestions"]) for line in lines] == [
        ("router aerial", ["How do I reset the password of my router?"]),
        ("zzz", []),
    ]
    assert 0 < lines[0]["score"] < 0.75
    assert lines[1]["score"] is None


async def test_suggestions(write: Write, load: Load) -> None:
    """Each suggestion is the most similar question of its entry, as written; typos are tolerated."""
    text = "- {ask: [What is Alpha?, the ALPHA thing], answer: a}\n- {ask: Zebra crossing rules?, answer: b}"
    book = await load(write("a.yaml", text))
    for question, suggestions in (
        ("alpha romeo juliet", ["What is Alpha?"]),
        ("zebar", ["Zebra crossing rules?"]),
        ("q", []),
    ):
        with pytest.raises(NoAnswer) as caught:
            await book.answer(Question(text=question))
        assert caught.value.extensions["suggestions"] == suggestions


@pytest.mark.parametrize(
    "text", ["hello:", "a AND b", 'say "hi', "field:x^2", "(", "\\", "*", "\ud800", "", "x" * 100_000]
)
async def test_query_syntax_has_no_meaning(load: Load, text: str) -> None:
    """Characters with a meaning in query languages are ordinary characters."""
    book = await load(None)
    assert await ask(book, text) in {None, "Hi"}


async def test_unspaced_scripts_match(write: Write, load: Load) -> None:
    """Paraphrases in Chinese and Japanese match; another subject does not."""
    asks = {"什么是服务器？": "a", "負荷分散装置とは何ですか": "b", "什么是客户端？": "c"}
    text = json.dumps([{"ask": ask, "answer": answer} for ask, answer in asks.items()])
    book = await load(write("a.yaml", text))
    assert [await ask(book, text) for text in ("服务器是什么", "負荷分散装置って何", "天气怎么样")] == ["a", "b", None]


async def test_version_depends_on_content(write: Write, load: Load, tmp_path: Path) -> None:
    """The version depends on the texts, their grouping and their order, not on path, time or format."""
    write("a.yaml", "- {ask: [a, b], answer: c}")
    first = await load(write("b.yaml", "- {ask: d, answer: e}"))
    versions = []
    for number, text in enumerate(
        [
            '[{"ask": ["a", "b"], "answer": "c"}, {"ask": "d", "answer": "e"}]',
            '[{"ask": ["a", "b"], "answer": "C"}, {"ask": "d", "answer": "e"}]',
            '[{"ask": "a", "answer": "c"}, {"ask": "b", "answer": "c"}, {"ask": "d", "answer": "e"}]',
            '[{"ask": "d", "answer": "e"}, {"ask": ["a", "b"], "answer": "c"}]',
        ]
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(text, encoding="utf-8")
        versions.append((await load(path)).version)
    assert versions[0] == first.version
    assert len(set(versions)) == 4
    assert len(first.version) == 12
    assert int(first.version, 16) >= 0


def test_answers_are_equal_in_all_processes() -> None:
    """Processes with different hash seeds have the same version and answers."""
    questions = ["hello", "how do load balancers work", "what is a word about tcp", "why retry", "zzz", "kubernets"]
    code = f"""
import asyncio
from askd.answerers.book.answerer import BookAnswerer
from askd.errors import NoAnswer
from askd.models import Answer, Question
async def main():
    book = BookAnswerer()
    await book.load(lambda line: None)
    print(book.version)
    for text in {questions!r}:
        try:
            print((await book.answer(Question(text=text))).text)
        except NoAnswer as error:
            print(error.extensions["suggestions"])
    await book.close()
asyncio.run(main())
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().splitlines()[1] == "Hi"


async def test_unavailable_before_load() -> None:
    """Questions before the load raise Unavailable."""
    book = BookAnswerer(None)
    assert book.try_immediate(Question(text="hello")) is None
    with pytest.raises(Unavailable):
        await book.answer(Question(text="hello"))
    await book.close()


async def test_large_book_is_searched_in_a_thread(write: Write, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large books are searched in a thread, with the same results."""
    monkeypatch.setattr("askd.answerers.book.answerer._MAX_INLINE_QUESTIONS", 0)
    book = await load(write("a.yaml", "- {ask: alpha beta, answer: c}"))
    assert await ask(book, "beta alpha") == "c"
    assert await ask(book, "gamma") is None


async def test_recent_answers_are_bounded(write: Write, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of recent answers has a maximum size and excludes very long questions."""
    monkeypatch.setattr("askd.answerers.book.snapshot._MAX_RECENT_ANSWERS", 8)
    book = await load(write("a.yaml", "- {ask: a, answer: b}"))
    for count in (*range(50), 5000):
        assert ask_immediate(book, "a" + "!" * count)
    assert len(book._recent_answers) <= 8
    assert "a" + "!" * 5000 not in book._recent_answers


async def test_contract_and_progress(write: Write) -> None:
    """The examples in the contract are questions of the book; progress is reported on the event loop."""
    book = BookAnswerer(write("a.yaml", '- {ask: ["What is a?", a], answer: b}\n- {ask: c, answer: d}'))
    lines: list[str] = []
    await book.load(lines.append)
    assert list(book.contract.examples) == ["What is a?", "c"]
    assert lines[-1] == "read 2 entries, building the index"
    assert (book.kind, book.deterministic, book.name) == ("book", True, str(book._path))
    await book.close()


CONVERSATIONAL: dict[str, Any] = json.loads(
    Path(__file__).with_name("conversational_questions.json").read_text(encoding="utf-8")
)
"""A book, questions with words around them and the answer to each, and questions on other subjects."""


@pytest.mark.parametrize("text", CONVERSATIONAL["answered"])
async def test_conversational_frame(write: Write, load: Load, text: str) -> None:
    """Words around a question, other clauses and incidental numbers do not hide the question."""
    book = await load(write("a.json", json.dumps(CONVERSATIONAL["entries"])))
    assert await ask(book, text) == CONVERSATIONAL["answered"][text]


@pytest.mark.parametrize("text", CONVERSATIONAL["unanswered"])
async def test_frame_does_not_answer_other_subjects(write: Write, load: Load, text: str) -> None:
    """Unknown nouns and other numbers still mean that something else is asked."""
    assert await ask(await load(write("a.json", json.dumps(CONVERSATIONAL["entries"]))), text) is None


async def test_other_questions_of_an_entry_count(write: Write, load: Load) -> None:
    """A word that another question of the entry has is not unknown, and does not make the word common."""
    entries = "- {ask: [How do I reset the router?, How do I restore the modem?, old router], answer: a}\n" + "".join(
        f"- {{ask: How do I reset the {name}?, answer: {name}}}\n" for name in ("oven", "fridge", "radio")
    )
    book = await load(write("a.yaml", entries))
    assert await ask(book, "reset modem") == "a"
    assert await ask(book, "router help") == "a"
    assert await ask(book, "reset the doorbell") is None


async def test_keywords_are_further_questions(write: Write, load: Load) -> None:
    """A keyword finds its entry, unless several entries have it; a question wins over a keyword."""
    write("a.json", '[{"ask": "a b", "answer": "1", "keywords": ["Both", "one", "c d"]}]')
    book = await load(write("b.csv", 'question,answer,keywords\nc d,2,"both, two"\n'))
    texts = [answer.text if (answer := exact(book, name)) else None for name in ("one", "TWO!", "c d", "both")]
    assert texts == ["1", "2", "2", None]
    assert exact(book, "What is one?") == Answer("1")


async def test_extra_fields_are_part_of_the_answer(write: Write, load: Load) -> None:
    """Exact and fuzzy answers have the extra fields of their entry; a change of them changes the version."""
    text = "- {ask: reset my password, answer: see below, category: Accounts, tags: [x]}\n- {ask: other, answer: b}\n"
    book = await load(write("a.yaml", text))
    version = book.version
    fields = {"category": "Accounts", "tags": ["x"]}
    assert exact(book, "Reset my password?") == Answer("see below", fields)
    similar = await book.answer(Question(text="how to reset the password"))
    assert similar.text == "see below"
    assert similar.fields.items() >= fields.items()
    assert exact(book, "other") == Answer("b")
    outcomes = book.subscribe_reloads()
    write("a.yaml", text.replace("Accounts", "Passwords"))
    await wait_until_reloaded(outcomes)
    assert book.version != version
