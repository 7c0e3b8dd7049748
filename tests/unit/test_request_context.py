"""The record of an exchange: its ids and its times."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.models import Stages
from service.telemetry.exchange import Exchange, request_id, server_timing, trace_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@given(st.text() | st.none())
def test_an_id_is_the_clients_or_fresh(offered: str | None) -> None:
    """Whatever is offered, the id is safe in a header and a log line: the client's own, or 32 hex digits."""
    given_id = request_id(offered)
    assert re.fullmatch(r"[!-~]{1,128}", given_id)
    assert given_id == offered or re.fullmatch(r"[0-9a-f]{32}", given_id)


@pytest.mark.parametrize("offered", ["a", "x" * 128, "A-z.0_9~:/+=@", "0b1c7f1e-8d2f-4f7c-b1a0-a1e6e6f0c6de"])
def test_well_formed_ids_are_kept(offered: str) -> None:
    """UUIDs, ULIDs, base64 and paths are fine."""
    assert request_id(offered) == offered


@pytest.mark.parametrize("offered", [None, "", " ", "a b", "a\n", "x" * 129, "ä", '"', "a,b", "a;b", "<a>", "a\0"])
def test_others_are_replaced(offered: str | None) -> None:
    """Each exchange gets an id of its own."""
    assert len({request_id(offered) for _ in range(100)} - {offered}) == 100


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
def test_traceparent(header: str | None, expected: str) -> None:
    """What W3C Trace Context calls valid gives its trace id, later versions included; the rest gives none."""
    assert trace_id(header) == expected


def test_server_timing_names_what_was_passed() -> None:
    """Stages come in their order, in milliseconds, those not passed left out, and the total last."""
    exchange = Exchange(id="1", method="GET", route="/ask", arrived=10.0)
    assert server_timing(exchange, 10.5) == "total;dur=500.000"
    exchange.stages = Stages(cache=0.001, queue=0.0, code=1.5, render=0.0000004)
    expected = "cache;dur=1.000, queue;dur=0.000, code;dur=1500.000, render;dur=0.000, total;dur=2000.000"
    assert server_timing(exchange, 12.0) == expected
