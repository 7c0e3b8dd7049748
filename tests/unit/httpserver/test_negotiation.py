"""Content negotiation (RFC 9110, section 12.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.errors import NotAcceptable
from askd.httpserver import negotiation
from askd.httpserver.negotiation import Representation

JSON, TEXT, STREAM = Representation.JSON, Representation.TEXT, Representation.STREAM

CHOICES = {
    "": JSON,
    "*/*": JSON,
    "application/json": JSON,
    "APPLICATION/JSON": JSON,
    "application/*": JSON,
    "text/plain": TEXT,
    "text/*": TEXT,
    "text/event-stream": STREAM,
    "text/plain;charset=utf-8": TEXT,
    "text/plain;q=0.5, application/json;q=0.4": TEXT,
    "text/plain;q=0.4, application/json;q=0.5": JSON,
    "text/plain, application/json": JSON,
    "text/event-stream;q=0.9, */*;q=0.1": STREAM,
    "*/*, application/json;q=0": TEXT,
    "text/*, text/plain;q=0, application/json;q=0": STREAM,
    "text/*;q=0.1, */*": JSON,
    "text/plain;Q=0.5, application/json; q = 0.4": TEXT,
    " , text/plain ,, ": TEXT,
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": JSON,
    "text/plain, application/json;q=two": TEXT,
    "text/plain, application/json;q=nan": TEXT,
    "text/plain;q=0.001, application/json;q=1.001": TEXT,
}


@pytest.mark.parametrize(("accept", "expected"), CHOICES.items())
def test_representation_is_negotiated(accept: str, expected: Representation) -> None:
    """The highest quality wins, the most specific range counts, JSON wins a tie, malformed ranges are ignored."""
    assert negotiation.negotiate_representation(accept) is expected


@pytest.mark.parametrize(
    "accept", ["image/png", "*/*;q=0", "application/json;q=0", "json", "text", ";", ",", "text/html"]
)
def test_unacceptable_media_types_are_rejected(accept: str) -> None:
    """The error lists all supported media types."""
    with pytest.raises(NotAcceptable, match=r"application/json, text/plain, text/event-stream"):
        negotiation.negotiate_representation(accept)


HTML = {
    "": False,
    "*/*": False,
    "text/*": True,
    "text/html": True,
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": True,
    "text/html, application/json": False,
    "text/html;q=0.9, application/problem+json": False,
    "application/json;q=0.1, text/html;q=0.2": True,
    "text/html;q=0": False,
}


@pytest.mark.parametrize(("accept", "expected"), HTML.items())
def test_html_only_if_preferred(accept: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Only a client that ranks HTML above JSON, as browsers do, gets an HTML page."""
    assert negotiation.prefers_html(accept) is expected


ENCODINGS = {
    "": False,
    "gzip": True,
    "GZIP": True,
    "br, gzip;q=0.5": True,
    "gzip;q=0": False,
    "identity": False,
    "*": True,
    "*;q=0": False,
    "gzip;q=0, *": False,
    "x-gzipped": False,
}


@pytest.mark.parametrize(("accept", "expected"), ENCODINGS.items())
def test_gzip_only_if_accepted(accept: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Quality 0 rejects a coding, and `*` covers the codings that are not listed."""
    assert negotiation.accepts_gzip(accept) is expected


ranges = st.sampled_from(["*/*", "text/*", "application/*", "application/json", "text/plain", "text/event-stream"])
qualities = st.sampled_from([";q=0", ";q=0.5", ";q=1", "", ";q=x", ";level=1", ";q=0.5;q=0.1"])
accepts = st.lists(st.tuples(ranges, qualities).map("".join)).map(", ".join) | st.text()


@given(accepts)
def test_any_header_is_handled(accept: str) -> None:
    """Any header either raises NotAcceptable or leads to a representation with a quality above 0."""
    try:
        chosen = negotiation.negotiate_representation(accept)
    except NotAcceptable:
        assert all(negotiation.quality(accept, representation.value) == 0 for representation in Representation)
    else:
        best = max(negotiation.quality(accept, representation.value) for representation in Representation)
        assert not accept or negotiation.quality(accept, chosen.value) == best > 0
    assert negotiation.prefers_html(accept) in {True, False}
    assert negotiation.accepts_gzip(accept) in {True, False}
