"""The request context: ids, and `Server-Timing`."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.api.instrumentation import choose_request_id
from askd.context import RequestContext, parse_trace_id
from askd.httpserver.response_templates import format_server_timing
from askd.models import StageTimings

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@given(st.text() | st.none())
def test_request_id_is_always_safe(offered: str | None) -> None:
    """The id is safe in headers and log lines: the client's id, or 32 hex digits."""
    request_id = choose_request_id(offered)
    assert re.fullmatch(r"[!-~]{1,128}", request_id)
    assert request_id == offered or re.fullmatch(r"[0-9a-f]{32}", request_id)


@pytest.mark.parametrize("offered", ["a", "x" * 128, "A-z.0_9~:/+=@", "0b1c7f1e-8d2f-4f7c-b1a0-a1e6e6f0c6de"])
def test_well_formed_ids_are_kept(offered: str) -> None:
    """UUIDs, ULIDs, base64 and paths are kept."""
    assert choose_request_id(offered) == offered


@pytest.mark.parametrize("offered", [None, "", " ", "a b", "a\n", "x" * 129, "ä", '"', "a,b", "a;b", "<a>", "a\0"])
def test_malformed_ids_are_replaced(offered: str | None) -> None:
    """A missing or malformed id is replaced by a new one for each request."""
    assert len({choose_request_id(offered) for _ in range(100)} - {offered}) == 100


TRACEPARENTS = {
    f"00-{TRACE}-{SPAN}-01": TRACE,
    f"00-{TRACE}-{SPAN}-ff": TRACE,
    f"01-{TRACE}-{SPAN}-01": TRACE,
    f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be": TRACE,
    f"01-{TRACE}-{SPAN}-01-": TRACE,
    f"00-{TRACE}-{SPAN}-01-more": "",
    f"00-{TRACE}-{SPAN}-01-": "",
    f"01-{TRACE}-{SPAN}-01more": "",
    f"ff-{TRACE}-{SPAN}-01": "",
    f"00-{'0' * 32}-{SPAN}-01": "",
    f"00-{TRACE}-{'0' * 16}-01": "",
    f"00-{TRACE.upper()}-{SPAN}-01": "",
    f"00-{TRACE[1:]}-{SPAN}-01": "",
    f"00-{TRACE}-{SPAN}": "",
    f" 00-{TRACE}-{SPAN}-01": "",
    f"00-{TRACE}-{SPAN}-01\n": "",
    f"00-{TRACE}-{SPAN}-0g": "",
    "": "",
    None: "",
}


@pytest.mark.parametrize(("header", "expected"), TRACEPARENTS.items())
def test_parse_trace_id(header: str | None, expected: str) -> None:
    """Headers that W3C Trace Context calls valid, of later versions too, have a trace id; others do not."""
    assert parse_trace_id(header) == expected


def test_server_timing_has_the_stages() -> None:
    """Stages are in order and in milliseconds, then the total; stages without a time are left out."""
    context = RequestContext(request_id="1", method="GET", route="/ask", arrived_at=10.0)
    assert format_server_timing(context, 10.5) == "total;dur=500.000"
    context.stages = StageTimings(rate_limit=0.001, cache=0.001, queue=0.0, answerer=1.5, render=0.0000004)
    assert format_server_timing(context, 12.0) == (
        "rate_limit;dur=1.000, cache;dur=1.000, queue;dur=0.000, answerer;dur=1500.000, render;dur=0.000, "
        "total;dur=2000.000"
    )
