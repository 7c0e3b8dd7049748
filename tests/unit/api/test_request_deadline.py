"""Deadline of a request: the smallest of the server's limit, the client's timeout and the proxy's timeout."""

import pytest

from askd.api import question_parser
from askd.errors import BadQuestion


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
def test_smallest_timeout_applies(headers: dict[str, str], expected: float) -> None:
    """A client or a proxy can shorten the timeout, but not extend it."""
    assert question_parser.effective_timeout(60.0, headers) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "soon", "1e3", "1,5", "10m", "0ms", "nan", "inf", "١", "1 2", "9" * 20]
)
def test_malformed_request_timeout_is_rejected(text: str) -> None:
    """A malformed `X-Request-Timeout` is a 400 that names the header."""
    with pytest.raises(BadQuestion, match=r"'X-Request-Timeout' is not a duration above 0\. Send seconds") as raised:
        question_parser.effective_timeout(60.0, {"X-Request-Timeout": text})
    assert raised.value.extensions == {"parameter": "X-Request-Timeout"}


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1s", "x"])
def test_malformed_envoy_timeout_is_rejected(text: str) -> None:
    """A malformed Envoy header is a 400 that names the header."""
    with pytest.raises(BadQuestion, match="whole number of milliseconds"):
        question_parser.effective_timeout(60.0, {"X-Envoy-Expected-Rq-Timeout-Ms": text})
