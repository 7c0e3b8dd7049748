"""The picture of the limiter in the docs."""

from tests.guards.traces import PICTURE, picture


def test_the_picture_is_what_the_limiter_does() -> None:
    """docs/pictures/limiter.svg is up to date; `python -m tests.guards.traces` writes it anew."""
    assert PICTURE.read_text(encoding="utf-8") == picture()
