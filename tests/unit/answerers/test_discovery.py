"""The default answerer of a folder."""

from pathlib import Path

import pytest

from askd.answerers import discovery
from askd.errors import SpecError


@pytest.mark.parametrize("name", discovery.DEFAULT_SPEC_FILES)
def test_default_file(tmp_path: Path, name: str) -> None:
    """A file with a default name is served; other files are ignored."""
    for file in (name, "main.py", "faq.yaml"):
        (tmp_path / file).touch()
    assert discovery.find_default_spec(tmp_path) == name


def test_no_default_file(tmp_path: Path) -> None:
    """Without such a file the result is None, even if a folder has the name."""
    (tmp_path / "main.py").touch()
    (tmp_path / "answer.py").mkdir()
    assert discovery.find_default_spec(tmp_path) is None


def test_several_default_files(tmp_path: Path) -> None:
    """Several default files are an error that names them and explains how to choose."""
    for name in ("book.md", "answer.py"):
        (tmp_path / name).touch()
    with pytest.raises(SpecError, match=r"^answer\.py and book\.md are both in /.*: choose one, as in "):
        discovery.find_default_spec(tmp_path)
