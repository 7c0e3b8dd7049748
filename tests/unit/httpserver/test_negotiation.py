"""Content negotiation, against RFC 9110, section 12.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import NotAcceptable
from service.web import negotiate
from service.web.negotiate import Representation

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
def test_the_wanted_representation_is_chosen(accept: str, expected: Representation) -> None:
    """Quality decides, the most specific range counts, a tie goes to JSON, what is malformed counts nothing."""
    assert negotiate.representation(accept) is expected


@pytest.mark.parametrize(
    "accept", ["image/png", "*/*;q=0", "application/json;q=0", "json", "text", ";", ",", "text/html"]
)
def test_nothing_wanted_is_refused_with_what_there_is(accept: str) -> None:
    """Where nothing fits, the error names all representations."""
    with pytest.raises(NotAcceptable, match=r"application/json, text/plain, text/event-stream"):
        negotiate.representation(accept)


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
def test_html_only_where_it_is_preferred(accept: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A page is for those who rank it above JSON; all others are programs."""
    assert negotiate.prefers_html(accept) is expected


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
def test_gzip_only_where_it_is_taken(accept: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A coding with quality 0 is refused, and `*` speaks for those not named."""
    assert negotiate.takes_gzip(accept) is expected


ranges = st.sampled_from(["*/*", "text/*", "application/*", "application/json", "text/plain", "text/event-stream"])
qualities = st.sampled_from([";q=0", ";q=0.5", ";q=1", "", ";q=x", ";level=1", ";q=0.5;q=0.1"])
accepts = st.lists(st.tuples(ranges, qualities).map("".join)).map(", ".join) | st.text()


@given(accepts)
def test_any_accept_is_decided(accept: str) -> None:
    """No header, however odd, raises anything but NotAcceptable; what is chosen has a quality above 0."""
    try:
        chosen = negotiate.representation(accept)
    except NotAcceptable:
        assert all(negotiate.quality(accept, each.value) == 0 for each in Representation)
    else:
        best = max(negotiate.quality(accept, each.value) for each in Representation)
        assert not accept or negotiate.quality(accept, chosen.value) == best > 0
    assert negotiate.prefers_html(accept) in {True, False}
    assert negotiate.takes_gzip(accept) in {True, False}
