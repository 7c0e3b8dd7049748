"""Serialization of answers, stream events and problems."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.api import rendering
from askd.errors import AnswererFailed, BadQuestion, NoAnswer
from askd.httpserver.negotiation import Representation
from askd.models import Answer

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, st.dictionaries(texts.filter(lambda name: name != "answer"), st.integers(-(2**53), 2**53) | texts))
def test_answer_as_json(text: str, fields: dict[str, object]) -> None:
    """The object has the text as `answer` and all fields."""
    assert json.loads(rendering.encode_answer(Answer(text, fields))) == {"answer": text, **fields}


@given(texts)
def test_answer_as_plain_text(text: str) -> None:
    """The text is not escaped, and followed by one newline."""
    assert rendering.encode_answer_body(Answer(text), Representation.TEXT).decode() == text + "\n"


@given(texts)
def test_event_has_two_lines(text: str) -> None:
    """An event is an `event` line, a `data` line and an empty line, whatever the text contains."""
    lines = rendering.encode_sse_delta(text).decode().replace("\r", "\n").split("\n")
    assert (lines[0], lines[2:]) == ("event: delta", ["", ""])
    assert json.loads(lines[1].removeprefix("data: ")) == text


@pytest.mark.parametrize("representation", [Representation.JSON, Representation.TEXT])
def test_unpaired_surrogate_is_answerer_failure(representation: Representation) -> None:
    """A text that cannot be encoded as UTF-8 is the answerer's failure in every representation."""
    with pytest.raises(AnswererFailed):
        rendering.encode_answer_body(Answer("\ud800"), representation)
    with pytest.raises(AnswererFailed):
        rendering.encode_sse_delta("\ud800")


@pytest.mark.parametrize("field", [object(), {1, object()}, "\ud800", {(1, 2): 3}])
def test_unserializable_field_is_answerer_failure(field: object) -> None:
    """A field that cannot be encoded as JSON raises AnswererFailed with the cause."""
    with pytest.raises(AnswererFailed) as raised:
        rendering.encode_answer(Answer("a", {"x": field}))
    assert raised.value.__cause__ is not None


def test_etag_depends_on_body_and_version() -> None:
    """The ETag is the same in every process, and changes with the body or the version."""
    assert rendering.etag(b'{"answer":"Hi"}', "v1") == '"v1-287658aee590b4c8"'
    etags = [
        rendering.etag(body, version) for body, version in [(b"Hi", "v1"), (b"Hi", "v2"), (b"Ho", "v1"), (b"Hi", "")]
    ]
    assert len(set(etags)) == 4


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
def test_etag_matches(header: str, expected: bool) -> None:  # noqa: FBT001 - a parametrized argument
    """Weak and strong ETags in a list match; `*` matches everything."""
    assert rendering.etag_matches(header, '"a"') is expected


def test_problem_members() -> None:
    """The standard members come first, followed by the extensions of the error."""
    members = rendering.problem_details(BadQuestion("q", "'q' is empty."), request_id="1", path="/ask", prefix="/p")
    assert list(members) == ["type", "title", "status", "detail", "instance", "request_id", "parameter"]
    assert (members["type"], members["status"], members["parameter"]) == ("/p/docs#bad-question", 400, "q")
    assert rendering.problem_details(NoAnswer(["a"]), request_id="", path="/", prefix="")["suggestions"] == ["a"]


@given(st.text())
def test_instance_is_ascii_for_any_path(path: str) -> None:
    """`instance` is ASCII and can be encoded, whatever the path."""
    encoded = path.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    members = rendering.problem_details(NoAnswer(), request_id="", path=encoded, prefix="")
    assert json.loads(rendering.encode_json(members))["instance"].isascii()
