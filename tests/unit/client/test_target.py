"""Whom a client asks: read before anything is sent."""

from pathlib import Path

import pytest

from service.client.target import address, parameter, token


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:2024", "http://localhost:2024"),
        ("https://a.example/answers/", "https://a.example/answers"),
        ("http://[::1]:2024/ask", "http://[::1]:2024"),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, url: str) -> None:
    """The scheme may be left out, and the path of a question is no part of the server."""
    assert str(address(text)) == url


@pytest.mark.parametrize("text", ["", "ftp://a", "http://", "http://a:b", "http://a?q=x", "http://u:p@a"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The refusal says what to give; a secret in an address is refused, too."""
    with pytest.raises(ValueError, match="give"):
        address(text)


def test_a_token_stands_alone_in_its_file(tmp_path: Path) -> None:
    """The token is read without its line feed; an absent, empty or other file is refused by name."""
    file = tmp_path / "token"
    for bad in (None, "", "two words", "ü"):
        if bad is not None:
            file.write_text(bad)
        with pytest.raises(ValueError, match=str(file)):
            token(str(file))
    file.write_text("askd_abc-1\n")
    assert (token(str(file)), token(None)) == ("askd_abc-1", None)


def test_a_parameter_has_a_name() -> None:
    """Only the first equals sign divides; the question itself is no parameter."""
    assert parameter("a=b=c") == ("a", "b=c")
    for bad in ("a", "=b", "q=x"):
        with pytest.raises(ValueError, match="name=value"):
            parameter(bad)
