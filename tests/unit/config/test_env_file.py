"""Variables from an env file: docker's format, with quotes and `export`."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askd.config import environment
from askd.errors import SettingsError


def read(folder: Path, content: str | bytes) -> dict[str, str]:
    """Read an env file with this content."""
    file = folder / "vars.env"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return environment.read_env_file(str(file))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  A=1  ", "1"),
        ("export A=1", "1"),
        ("A=", ""),
        ("A=a=b", "a=b"),
        ("A=#no comment # here", "#no comment # here"),
        ("A=it's", "it's"),
        ("A=' x '", " x "),
        (r"A='\n'", r"\n"),
        ("A='x' # comment", "x"),
        (r'A="a\tb\n\"c\" \\ \d"', 'a\tb\n"c" \\ \\d'),
        ('A="#"', "#"),
        ("A=$HOME", "$HOME"),
        ("A=ä\u2028ö", "ä\u2028ö"),
        ("\ufeffA=1", "1"),
    ],
)
def test_line_sets_one_variable(tmp_path: Path, line: str, value: str) -> None:
    """A line sets one variable; quotes around a value are removed, and variables in it are not expanded."""
    assert read(tmp_path, line) == {"A": value}


@pytest.mark.parametrize("line", ["", "   ", "# A=1", "  # A=1", "A", "export A"])
def test_line_sets_nothing(tmp_path: Path, line: str) -> None:
    """Comments, empty lines and a name without a value set nothing."""
    assert read(tmp_path, line) == {}


def test_last_line_wins(tmp_path: Path) -> None:
    """The last line for a name wins; Windows line endings are accepted."""
    assert read(tmp_path, "A=1\r\nB=2\r\nA=3\r\n") == {"A": "3", "B": "2"}


def test_every_error_names_file_and_line(tmp_path: Path) -> None:
    """All invalid lines are reported at once, without their values, which may be secret."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, 'A=1\nB C=sesame\n=sesame\nD=\'sesame\nE="sesame" x\nF=\0\n9=sesame\n')
    file = tmp_path / "vars.env"
    errors = dict(error.removeprefix(f"{file}:").split(": ", 1) for error in caught.value.errors)
    assert list(errors) == ["2", "3", "4", "5", "6", "7"]
    assert errors["2"] == "invalid variable name 'B C': expected NAME=value without spaces around the ="
    assert errors["4"] == "the value of D starts with ' but does not end with it: close the quotes"
    assert "sesame" not in str(caught.value)


def test_invalid_utf8_names_the_line(tmp_path: Path) -> None:
    """A file that is not UTF-8 is rejected with the line of the first invalid byte."""
    with pytest.raises(SettingsError, match=r"vars\.env:2: invalid UTF-8: save the file as UTF-8"):
        read(tmp_path, b"A=1\nB=\xe4\n")


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is rejected with its name and the system's reason."""
    with pytest.raises(SettingsError, match=r"--env-file=.*absent\.env: cannot be read: No such file"):
        environment.read_env_file(str(tmp_path / "absent.env"))


def test_directory_is_rejected(tmp_path: Path) -> None:
    """A directory is rejected with the system's reason."""
    with pytest.raises(SettingsError, match="Is a directory"):
        environment.read_env_file(str(tmp_path))


@settings(deadline=None)  # a busy machine would exceed any deadline
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"], include_characters="\n\t\"'\\# ")))
def test_any_value_can_be_quoted(value: str) -> None:
    """With double quotes and the four escapes, any value without NUL and bare line endings round-trips."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert environment._parse_line(f'A="{escaped}"') == ("A", value)


def test_json_strings_round_trip(tmp_path: Path) -> None:
    """A JSON string of printable text is a valid quoted value, so that tools can write it."""
    value = 'say: "hello", \\ ä'
    assert read(tmp_path, "A=" + json.dumps(value, ensure_ascii=False)) == {"A": value}
