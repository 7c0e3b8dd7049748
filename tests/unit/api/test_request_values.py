"""Parsing of questions: invalid input raises BadQuestion, which names the parameter."""

import json
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.api import question_parser, request_values
from askd.errors import BadQuestion, UnsupportedMediaType

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_quoted_text_round_trips(text: str) -> None:
    """The output of `quote` and `quote_plus` is parsed, alone and among other parameters."""
    for quoted in (quote(text), quote(text, safe=""), quote_plus(text)):
        assert request_values.parse_query(f"q={quoted}") == (text, {})
        assert request_values.parse_query(f"x=1&q={quoted}&&x=2") == (text, {"x": ["1", "2"]})


@given(st.dictionaries(texts.filter(lambda name: name not in {"", "q"}), texts), texts)
def test_urlencoded_form_round_trips(others: dict[str, str], text: str) -> None:
    """The output of `urlencode` is parsed, from a query and from a form."""
    encoded = urlencode({"q": text, **others})
    expected = (text, {name: [value] for name, value in others.items()})
    assert request_values.parse_query(encoded) == request_values.parse_form(encoded.encode()) == expected


@given(texts, st.dictionaries(texts.filter(lambda name: name != "q"), st.none() | st.booleans() | texts))
def test_json_round_trips(text: str, others: dict[str, object]) -> None:
    """JSON is parsed, whether or not it has escapes."""
    for ascii_only in (True, False):
        body = json.dumps({"q": text, **others}, ensure_ascii=ascii_only).encode()
        assert request_values.parse_json(body) == (text, others)


@given(
    st.binary()
    | st.lists(st.sampled_from([b'{"q":', b'"', b"\\u", b"d800", b"}", b"[", b",", b"1e999", b":"])).map(b"".join)
)
def test_arbitrary_bodies(body: bytes) -> None:
    """Arbitrary bytes raise only BadQuestion, with a message that can be encoded."""
    for parse in (request_values.parse_json, request_values.parse_form):
        try:
            message = f"{parse(body)}"
        except BadQuestion as error:
            message = f"{error.detail}{error.extensions}"
        assert message.encode()


@given(
    st.lists(st.characters(max_codepoint=0x7F) | st.sampled_from(["%", "&", "=", "+", "%f", "%ff", "\udcff"])).map(
        "".join
    )
)
def test_arbitrary_queries(raw: str) -> None:
    """Arbitrary queries, including undecodable bytes from aiohttp, raise only BadQuestion."""
    try:
        message = f"{request_values.parse_query(raw)}"
    except BadQuestion as error:
        message = f"{error.detail}{error.extensions}"
    assert message.encode()


QUERIES = {
    "q=a": "a",
    "q=a=b": "a=b",
    "q=": "",
    "q": "",
    "q=a+b": "a b",
    "q=a%2Bb": "a+b",
    "q=a%26b": "a&b",
    "%71=a": "a",
    "q=%E5%95%8F": "問",
    "q=100%": "100%",
    "q=%zz": "%zz",
    "q=a;b": "a;b",
    "&&q=a&": "a",
    "x=1&q=a&x=2": "a",
}


@pytest.mark.parametrize(("raw", "text"), QUERIES.items())
def test_query(raw: str, text: str) -> None:
    """Plus is a space, percent escapes are UTF-8, and incomplete escapes are literal."""
    assert request_values.parse_query(raw)[0] == text


INVALID_QUERIES = {
    "": ("q", "missing"),
    "x=1": ("q", "missing"),
    "q=a&q=b": ("q", "2 times"),
    "q=a&%71=b": ("q", "2 times"),
    "q=%ff": ("q", "not valid UTF-8"),
    "q=%ed%a0%80": ("q", "not valid UTF-8"),
    "q=%c0%80": ("q", "not valid UTF-8"),
    "q=a&lang=%80": ("lang", "not valid UTF-8"),
    "q=a&%80=1": ("parameter name", "not valid UTF-8"),
}


@pytest.mark.parametrize(("raw", "expected"), INVALID_QUERIES.items())
def test_invalid_query_names_the_parameter(raw: str, expected: tuple[str, str]) -> None:
    """The error names the parameter and the reason."""
    with pytest.raises(BadQuestion, match=expected[1]) as raised:
        request_values.parse_query(raw)
    assert raised.value.extensions["parameter"] == expected[0]


def test_long_names_are_truncated() -> None:
    """Messages repeat at most 100 characters of a parameter name."""
    with pytest.raises(BadQuestion) as raised:
        request_values.parse_query("q=a&" + "x" * 5000 + "=%ff")
    assert len(raised.value.detail) < 200


def test_many_duplicate_keys_are_rejected_in_linear_time() -> None:
    """Rejecting thousands of duplicate keys does not take quadratic time."""
    body = b"{" + b",".join([b'"a":1'] * 100_000) + b"}"
    started = time.perf_counter()
    with pytest.raises(BadQuestion, match="more than once"):
        request_values.parse_json(body)
    assert time.perf_counter() - started < 5


def test_numbers() -> None:
    """3.0 becomes 3, as in JSON Schema; numbers beyond the range of a float are rejected."""
    _, parameters = request_values.parse_json(b'{"q":"a","x":3.0,"y":1e2,"z":0.5,"w":1e300}')
    assert [(value, type(value)) for value in parameters.values()] == [
        (3, int),
        (100, int),
        (0.5, float),
        (1e300, float),
    ]
    with pytest.raises(BadQuestion):
        request_values.parse_json(b'{"q":"a","x":1e999}')


MEDIA_TYPES = {
    "application/json": request_values.JSON_TYPE,
    "Application/JSON; charset=UTF-8": request_values.JSON_TYPE,
    'application/json; charset="utf-8"': request_values.JSON_TYPE,
    "application/vnd.api+json": request_values.JSON_TYPE,
    "application/x-www-form-urlencoded;charset=utf-8": request_values.FORM_TYPE,
}


@pytest.mark.parametrize(("header", "expected"), MEDIA_TYPES.items())
def test_supported_media_types(header: str, expected: str) -> None:
    """JSON, its `+json` variants and forms in UTF-8, case-insensitive."""
    assert request_values.parse_media_type(header) == expected


@pytest.mark.parametrize("header", [None, "", "text/json", "json", "application/json; charset=latin-1", "a+json", ";"])
def test_unsupported_media_types(header: str | None) -> None:
    """The error lists the supported media types."""
    with pytest.raises(UnsupportedMediaType, match=r"UTF-8|application/json or"):
        request_values.parse_media_type(header)


def test_question_length() -> None:
    """The limit counts characters and is inclusive; white space alone is an empty question."""
    question_parser.check_question_length("問" * 10, 10)
    with pytest.raises(BadQuestion, match="11 characters; the maximum is 10"):
        question_parser.check_question_length("a" * 11, 10)
    for text in ("", " ", "\t\n\u3000"):
        with pytest.raises(BadQuestion, match="empty"):
            question_parser.check_question_length(text, 10)
