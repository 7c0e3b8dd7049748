"""`askd token`: its output, and names that it rejects."""

from pathlib import Path

import pytest

from askd.cli.main import main
from askd.guards.tokens import TokenStore


def test_token_and_line_are_written_separately(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The line for the token file is written to standard output, the matching token to standard error."""
    assert main(["token", "alice"]) == 0
    output = capsys.readouterr()
    token, file = output.err.strip(), tmp_path / "tokens"
    file.write_text(output.out)
    caller = TokenStore(str(file)).authenticate(token)
    assert caller is not None
    assert caller.name == "alice"
    assert (output.err.count("\n"), output.out.count("\n")) == (1, 1)


def test_token_is_explained_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, both lines are labeled on standard error."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["token", "alice"]) == 0
    output = capsys.readouterr()
    assert "askd: token of alice" in output.err
    assert "askd: line for --tokens-file" in output.err
    assert output.out.startswith("alice: ")


def test_token_name_is_validated(capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid name is rejected with the valid characters."""
    assert main(["token", "a b"]) == 2
    output = capsys.readouterr()
    assert "invalid name: use 1 to 64 letters, digits, dots, dashes or underscores" in output.err
    assert not output.out
