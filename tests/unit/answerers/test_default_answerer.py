"""What answers where nobody says so."""

from pathlib import Path

import pytest

from service import usual
from service.errors import SpecError


@pytest.mark.parametrize("name", usual.NAMES)
def test_a_usual_name_answers(tmp_path: Path, name: str) -> None:
    """A file of the folder with one of the usual names answers; others beside it do not."""
    for file in (name, "main.py", "faq.yaml"):
        (tmp_path / file).touch()
    assert usual.answerer(tmp_path) == name


def test_nothing_usual_is_the_built_in_book(tmp_path: Path) -> None:
    """Without such a file there is none, folders of that name included."""
    (tmp_path / "main.py").touch()
    (tmp_path / "answer.py").mkdir()
    assert usual.answerer(tmp_path) is None


def test_two_of_them_are_refused(tmp_path: Path) -> None:
    """Several are refused: both are named, and how to choose."""
    for name in ("book.md", "answer.py"):
        (tmp_path / name).touch()
    with pytest.raises(SpecError, match=r"^answer\.py and book\.md are both in /.*: name the one that answers, as in "):
        usual.answerer(tmp_path)
