"""Parsing of server URL, token file and parameters."""

from pathlib import Path

import pytest

from askd.client.target import parse_parameter, parse_url, read_token_file


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:2024", "http://localhost:2024"),
        ("https://a.example/answers/", "https://a.example/answers"),
        ("http://[::1]:2024/ask", "http://[::1]:2024"),
    ],
)
def test_url_is_normalized(text: str, url: str) -> None:
    """The scheme may be omitted, and a trailing slash or /ask is removed."""
    assert str(parse_url(text)) == url


@pytest.mark.parametrize("text", ["", "ftp://a", "http://", "http://a:b", "http://a?q=x", "http://u:p@a"])
def test_invalid_url_is_rejected(text: str) -> None:
    """The error says what is expected; credentials in a URL are rejected as well."""
    with pytest.raises(ValueError, match="expected a URL") as caught:
        parse_url(text)
    assert "u:p" not in str(caught.value)


def test_token_file(tmp_path: Path) -> None:
    """The token is read without its line feed; a file without exactly one token is rejected by name."""
    file = tmp_path / "token"
    for invalid in (None, "", "two words", "ü"):
        if invalid is not None:
            file.write_text(invalid)
        with pytest.raises(ValueError, match=str(file)):
            read_token_file(str(file))
    file.write_text("askd_abc-1\n")
    assert (read_token_file(str(file)), read_token_file(None)) == ("askd_abc-1", None)


def test_parameter() -> None:
    """Name and value are separated by the first equals sign; `q` is reserved for the question."""
    assert parse_parameter("a=b=c") == ("a", "b=c")
    for invalid in ("a", "=b", "q=x"):
        with pytest.raises(ValueError, match="expected name=value"):
            parse_parameter(invalid)
