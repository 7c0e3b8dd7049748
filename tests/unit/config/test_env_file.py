"""Variables from a file, as docker reads them, with quotes and `export` taken as well."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import envfile
from service.errors import SettingsError


def read(folder: Path, content: str | bytes) -> dict[str, str]:
    """Read a file that has just this content."""
    file = folder / "vars.env"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return envfile.read(str(file))


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
def test_a_line_sets(tmp_path: Path, line: str, value: str) -> None:
    """One line sets one variable; quotes around a value are taken off, nothing is expanded."""
    assert read(tmp_path, line) == {"A": value}


@pytest.mark.parametrize("line", ["", "   ", "# A=1", "  # A=1", "A", "export A"])
def test_a_line_sets_nothing(tmp_path: Path, line: str) -> None:
    """Comments, empty lines and a name alone set nothing."""
    assert read(tmp_path, line) == {}


def test_the_last_line_wins(tmp_path: Path) -> None:
    """Of two lines for one name the later counts; Windows' line ends do no harm."""
    assert read(tmp_path, "A=1\r\nB=2\r\nA=3\r\n") == {"A": "3", "B": "2"}


def test_every_fault_names_file_and_line(tmp_path: Path) -> None:
    """All faulty lines are reported at once, without the values, which may be secret."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, 'A=1\nB C=sesame\n=sesame\nD=\'sesame\nE="sesame" x\nF=\0\n9=sesame\n')
    file = tmp_path / "vars.env"
    faults = dict(fault.removeprefix(f"{file}:").split(": ", 1) for fault in caught.value.faults)
    assert list(faults) == ["2", "3", "4", "5", "6", "7"]
    assert faults["2"] == "'B C' is no variable: give NAME=value, without spaces around the ="
    assert faults["4"] == "the value of D starts with ' and does not end with it: close the quotes"
    assert "sesame" not in str(caught.value)


def test_another_encoding_names_the_line(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused with the line where that shows."""
    with pytest.raises(SettingsError, match=r"vars\.env:2: is not UTF-8"):
        read(tmp_path, b"A=1\nB=\xe4\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is refused with its name and the system's reason."""
    with pytest.raises(SettingsError, match=r"--env-file=.*absent\.env: cannot be read: No such file"):
        envfile.read(str(tmp_path / "absent.env"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(SettingsError, match="Is a directory"):
        envfile.read(str(tmp_path))


@settings(deadline=None)  # a busy machine is no fault
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"], include_characters="\n\t\"'\\# ")))
def test_any_value_can_be_quoted(value: str) -> None:
    """In double quotes, with the four escapes, any value without NUL and bare line ends comes back as it was."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert envfile._variable(f'A="{escaped}"') == ("A", value)


def test_json_strings_come_back(tmp_path: Path) -> None:
    """A JSON string of printable text is a valid quoted value, so that tools may write one."""
    value = 'say: "hello", \\ ä'
    assert read(tmp_path, "A=" + json.dumps(value, ensure_ascii=False)) == {"A": value}
