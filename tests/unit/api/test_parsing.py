"""Reading questions: strict, and every fault is a BadQuestion that names the parameter."""

import json
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadQuestion, Unsupported
from service.web import parse

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_any_quoted_text_comes_back(text: str) -> None:
    """What `quote` and `quote_plus` write is read as it was, alone and among other parameters."""
    for quoted in (quote(text), quote(text, safe=""), quote_plus(text)):
        assert parse.query(f"q={quoted}") == (text, {})
        assert parse.query(f"x=1&q={quoted}&&x=2") == (text, {"x": ["1", "2"]})


@given(st.dictionaries(texts.filter(lambda name: name not in {"", "q"}), texts), texts)
def test_any_form_comes_back(others: dict[str, str], text: str) -> None:
    """What `urlencode` writes is read as it was, from a query and from a form."""
    encoded = urlencode({"q": text, **others})
    expected = (text, {name: [value] for name, value in others.items()})
    assert parse.query(encoded) == parse.form_body(encoded.encode()) == expected


@given(texts, st.dictionaries(texts.filter(lambda name: name != "q"), st.none() | st.booleans() | texts))
def test_any_json_comes_back(text: str, others: dict[str, object]) -> None:
    """Escaped or not, a JSON object is read as it was written."""
    for ascii_only in (True, False):
        body = json.dumps({"q": text, **others}, ensure_ascii=ascii_only).encode()
        assert parse.json_body(body) == (text, others)


@given(
    st.binary()
    | st.lists(st.sampled_from([b'{"q":', b'"', b"\\u", b"d800", b"}", b"[", b",", b"1e999", b":"])).map(b"".join)
)
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """Arbitrary bytes raise nothing but BadQuestion, with words that can be sent."""
    for read in (parse.json_body, parse.form_body):
        try:
            text, given_beside = read(body)
        except BadQuestion as fault:
            said = f"{fault.detail}{fault.members}"
        else:
            said = f"{text}{given_beside}"
        assert said.encode()


@given(
    st.lists(st.characters(max_codepoint=0x7F) | st.sampled_from(["%", "&", "=", "+", "%f", "%ff", "\udcff"])).map(
        "".join
    )
)
def test_any_query_is_read_or_refused(raw: str) -> None:
    """Arbitrary queries, stray bytes as aiohttp hands them on included, raise nothing but BadQuestion."""
    try:
        said = f"{parse.query(raw)}"
    except BadQuestion as fault:
        said = f"{fault.detail}{fault.members}"
    assert said.encode()


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
def test_a_query_is_read_as_browsers_write_it(raw: str, text: str) -> None:
    """Plus is a space, percent escapes are bytes of UTF-8, what is no escape stays."""
    assert parse.query(raw)[0] == text


REFUSED = {
    "": ("q", "missing"),
    "x=1": ("q", "missing"),
    "q=a&q=b": ("q", "2 times"),
    "q=a&%71=b": ("q", "2 times"),
    "q=%ff": ("q", "not UTF-8"),
    "q=%ed%a0%80": ("q", "not UTF-8"),
    "q=%c0%80": ("q", "not UTF-8"),
    "q=a&lang=%80": ("lang", "not UTF-8"),
    "q=a&%80=1": ("a parameter's name", "not UTF-8"),
}


@pytest.mark.parametrize(("raw", "fault"), REFUSED.items())
def test_a_faulty_query_names_the_parameter(raw: str, fault: tuple[str, str]) -> None:
    """The error names the parameter and what is wrong with it."""
    with pytest.raises(BadQuestion, match=fault[1]) as caught:
        parse.query(raw)
    assert caught.value.members["parameter"] == fault[0]


def test_long_names_are_cut() -> None:
    """A name of the client's is repeated to at most a hundred characters."""
    with pytest.raises(BadQuestion) as caught:
        parse.query("q=a&" + "x" * 5000 + "=%ff")
    assert len(caught.value.detail) < 200


def test_many_names_that_come_twice_cost_little() -> None:
    """A body of thousands of equal names is refused in an instant: time grows with the length, not its square."""
    body = b"{" + b",".join([b'"a":1'] * 100_000) + b"}"
    started = time.perf_counter()
    with pytest.raises(BadQuestion, match="more than once"):
        parse.json_body(body)
    assert time.perf_counter() - started < 5


def test_whole_numbers_are_whole_however_written() -> None:
    """JSON and its schemas do not tell 3.0 from 3; what no float holds is refused, and not infinite."""
    _, found = parse.json_body(b'{"q":"a","x":3.0,"y":1e2,"z":0.5,"w":1e300}')
    assert [(value, type(value)) for value in found.values()] == [(3, int), (100, int), (0.5, float), (1e300, float)]
    with pytest.raises(BadQuestion):
        parse.json_body(b'{"q":"a","x":1e999}')


MEDIA = {
    "application/json": parse.JSON,
    "Application/JSON; charset=UTF-8": parse.JSON,
    'application/json; charset="utf-8"': parse.JSON,
    "application/vnd.api+json": parse.JSON,
    "application/x-www-form-urlencoded;charset=utf-8": parse.FORM,
}


@pytest.mark.parametrize(("header", "expected"), MEDIA.items())
def test_media_types_that_are_read(header: str, expected: str) -> None:
    """JSON and its kin, and forms, in UTF-8, in any case."""
    assert parse.media_type(header) == expected


@pytest.mark.parametrize("header", [None, "", "text/json", "json", "application/json; charset=latin-1", "a+json", ";"])
def test_other_media_types_are_not(header: str | None) -> None:
    """Anything else is refused with what is read."""
    with pytest.raises(Unsupported, match=r"UTF-8|application/json or"):
        parse.media_type(header)


def test_length_is_in_characters() -> None:
    """The limit counts characters, not bytes; it is itself allowed; white space alone is empty."""
    parse.check_length("問" * 10, 10)
    with pytest.raises(BadQuestion, match="11 characters, 10 are allowed"):
        parse.check_length("a" * 11, 10)
    for text in ("", " ", "\t\n\u3000"):
        with pytest.raises(BadQuestion, match="empty"):
            parse.check_length(text, 10)
