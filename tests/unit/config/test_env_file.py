"""Files of variables: the syntax of python-dotenv, and errors."""

import json
from pathlib import Path

import pytest

from askd.config import environment
from askd.errors import SettingsError


def read(folder: Path, content: str | bytes) -> dict[str, str]:
    """Read a file with this content."""
    file = folder / "vars.env"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return environment.read_env_file(str(file))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", "1"),
        ("  export A = 1  ", "1"),
        ("A=", ""),
        ("A=a=b", "a=b"),
        ("A=one#two # three", "one#two"),
        ("A=it's", "it's"),
        ("A=' x ' # comment", " x "),
        (r"A='\n'", r"\n"),
        (r'A="a\tb\"c\\"', 'a\tb"c\\'),
        ("A='two\nlines'", "two\nlines"),
        ("A=$HOME", "$HOME"),
        ("X=1\nA=${X}2${HOME_OF_TEST}${ABSENT:-else}", "12hereelse"),
        ("A=ä\u2028ö", "ä\u2028ö"),
        ("\ufeffA=1", "1"),
        ("A=1\r\nA=3\r\n", "3"),
        ("A", None),
        ("# A=1\n\n", None),
    ],
)
def test_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: str | None) -> None:
    """Quotes, comments, escapes and references to variables are treated as by other programs that read `.env`."""
    monkeypatch.setenv("HOME_OF_TEST", "here")
    assert read(tmp_path, text).get("A") == value


def test_every_error_names_file_and_line(tmp_path: Path) -> None:
    """All invalid lines are reported at once, without their values, which may be secret."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, 'A=1\nB C=sesame\n=sesame\nD="sesame" x\nE=\0\n')
    assert [error.partition(": ")[0] for error in caught.value.errors] == [
        f"{tmp_path / 'vars.env'}:{line}" for line in (2, 3, 4, 5)
    ]
    assert "expected NAME=value, with closed quotes" in caught.value.errors[0]
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(("content", "reason"), [(b"A=\xe4", "invalid UTF-8"), (None, "cannot be read: No such file")])
def test_unreadable_file(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A file that cannot be read is rejected with its name and the reason."""
    with pytest.raises(SettingsError, match=rf"vars\.env: {reason}"):
        read(tmp_path, content) if content else environment.read_env_file(tmp_path / "vars.env")


def test_directory_is_rejected(tmp_path: Path) -> None:
    """A directory is rejected with the system's reason."""
    with pytest.raises(SettingsError, match="Is a directory"):
        environment.read_env_file(str(tmp_path))


def test_json_strings_round_trip(tmp_path: Path) -> None:
    """A JSON string of printable text is a valid quoted value, so that tools can write it."""
    value = 'say: "hello", \\ ä'
    assert read(tmp_path, "A=" + json.dumps(value, ensure_ascii=False)) == {"A": value}
