"""Deadlines: the least of what the server allows, what the client wishes and what a proxy waits for."""

import pytest

from service.errors import BadQuestion
from service.web import deadline


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 60.0),
        ({"X-Request-Timeout": "2.5"}, 2.5),
        ({"X-Request-Timeout": "500ms"}, 0.5),
        ({"X-Request-Timeout": " 3s "}, 3.0),
        ({"X-Request-Timeout": "3600"}, 60.0),
        ({"X-Envoy-Expected-Rq-Timeout-Ms": "1500"}, 1.5),
        ({"X-Envoy-Expected-Rq-Timeout-Ms": "0"}, 60.0),
        ({"X-Request-Timeout": "2", "X-Envoy-Expected-Rq-Timeout-Ms": "1000"}, 1.0),
        ({"X-Request-Timeout": "1", "X-Envoy-Expected-Rq-Timeout-Ms": "2000"}, 1.0),
    ],
)
def test_the_least_counts(headers: dict[str, str], expected: float) -> None:
    """A client and a proxy may shorten the time for an answer, and never lengthen it."""
    assert deadline.seconds(60.0, headers) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "soon", "1e3", "1,5", "10m", "0ms", "nan", "inf", "١", "1 2", "9" * 20]
)
def test_a_malformed_wish_is_refused(text: str) -> None:
    """What is no time above 0 is a 400 that names the header and the mend."""
    with pytest.raises(BadQuestion, match=r"'X-Request-Timeout' is not a time above 0\. Give seconds") as caught:
        deadline.seconds(60.0, {"X-Request-Timeout": text})
    assert caught.value.members == {"parameter": "X-Request-Timeout"}


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1s", "x"])
def test_a_malformed_expectation_is_refused(text: str) -> None:
    """What is no whole number of milliseconds is a 400 that names the header."""
    with pytest.raises(BadQuestion, match="whole number of milliseconds"):
        deadline.seconds(60.0, {"X-Envoy-Expected-Rq-Timeout-Ms": text})
