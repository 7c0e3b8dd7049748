"""Tests of `askd book test`."""

import json
from pathlib import Path
from typing import Any

import pytest

from askd.cli.main import main

ENTRIES = [
    {"ask": "How do I reset the password of my router?", "answer": "Press the button."},
    {"ask": ["What are the opening hours?", "opening times"], "answer": "8 to 18."},
    {"ask": "Where do I find my invoice?", "answer": "In your account."},
]


def run(tmp_path: Path, questions: Any, *options: str) -> int:
    """Write a book and a file of questions, and run the command."""
    (tmp_path / "book.json").write_text(json.dumps(ENTRIES))
    text = questions if isinstance(questions, str) else json.dumps(questions)
    (tmp_path / "questions.yaml").write_text(text)
    return main(["book", "test", str(tmp_path / "book.json"), str(tmp_path / "questions.yaml"), *options])


CASES = [
    {
        "q": ["reset router password", "opening times?"],
        "expect": ["How do I reset the password of my router?", "opening times"],
    },
    {"q": "find my invoice", "expect": "What are the opening hours?"},
    {"q": "router", "expect": "How do I reset the password of my router?"},
    {"q": "router password of the neighbour", "expect": []},
    {"q": "how do I cook rice", "expect": []},
]


def test_report_counts_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has counts, precision and recall, then the wrong and missing answers with what was expected."""
    assert run(tmp_path, CASES) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "right 2, wrong 1, no answer 1 (the right entry was suggested for 1)"
    assert lines[1] == "out of scope: 1 of 2 answered"
    assert lines[2].startswith("precision 0.50 ")
    assert "recall 0.50 " in lines[2]
    index = lines.index("wrong answers, the highest score first:")
    assert lines[index + 1].endswith("  find my invoice")
    assert lines[index + 2] == "        matched   Where do I find my invoice?"
    assert lines[index + 3] == "        expected  What are the opening hours?"
    assert "questions out of scope that were answered, the highest score first:" in lines
    assert "questions without an answer, the highest score first:" in lines


def test_settings_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The match mode and the threshold are those of the server, as options or variables; options take precedence."""
    monkeypatch.setenv("ASKD_BOOK_MATCH", "exact")
    assert run(tmp_path, CASES) == 0
    assert capsys.readouterr().out.startswith("right 1, wrong 0, no answer 3 ")
    assert run(tmp_path, CASES, "--book-match", "eager", "--book-threshold", "0.6") == 0
    assert capsys.readouterr().out.startswith("right 3, wrong 1, no answer 0 ")


def test_semantic_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --book-semantic, questions are compared by the language model too."""
    cases = [{"q": "when is the shop open", "expect": "opening times"}]
    assert run(tmp_path, cases) == 0
    assert capsys.readouterr().out.startswith("right 0, ")
    assert run(tmp_path, cases, "--book-semantic") == 0
    assert capsys.readouterr().out.startswith("right 1, ")


def test_accepts_a_mapping_with_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list may be the value of the key `questions`; other keys are ignored."""
    assert run(tmp_path, {"note": "any", "questions": CASES[:1]}) == 0
    assert capsys.readouterr().out.startswith("right 2, wrong 0, no answer 0 ")


def test_long_lists_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten cases of each kind are listed, all with --all."""
    cases = [{"q": [f"nonsense{number}" for number in range(12)], "expect": "opening times"}]
    assert run(tmp_path, cases) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  and 2 more: --all lists them"
    assert run(tmp_path, cases, "--all") == 0
    assert "nonsense11" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("questions", "fault"),
    [
        ("", "no list of questions: write a list of {q: "),
        ("[1]", "item 1 does not have the keys q and expect"),
        ('[{"q": "a", "expect": []}, {"q": "a"}]', "item 2 does not have the keys q and expect"),
        ('[{"q": "a", "expect": 3}]', "item 1 has a value that is not a text or a list of texts"),
        ('[{"q": [], "expect": []}]', "item 1 has a value that is not a text or a list of texts"),
        ("[", "not valid YAML or JSON"),
        ('[{"q": "a", "expect": "b"}]', "the book has no question 'b': use the text of an entry's question"),
    ],
)
def test_invalid_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str], questions: str, fault: str) -> None:
    """An invalid file of questions is one line with the file, the item and the fix, and exit code 2."""
    assert run(tmp_path, questions) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"askd: {tmp_path / 'questions.yaml'}: {fault}")
    assert error.count("\n") == 1


def test_missing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that do not exist are named."""
    missing = tmp_path / "missing.json"
    assert run(tmp_path, CASES) == 0
    capsys.readouterr()
    assert main(["book", "test", str(tmp_path / "book.json"), str(missing)]) == 2
    assert f"{missing}: cannot be read (No such file or directory)" in capsys.readouterr().err
    assert main(["book", "test", str(missing), str(missing)]) == 2
    assert str(missing) in capsys.readouterr().err


def test_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    """`askd book` alone is an error with a hint."""
    assert main(["book"]) == 2
    assert capsys.readouterr().err == "askd: Missing command.\naskd: See askd book --help.\n"
