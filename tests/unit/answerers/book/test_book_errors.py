"""Tests of invalid books: the error message has the location, the reason and a fix."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from askd.answerers.book.answerer import BookAnswerer
from askd.answerers.book.formats import json_file
from askd.errors import LoadError

Write = Callable[[str, str], Path]


async def load_error(path: Path) -> str:
    """Load an invalid book and return the error message, with relative paths."""
    book = BookAnswerer(path)
    with pytest.raises(LoadError) as caught:
        await book.load(lambda line: None)
    await book.close()
    assert book.statistics().entries == 0
    return str(caught.value).replace(f"{path}/", "").replace(f"{path.parent}/", "")


YAML = [
    ("- ask: a\n  answer: b\n- ask: c\n", "3: the entry lacks `answer`"),
    ("- ask: a\n  answer: b\n  anwser: c\n", "3: unknown key `anwser`"),
    ("- ask: a\n  ask: b\n  answer: c\n", "2: duplicate key `ask`"),
    ("- ask: a\n  answer: 42\n", "2: `answer` is a number"),
    ("- ask: yes\n  answer: b\n", "1: `ask` is a boolean"),
    ("- ask: a\n  answer:\n", "2: `answer` is empty"),
    ("- ask: a\n  answer: {b: c}\n", "2: `answer` is not a text: write a text"),
    ("- ask: [a, [b]]\n  answer: c\n", "1: `ask` is not a text: write a text or a list"),
    ("- ask: ' '\n  answer: c\n", "1: `ask` is blank"),
    ("- ask: a\n  answer: ' '\n", "1: `answer` is blank"),
    ("- ask: []\n  answer: a\n", "1: `ask` is an empty list"),
    ("ask: a\nanswer: b\n", "1: expected a list but found a mapping"),
    ("just text\n", "1: expected a list but found a scalar"),
    ("- just text\n", "1: not an entry"),
    ("- ask: a\n  answer: b\n---\n- ask: c\n  answer: d\n", "3: the file has a second document"),
    ("- ask: a\n  answer: b: c\n", "2: not valid YAML ("),
    ("- ask: 'a\n", ": not valid YAML ("),
    ("- ask: *a\n  answer: b\n", "1: "),
    ("- ask: a\n  answer: \x01\n", "2: "),
    ("- <<: a\n  ask: b\n  answer: c\n", "1: a key is a merge key"),
    ("# nothing\n", "1: the file contains no questions"),
]

JSON = [
    ('[\n{"ask": "a", "answer": "b"},\n{"ask": "a"}\n]', "3: object missing required field `answer`"),
    ('[\n{"ask": "a", "answer": "b", "x": 1}\n]', "2: object contains unknown field `x`"),
    ('[\n{"ask": 1, "answer": "b"}\n]', "2: expected `str | array`, got `int` in `ask`"),
    ('[\n{"ask": "a", "answer": null}\n]', "2: expected `str`, got `null`"),
    ('[\n{"ask": "a", "answer": "b"},\n]', "2: not valid JSON (trailing comma before ]"),
    ('[\n{"ask": "a", "answer": "b"}\n{"ask": "c", "answer": "d"}]', "3: not valid JSON (a comma or ] is missing)"),
    ('[\n{"ask": "a", "answer": "b"}]\n\nmore', ": not valid JSON (text after the end of the list)"),
    ('[\n{"ask": "a",\n "answer": "b', "3: not valid JSON (unterminated string"),
    ('\n{"ask": "a", "answer": "b"}', "2: expected a list but found an object"),
    ('[{"ask": "ask", "answer": "answer"},\n{"ask": "a", "ask": "b", "answer": "c"}]', "2: duplicate key `ask`"),
    ("null", "1: expected a list but found null"),
    ("what", "1: expected a list but found invalid JSON"),
    ("", "1: the file is empty"),
    ("[ ]", "1: the file contains no questions"),
    ("[\n" + "[" * 100_000, "2: "),
    ('[\n"a"]', "2: expected `object`, got `str`"),
    ('[{"ask": "a", "answer": "b"},\n{"ask": ["c", " "], "answer": "b"}]', "2: `ask` is blank"),
]

MARKDOWN = [
    ("## a\n\n## b\nc\n", "1: `a` lacks an answer"),
    ("# t\n\n## a\n", "3: `a` lacks an answer"),
    ("##\nb\n", "1: the heading is empty"),
    ("# only a title\ntext\n", "1: the file contains no questions"),
]

CASES = [("book.yaml", *case) for case in YAML] + [("book.json", *case) for case in JSON]


@pytest.mark.parametrize(("name", "text", "message"), CASES + [("book.md", *case) for case in MARKDOWN])
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
    assert (await load_error(write("a.json", "[" + ",\n".join(lines) + "]"))).startswith("a.json:71: expected `str`")


@pytest.mark.parametrize("name", ["book.yaml", "book.json", "book.md"])
async def test_non_utf8_file_is_rejected(tmp_path: Path, name: str) -> None:
    """The error message has the invalid byte and its line."""
    start = {"book.yaml": "- ask: a\n  answer: ", "book.json": '[{"ask": "a",\n"answer": "', "book.md": "## a\n"}[name]
    (tmp_path / name).write_bytes(start.encode() + b"\xe4" + b'"}]' * (name == "book.json"))
    assert await load_error(tmp_path / name) == f"{name}:2: the byte 0xe4 is not UTF-8: save the file as UTF-8"


async def test_contradicting_entries_are_rejected(write: Write) -> None:
    """The error message has both locations and both spellings, even in different files and formats."""
    write("a.json", '[{"ask": "x", "answer": "y"},\n {"ask": ["y", "What is\\na Port?"], "answer": "one"}]')
    error = await load_error(write("b/c.md", "# t\n\n## what is a port\ntwo\n"))
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
