"""Tests of invalid books: the error message has the location, the reason and a fix."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from askd.answerers.book.answerer import BookAnswerer
from askd.answerers.book.formats import json_file
from askd.errors import LoadError
from askd.models import Answer, Question

Write = Callable[[str, str], Path]


async def load_error(path: Path, *, refuse_duplicates: bool = False) -> str:
    """Load an invalid book and return the error message, with relative paths."""
    book = BookAnswerer(path, refuse_duplicates=refuse_duplicates)
    with pytest.raises(LoadError) as caught:
        await book.load(lambda line: None)
    await book.close()
    assert book.statistics().entries == 0
    return str(caught.value).replace(f"{path}/", "").replace(f"{path.parent}/", "")


YAML = [
    ("- ask: a\n  answer: b\n- ask: c\n", "3: the entry lacks `answer`"),
    ("- ask: a\n  anwser: c\n", "1: the entry lacks `answer` (it has `ask`, `anwser`)"),
    ("- asks: a\n  anwser: c\n", "1: an entry with `asks`, `anwser` is unknown: an entry has a question"),
    ("- ask: a\n  ask: b\n  answer: c\n", "2: duplicate key `ask`"),
    ("- ask: a\n  answer: 42\n", "2: `answer` is a number: write a text, in quotes"),
    ("- question: yes\n  answer: b\n", "1: `question` is a boolean"),
    ("- ask: a\n  answer:\n", "2: `answer` is empty"),
    ("- ask: a\n  answer: {b: c}\n", "2: `answer` is a mapping: write a text"),
    ("- ask: {x: b}\n  answer: c\n", "1: `ask` is a mapping: write a text"),
    ("- ask: a\n  answer: b\n- ask: {en: c}\n  answer: {en: 5}\n", "4: `answer` is a number: write a text"),
    ("- ask: {en: c, de: d}\n  answer: {en: c, de: }\n", "2: `answer` is empty: write a text"),
    ("- ask: [a, [b]]\n  answer: c\n", "1: `ask` is a list: write a text or a list of texts"),
    ("- ask: a\n  answer: b\n  keywords: 7\n", "3: `keywords` is a number: write a list of texts"),
    ("- ask: ' '\n  answer: c\n", "1: a question is blank"),
    ("- ask: a\n  answer: ' '\n", "1: the answer is blank"),
    ("- ask: []\n  answer: a\n", "1: the list of questions is empty"),
    ("just text\n", "1: a text is not an entry: an entry has a question"),
    ("- just text\n", "1: a text is not an entry"),
    ("faqs:\n  - title: a\n    text: b\n  - ask: c\n", "4: the entry lacks `answer`"),
    ("faqs:\n  - {name: a, url: b}\n", "1: no entries below `faqs`"),
    ("- ask: a\n  answer: b\n---\n- ask: c\n  answer: d\n", "3: the file has a second document"),
    ("- ask: a\n  answer: b: c\n", "2: not valid YAML ("),
    ("- ask: 'a\n", ": not valid YAML ("),
    ("- ask: *a\n  answer: b\n", "1: "),
    ("- ask: &a [b]\n  answer: *a\n", "2: `*a` does not refer to a text"),
    ("- ask: a\n  answer: \x01\n", "2: "),
    ("- <<: a\n  ask: b\n  answer: c\n", "1: a key is a merge key"),
    ("[" * 2000 + "]" * 2000, "1: nested too deeply"),
    ("# nothing\n", "1: the file contains no questions"),
]

JSON = [
    ('[\n{"ask": "a", "answer": "b"},\n{"ask": "a"}\n]', "3: the entry lacks `answer` (it has `ask`)"),
    ('[\n{"answer": "b", "x": 1}\n]', "2: the entry lacks `ask` (it has `answer`, `x`)"),
    ('[\n{"ask": 1, "answer": "b"}\n]', "2: `ask` is a number: write a text or a list of texts"),
    ('[{"ask": "a",\n"answer": null}]', "2: `answer` is empty: write a text"),
    ('{"faqs": [\n{"q": "a", "a": "b"},\n{"q": "c", "a":\n[1]}]}', "4: `a` is a list: write a text"),
    ('[\n{"ask": "a", "answer": "b"},\n]', "2: not valid JSON (trailing comma before ]"),
    ('[\n{"ask": "a", "answer": "b"}\n{"ask": "c", "answer": "d"}]', "3: not valid JSON (a comma or ] is missing)"),
    ('[\n{"ask": "a", "answer": "b"}]\n\nmore', ": not valid JSON (text after the end of the list)"),
    ('{"ask": "a", "answer": "b"}\n{}', ": not valid JSON (text after the end"),
    ('[\n{"ask": "a",\n "answer": "b', "3: not valid JSON (unterminated string"),
    ('[{"ask": "ask", "answer": "answer"},\n{"ask": "a", "ask": "b", "answer": "c"}]', "2: duplicate key `ask`"),
    ("null", "1: empty is not an entry"),
    ("what", "1: not valid JSON ("),
    ("", "1: the file is empty"),
    ("[ ]", "1: the file contains no questions"),
    ("[\n" + "[" * 100_000, "2: "),
    ("[\n" + "[" * 5000 + "]" * 5000 + "]", "2: nested too deeply"),
    ('[\n"a"]', "2: a text is not an entry"),
    ('[{"ask": "a", "answer": "b"},\n{"ask": ["c", " "], "answer": "b"}]', "2: a question is blank"),
]

JSON_LINES = [
    ('{"q": "a", "a": "b"}\n\n{"q": "c"}\n', "3: the entry lacks `answer`"),
    ('{"q": "a", "a": "b"}\n{"q": "c"\n', "2: not valid JSON ("),
    ('{"q": "a", "a": "b"}\n{"q": "c", "a": " "}\n', "2: the answer is blank"),
]

CSV = [
    ("question,answer\na,b\n\nc,d,e\n", "4: the row has 3 cells but the header 2: put texts that contain ','"),
    ('question,answer\na,"b\nc"\nd,"e', "4: not valid CSV ("),
    ("kysymys,vastaus\na,b\n", "1: the first line names no question and answer (it has `kysymys`, `vastaus`)"),
    ("How?,Why?,b\n", "1: the first line names no question and answer (it has `How?`, `Why?`, `b`)"),
    ("How?,b\nc,d,e\n", "2: the row has 3 cells but the header 2"),
    ("question_id,answer\na,b\n", "1: the first line names no question and answer"),
    ("question_en,answer_fr\na,b\n", "1: the first line names no question and answer"),
    ("q_en,a_en,q_fr,a_fr\na,b,,\n,,c,d\n,,e,\n", "4: the answer is blank"),
    ("question,answer,answer\na,b,c\n", "1: the header has the column `answer` twice"),
    ("question;answer\na;b\nc; \n", "3: the answer is blank"),
    ("question,answer\na\n", "2: the entry lacks `answer`"),
]

MARKDOWN = [
    ("## a\n\n## b\nc\n", "1: `a` lacks an answer"),
    ("# t\n\n## a\n", "3: `a` lacks an answer"),
    ("##\nb\n", "1: the heading is empty"),
    ("# t\n<details><summary>a?</summary>\nb\n## c\nd\n", "2: the block is not closed"),
    ("# only a title\ntext\n", "1: the file contains no questions"),
    ("# t\n**Why a?**\n\n**Why b?**\nc\n", "2: `Why a?` lacks an answer"),
]

CASES = {"book.yaml": YAML, "book.json": JSON, "book.jsonl": JSON_LINES, "book.csv": CSV, "book.md": MARKDOWN}


@pytest.mark.parametrize(
    ("name", "text", "message"), [(name, *case) for name, cases in CASES.items() for case in cases]
)
async def test_invalid_file_is_rejected(tmp_path: Path, name: str, text: str, message: str) -> None:
    """The error message begins with the file and the line and contains the reason."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    error = await load_error(tmp_path / name)
    assert error.startswith(f"{name}:")
    assert message in error


@pytest.mark.parametrize("size", [1, 20, 1 << 20])
async def test_line_number_in_a_large_file(write: Write, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """An error in any slice of a JSON file is reported with the right line."""
    monkeypatch.setattr(json_file, "SLICE_BYTES", size)
    lines = [json.dumps({"ask": f"}},{{ {number}", "answer": "}, {"}) for number in range(100)]
    lines[70] = '{"ask": "a", "answer": 5}'
    assert (await load_error(write("a.json", "[" + ",\n".join(lines) + "]"))).startswith(
        "a.json:71: `answer` is a number"
    )


@pytest.mark.parametrize("name", ["book.yaml", "book.json", "book.md"])
async def test_non_utf8_file_is_rejected(tmp_path: Path, name: str) -> None:
    """The error message has the invalid byte and its line."""
    start = {"book.yaml": "- ask: a\n  answer: ", "book.json": '[{"ask": "a",\n"answer": "', "book.md": "## a\n"}[name]
    (tmp_path / name).write_bytes(start.encode() + b"\xe4" + b'"}]' * (name == "book.json"))
    assert await load_error(tmp_path / name) == f"{name}:2: the byte 0xe4 is not UTF-8: save the file as UTF-8"


def write_duplicates(write: Write) -> Path:
    """Write two files with different answers to one question."""
    write("a.json", '[{"ask": "x", "answer": "y"},\n {"ask": ["y", "What is\\na Port?"], "answer": "one"}]')
    return write("b/c.md", "# t\n\n## what is a port\ntwo\n")


async def test_first_of_two_answers_counts(write: Write) -> None:
    """The first answer to a question is used, and one warning names both places, even in different formats."""
    folder = write_duplicates(write)
    book = BookAnswerer(folder)
    with capture_logs() as logs:
        await book.load(lambda line: None)
    await book.close()
    answer = book.try_immediate(Question(text="what is a port?"))
    assert answer == Answer("one")
    assert [(log["event"], log["question"], log["used"], log["ignored"]) for log in logs] == [
        ("book_question_twice", "what is a port", f"{folder}/a.json:2", f"{folder}/b/c.md:3")
    ]


async def test_many_duplicates_are_counted(write: Write) -> None:
    """Twenty duplicates are named, the others counted."""
    book = BookAnswerer(write("a.csv", "q,a\n" + "".join(f"a{n},b{m}\n" for m in range(2) for n in range(25))))
    with capture_logs() as logs:
        await book.load(lambda line: None)
    await book.close()
    assert [log["event"] for log in logs] == ["book_question_twice"] * 20 + ["book_questions_twice"]
    assert logs[-1]["more"] == "5"


async def test_contradicting_entries_are_refused(write: Write) -> None:
    """If duplicates are refused, the error message has both locations and both spellings."""
    error = await load_error(write_duplicates(write), refuse_duplicates=True)
    assert error.startswith("b/c.md:3: `what is a port` has a different answer at a.json:2 (`What is\na Port?`)")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.yaml", "no such file or folder"),
        ("book.txt", "unsupported file extension .txt"),
        ("book", "missing file extension"),
    ],
)
async def test_unsupported_path_is_rejected(tmp_path: Path, name: str, message: str) -> None:
    """The error message distinguishes missing and unsupported files, and lists the supported extensions."""
    if name != "none.yaml":
        (tmp_path / name).write_text("text", encoding="utf-8")
    error = await load_error(tmp_path / name)
    assert error.startswith(f"{name}: {message}")
    assert ".md" in error


async def test_folder_without_book_files_is_rejected(write: Write) -> None:
    """Unsupported and hidden files are ignored."""
    write("notes.txt", "x")
    write(".hidden/a.yaml", "- {ask: a, answer: b}")
    assert "the folder contains no .yaml" in await load_error(write(".a.yaml", "- {ask: a, answer: b}"))


async def test_one_invalid_file_rejects_the_folder(write: Write) -> None:
    """A folder is loaded completely or not at all."""
    write("a.yaml", "- {ask: a, answer: b}")
    assert (await load_error(write("b.yaml", "- {ask: c}"))).startswith("b.yaml:1: ")
