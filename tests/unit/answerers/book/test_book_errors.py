"""Books that are refused, each with its place, its fault and the mend."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.answerers.book import Book, read_json
from service.errors import LoadError

Write = Callable[[str, str], Path]


async def refusal(path: Path) -> str:
    """Load and return why it failed, paths shortened to their names."""
    book = Book(path)
    with pytest.raises(LoadError) as caught:
        await book.load(lambda line: None)
    await book.close()
    assert book.statistics().entries == 0
    return str(caught.value).replace(f"{path}/", "").replace(f"{path.parent}/", "")


YAML = [
    ("- ask: a\n  answer: b\n- ask: c\n", "3: the entry has no `answer`"),
    ("- ask: a\n  answer: b\n  anwser: c\n", "3: unknown key `anwser`"),
    ("- ask: a\n  ask: b\n  answer: c\n", "2: `ask` stands twice"),
    ("- ask: a\n  answer: 42\n", "2: `answer` is a number"),
    ("- ask: yes\n  answer: b\n", "1: `ask` is true or false"),
    ("- ask: a\n  answer:\n", "2: `answer` is empty"),
    ("- ask: a\n  answer: {b: c}\n", "2: `answer` is no text: write a text"),
    ("- ask: [a, [b]]\n  answer: c\n", "1: `ask` is no text: write a text or a list"),
    ("- ask: ' '\n  answer: c\n", "1: `ask` is blank"),
    ("- ask: a\n  answer: ' '\n", "1: `answer` is blank"),
    ("- ask: []\n  answer: a\n", "1: `ask` is an empty list"),
    ("ask: a\nanswer: b\n", "1: holds a mapping where a list is expected"),
    ("just text\n", "1: holds a text where a list"),
    ("- just text\n", "1: this is no entry"),
    ("- ask: a\n  answer: b\n---\n- ask: c\n  answer: d\n", "3: a second document begins"),
    ("- ask: a\n  answer: b: c\n", "2: not valid YAML ("),
    ("- ask: 'a\n", ": not valid YAML ("),
    ("- ask: *a\n  answer: b\n", "1: "),
    ("- ask: a\n  answer: \x01\n", "2: "),
    ("- <<: a\n  ask: b\n  answer: c\n", "1: a key is a merge"),
    ("# nothing\n", "1: holds no question"),
]

JSON = [
    ('[\n{"ask": "a", "answer": "b"},\n{"ask": "a"}\n]', "3: object missing required field `answer`"),
    ('[\n{"ask": "a", "answer": "b", "x": 1}\n]', "2: object contains unknown field `x`"),
    ('[\n{"ask": 1, "answer": "b"}\n]', "2: expected `str | array`, got `int` in `ask`"),
    ('[\n{"ask": "a", "answer": null}\n]', "2: expected `str`, got `null`"),
    ('[\n{"ask": "a", "answer": "b"},\n]', "2: not valid JSON (a comma stands before"),
    ('[\n{"ask": "a", "answer": "b"}\n{"ask": "c", "answer": "d"}]', "3: not valid JSON (a comma or ] is missing)"),
    ('[\n{"ask": "a", "answer": "b"}]\n\nmore', ": not valid JSON (text after the list's end)"),
    ('[\n{"ask": "a",\n "answer": "b', "3: not valid JSON (unterminated string"),
    ('\n{"ask": "a", "answer": "b"}', "2: holds an object where a list is expected"),
    ('[{"ask": "ask", "answer": "answer"},\n{"ask": "a", "ask": "b", "answer": "c"}]', "2: `ask` stands twice"),
    ("null", "1: holds null where"),
    ("what", "1: holds no JSON list"),
    ("", "1: is empty"),
    ("[ ]", "1: holds no question"),
    ("[\n" + "[" * 100_000, "2: "),
    ('[\n"a"]', "2: expected `object`, got `str`"),
    ('[{"ask": "a", "answer": "b"},\n{"ask": ["c", " "], "answer": "b"}]', "2: `ask` is blank"),
]

MARKDOWN = [
    ("## a\n\n## b\nc\n", "1: `a` has no answer"),
    ("# t\n\n## a\n", "3: `a` has no answer"),
    ("##\nb\n", "1: the heading is empty"),
    ("# only a title\ntext\n", "1: holds no question"),
]

CASES = [("book.yaml", *case) for case in YAML] + [("book.json", *case) for case in JSON]


@pytest.mark.parametrize(("name", "text", "fault"), CASES + [("book.md", *case) for case in MARKDOWN])
async def test_a_faulty_file_is_refused(tmp_path: Path, name: str, text: str, fault: str) -> None:
    """The message begins with file and line, then says what is wrong."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    told = await refusal(tmp_path / name)
    assert told.startswith(f"{name}:")
    assert fault in told


@pytest.mark.parametrize("size", [1, 20, 1 << 20])
async def test_the_line_is_right_in_a_large_file(write: Write, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A fault far behind the first slice of JSON has its own line."""
    monkeypatch.setattr(read_json, "SLICE", size)
    lines = [json.dumps({"ask": f"}},{{ {number}", "answer": "}, {"}) for number in range(100)]
    lines[70] = '{"ask": "a", "answer": 5}'
    assert (await refusal(write("a.json", "[" + ",\n".join(lines) + "]"))).startswith("a.json:71: expected `str`")


@pytest.mark.parametrize("name", ["book.yaml", "book.json", "book.md"])
async def test_text_that_is_not_utf8_is_refused(tmp_path: Path, name: str) -> None:
    """The byte and its line are named."""
    start = {"book.yaml": "- ask: a\n  answer: ", "book.json": '[{"ask": "a",\n"answer": "', "book.md": "## a\n"}[name]
    (tmp_path / name).write_bytes(start.encode() + b"\xe4" + b'"}]' * (name == "book.json"))
    assert await refusal(tmp_path / name) == f"{name}:2: the byte 0xe4 is not UTF-8: save the file as UTF-8"


async def test_two_answers_to_one_question_are_refused(write: Write) -> None:
    """Both places are named, across files and formats, and both spellings."""
    write("a.json", '[{"ask": "x", "answer": "y"},\n {"ask": ["y", "What is\\na Port?"], "answer": "one"}]')
    told = await refusal(write("b/c.md", "# t\n\n## what is a port\ntwo\n"))
    assert told.startswith("b/c.md:3: `what is a port` has another answer at a.json:2, where it is written `What is\na")


@pytest.mark.parametrize(
    ("name", "fault"),
    [("none.yaml", "there is no such file"), ("book.txt", "the ending .txt is not"), ("book", "a name without ending")],
)
async def test_what_is_no_book_is_refused(tmp_path: Path, name: str, fault: str) -> None:
    """A missing path and another kind of file are told apart, and the endings that fit are named."""
    if name != "none.yaml":
        (tmp_path / name).write_text("text", encoding="utf-8")
    told = await refusal(tmp_path / name)
    assert told.startswith(f"{name}: {fault}")
    assert ".md" in told


async def test_a_folder_without_books_is_refused(write: Write) -> None:
    """Files of other kinds and those whose names start with a dot do not count."""
    write("notes.txt", "x")
    write(".hidden/a.yaml", "- {ask: a, answer: b}")
    assert "the folder has no .yaml" in await refusal(write(".a.yaml", "- {ask: a, answer: b}"))


async def test_one_bad_file_refuses_the_whole_folder(write: Write) -> None:
    """Nothing is half loaded."""
    write("a.yaml", "- {ask: a, answer: b}")
    assert (await refusal(write("b.yaml", "- {ask: c}"))).startswith("b.yaml:1: ")
