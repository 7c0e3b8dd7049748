"""Which entry answers a question, and which questions get none."""

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.answerers.book import Book
from service.errors import NoAnswer, Unavailable
from service.models import Answer, Question

Write = Callable[[str, str], Path]
Load = Callable[[Path | None], Awaitable[Book]]


async def told(book: Book, text: str) -> str | None:
    """Return the answer's text, None where there is none."""
    try:
        return (await book.answer(Question(text=text))).text
    except NoAnswer:
        return None


async def test_an_exact_match_is_at_hand(write: Write, load: Load) -> None:
    """What is equal after normalisation needs no search, and the same object answers again."""
    book = await load(write("a.yaml", "- {ask: [What is TCP?, tcp], answer: ' bytes '}"))
    question = Question(text="WHAT is  tcp!")
    answer = book.at_hand(question)
    assert answer
    assert answer.text == "bytes"
    assert book.at_hand(question) is answer


async def test_the_lead_makes_no_difference(write: Write, load: Load) -> None:
    """Asked with another lead or none, an entry is found; so is one that is written without."""
    book = await load(write("a.yaml", "- {ask: What is a port?, answer: p}\n- {ask: node, answer: n}"))
    for lead in ("", "what's a ", "define ", "Explain the ", "please tell me what is a "):
        assert [entry and entry.text for entry in (at_hand(book, lead + "port"), at_hand(book, lead + "node"))] == [
            "p",
            "n",
        ]


def at_hand(book: Book, text: str) -> Answer | None:
    """Ask without a search."""
    return book.at_hand(Question(text=text))


async def test_the_lead_counts_where_it_tells_entries_apart(write: Write, load: Load) -> None:
    """Where two entries differ in their leads alone each answers its own, and another lead is not at hand."""
    asks = {"What is TCP": "a", "Explain TCP": "b", "dns": "c", "what is dns": "d"}
    text = json.dumps([{"ask": ask, "answer": answer} for ask, answer in asks.items()])
    book = await load(write("a.json", text))
    assert [await told(book, each) for each in ("what is tcp", "explain tcp", "dns", "What is DNS?")] == list("abcd")
    assert at_hand(book, "define tcp") is None
    assert at_hand(book, "define dns") is None


async def test_equal_answers_do_not_contradict(write: Write, load: Load) -> None:
    """One question may stand twice if its answers are equal."""
    write("a.yaml", "- {ask: a b, answer: c}")
    book = await load(write("b.yaml", "- {ask: A-B, answer: c}\n- {ask: what is a b, answer: c}"))
    assert await told(book, "define a b") == "c"
    assert book.statistics().entries == 3


@pytest.mark.parametrize("others", [0, 2, 3000])
async def test_the_threshold_means_the_same_at_every_size(write: Write, load: Load, others: int) -> None:
    """A word more or less is found in a book of one entry as in one of thousands; half the words are not."""
    rng = random.Random(others)
    entries = [{"ask": " ".join(f"w{rng.randrange(500)}" for _ in range(5)), "answer": str(n)} for n in range(others)]
    entries.insert(others // 2, {"ask": "How do I reset the password of my router?", "answer": "found"})
    book = await load(write("a.json", json.dumps(entries)))
    for text in ("reset router password", "how can i reset my routers password please", "reset password of old router"):
        assert await told(book, text) == "found", text
    for text in ("reset the clock of my oven", "router of a joiner", "password", "w1 q x y", "nonsense"):
        assert await told(book, text) is None, text


async def test_ties_go_to_the_earlier_entry(write: Write, load: Load) -> None:
    """Among equally near entries the first in the sorted files answers, and suggestions keep that order."""
    orders = [" ".join(words) for words in itertools.permutations(["alpha", "beta", "gamma", "delta", "zeta"])]
    for name, some in (("c", orders[:40]), ("a", orders[40:80]), ("b", orders[80:])):
        write(f"{name}.yaml", "".join(f"- {{ask: {order}, answer: {name} {order}}}\n" for order in some))
    book = await load(write("a/z.yaml", "- {ask: so zeta gamma alpha delta beta, answer: first}"))
    assert await told(book, "gamma beta, alpha zeta delta please") == f"a {orders[40]}"
    with pytest.raises(NoAnswer) as caught:
        await book.answer(Question(text="alpha juliet romeo tango"))
    assert caught.value.members["suggestions"] == ["so zeta gamma alpha delta beta", *orders[40:42]]


async def test_suggestions_are_as_written_and_one_an_entry(write: Write, load: Load) -> None:
    """At most three entries are suggested, each by its nearest question; a slip of the keyboard finds one too."""
    text = "- {ask: [What is Alpha?, the ALPHA thing], answer: a}\n- {ask: Zebra crossing rules?, answer: b}"
    book = await load(write("a.yaml", text))
    for asked, suggested in (
        ("alpha romeo juliet", ["What is Alpha?"]),
        ("zebar", ["Zebra crossing rules?"]),
        ("q", []),
    ):
        with pytest.raises(NoAnswer) as caught:
            await book.answer(Question(text=asked))
        assert caught.value.members["suggestions"] == suggested


@pytest.mark.parametrize(
    "text", ["hello:", "a AND b", 'say "hi', "field:x^2", "(", "\\", "*", "\ud800", "", "x" * 100_000]
)
async def test_no_question_is_a_query_language(load: Load, text: str) -> None:
    """Signs that mean something to a query parser, or break one, are just signs."""
    book = await load(None)
    assert await told(book, text) in {None, "Hi"}


async def test_languages_without_spaces_are_found(write: Write, load: Load) -> None:
    """A Chinese and a Japanese paraphrase match; another subject does not."""
    asks = {"什么是服务器？": "a", "負荷分散装置とは何ですか": "b", "什么是客户端？": "c"}
    text = json.dumps([{"ask": ask, "answer": answer} for ask, answer in asks.items()])
    book = await load(write("a.yaml", text))
    assert [await told(book, each) for each in ("服务器是什么", "負荷分散装置って何", "天气怎么样")] == ["a", "b", None]


async def test_the_version_is_the_content(write: Write, load: Load, tmp_path: Path) -> None:
    """Path, times and format make no difference to the version; a letter, the grouping or the order does."""
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


def test_every_process_answers_alike() -> None:
    """Another process, with another seed for hashes, has the same version and gives the same answers."""
    asked = ["hello", "how do load balancers work", "what is a word about tcp", "why retry", "zzz", "kubernets"]
    code = f"""
import asyncio
from service.answerers.book import Book
from service.errors import NoAnswer
from service.models import Answer, Question
async def main():
    book = Book()
    await book.load(lambda line: None)
    print(book.version)
    for text in {asked!r}:
        try:
            print((await book.answer(Question(text=text))).text)
        except NoAnswer as fault:
            print(fault.members["suggestions"])
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


async def test_before_it_is_loaded_nothing_is_at_hand() -> None:
    """A question that comes too early is told to come again."""
    book = Book(None)
    assert book.at_hand(Question(text="hello")) is None
    with pytest.raises(Unavailable):
        await book.answer(Question(text="hello"))
    await book.close()


async def test_a_large_book_is_searched_beside_the_loop(
    write: Write, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the same from the thread that searches large books."""
    monkeypatch.setattr("service.answerers.book._INLINE", 0)
    book = await load(write("a.yaml", "- {ask: alpha beta, answer: c}"))
    assert await told(book, "beta alpha") == "c"
    assert await told(book, "gamma") is None


async def test_what_is_remembered_is_bounded(write: Write, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spellings without end do not fill the memory, nor do very long ones."""
    monkeypatch.setattr("service.answerers.book.edition._RECENT", 8)
    book = await load(write("a.yaml", "- {ask: a, answer: b}"))
    for count in (*range(50), 5000):
        assert at_hand(book, "a" + "!" * count)
    assert len(book._recent) <= 8
    assert "a" + "!" * 5000 not in book._recent


async def test_the_contract_and_the_progress_tell(write: Write) -> None:
    """Examples are questions of the book; progress comes on the loop."""
    book = Book(write("a.yaml", '- {ask: ["What is a?", a], answer: b}\n- {ask: c, answer: d}'))
    lines: list[str] = []
    await book.load(lines.append)
    assert list(book.contract.examples) == ["What is a?", "c"]
    assert lines[-1] == "read 2 entries, building the index"
    assert (book.kind, book.deterministic, book.name) == ("book", True, str(book._path))
    await book.close()
