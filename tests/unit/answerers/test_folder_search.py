"""The default answerer of a folder."""

from pathlib import Path

import pytest

from askd.answerers import folder_search
from askd.errors import SpecError


@pytest.mark.parametrize("name", folder_search.DEFAULT_SPEC_FILES)
def test_default_file(tmp_path: Path, name: str) -> None:
    """A file with a default name is served; other files are ignored."""
    for file in (name, "notes.py", "prices.yaml"):
        (tmp_path / file).touch()
    assert folder_search.find_default_spec(tmp_path) == name


def test_upper_case(tmp_path: Path) -> None:
    """Names in upper case are found, and returned as they are."""
    (tmp_path / "FAQ.md").touch()
    assert folder_search.find_default_spec(tmp_path) == "FAQ.md"


def test_order_of_default_files(tmp_path: Path) -> None:
    """A name that only askd uses wins over main.py, and code over a FAQ."""
    for name in ("FAQ.md", "app.py"):
        (tmp_path / name).touch()
    assert folder_search.find_default_spec(tmp_path) == "app.py"
    (tmp_path / "langgraph.json").touch()
    assert folder_search.find_default_spec(tmp_path) == "langgraph.json"


def test_no_default_file(tmp_path: Path) -> None:
    """Without such a file the result is None, even if a folder has the name."""
    (tmp_path / "notes.py").touch()
    (tmp_path / "answer.py").mkdir()
    assert folder_search.find_default_spec(tmp_path) is None


@pytest.mark.parametrize("names", [("book.md", "answer.py"), ("main.py", "app.py")])
def test_several_default_files(tmp_path: Path, names: tuple[str, str]) -> None:
    """Several default files of one group are an error that names them and explains how to choose."""
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(SpecError, match=r"^\w+\.py and \w+\.\w+ are both in /.*: choose one, as in "):
        folder_search.find_default_spec(tmp_path)


def test_warning_about_other_files(tmp_path: Path) -> None:
    """If the built-in book is served beside code or documents, a warning names one of them; a README does not count."""
    for name in ("README.md", "SECURITY.md", "CODE_OF_CONDUCT.md", ".hidden.py", "Makefile"):
        (tmp_path / name).touch()
    assert folder_search.built_in_book_warning(tmp_path) is None
    (tmp_path / "prices.csv").touch()
    (tmp_path / "shop.py").touch()
    warning = folder_search.built_in_book_warning(tmp_path) or ""
    assert warning.startswith("the built-in book is served: /")
    assert warning.endswith("To serve shop.py, start `askd serve shop.py`")
