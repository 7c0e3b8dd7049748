"""Rendering: answers, events and problems as bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import AnswererFailed, BadQuestion, NoAnswer
from service.models import Answer
from service.web import render
from service.web.negotiate import Representation

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, st.dictionaries(texts.filter(lambda name: name != "answer"), st.integers(-(2**53), 2**53) | texts))
def test_an_answer_is_json_with_its_fields(text: str, fields: dict[str, object]) -> None:
    """The object has the text under `answer` and the fields beside it, whatever they are."""
    assert json.loads(render.members(Answer(text, fields))) == {"answer": text, **fields}


@given(texts)
def test_plain_text_is_the_text_and_a_newline(text: str) -> None:
    """Nothing is escaped, and one newline is added."""
    assert render.body(Answer(text), Representation.TEXT).decode() == text + "\n"


@given(texts)
def test_an_event_is_two_lines(text: str) -> None:
    """Whatever the text, an event is a line `event`, a line `data` and an empty one: no text makes another."""
    lines = render.delta(text).decode().replace("\r", "\n").split("\n")
    assert (lines[0], lines[2:]) == ("event: delta", ["", ""])
    assert json.loads(lines[1].removeprefix("data: ")) == text


@pytest.mark.parametrize("representation", [Representation.JSON, Representation.TEXT])
def test_half_a_surrogate_pair_is_the_codes_failure(representation: Representation) -> None:
    """A text that is no UTF-8 is blamed on the code that gave it, in every representation."""
    with pytest.raises(AnswererFailed):
        render.body(Answer("\ud800"), representation)
    with pytest.raises(AnswererFailed):
        render.delta("\ud800")


@pytest.mark.parametrize("field", [object(), {1, object()}, "\ud800", {(1, 2): 3}])
def test_a_field_without_a_form_in_json_is_the_codes_failure(field: object) -> None:
    """What cannot be written as JSON raises AnswererFailed with the cause."""
    with pytest.raises(AnswererFailed) as caught:
        render.members(Answer("a", {"x": field}))
    assert caught.value.__cause__ is not None


def test_the_tag_depends_on_bytes_and_version() -> None:
    """The same bytes and version have the same tag in any process; another version or byte has another."""
    assert render.etag(b'{"answer":"Hi"}', "v1") == '"v1-287658aee590b4c8"'
    assert (
        len({render.etag(b"Hi", "v1"), render.etag(b"Hi", "v2"), render.etag(b"Ho", "v1"), render.etag(b"Hi", "")}) == 4
    )


MATCHES = {
    '"a"': True,
    'W/"a"': True,
    '"b", "a"': True,
    '"b" , W/"a" ': True,
    "*": True,
    " * ": True,
    '"b"': False,
    "": False,
    "a": False,
    '"a': False,
    '"aa"': False,
}


@pytest.mark.parametrize(("header", "expected"), MATCHES.items())
def test_if_none_match_is_a_weak_comparison(header: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Any of a list counts, weak or strong; `*` is any tag."""
    assert render.matches(header, '"a"') is expected


def test_a_problem_has_the_members_of_its_error() -> None:
    """The standard members come first, then the error's own."""
    found = render.problem(BadQuestion("q", "'q' is empty."), id="1", path="/ask", prefix="/p")
    assert list(found) == ["type", "title", "status", "detail", "instance", "request_id", "parameter"]
    assert (found["type"], found["status"], found["parameter"]) == ("/p/docs#bad-question", 400, "q")
    assert render.problem(NoAnswer(["a"]), id="", path="/", prefix="")["suggestions"] == ["a"]


@given(st.text())
def test_any_path_makes_an_instance(path: str) -> None:
    """`instance` is ASCII and can be encoded, whatever the path."""
    encoded = path.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    found = render.problem(NoAnswer(), id="", path=encoded, prefix="")
    assert json.loads(render.encode(found))["instance"].isascii()
