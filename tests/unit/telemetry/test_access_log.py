"""The log line of an exchange, which takes a short cut, and must not show it."""

import random
import re
from collections import Counter

import pytest
import structlog

from service.models import Stages
from service.telemetry import logs
from service.telemetry.exchange import CURRENT, Exchange
from service.telemetry.exchange_log import ExchangeLog, kind_of
from tests.telemetry.captured import Captured


def exchange(**given: object) -> Exchange:
    """Return an exchange that passed cache and code, and make it the current one."""
    made = Exchange(
        id="mine",
        method="GET",
        route="/ask",
        arrived=0.0,
        trace_id="t" * 32,
        client="10.0.0.1",
        status=200,
        question="private",
        stages=Stages(cache=0.0015, code=0.25),
    )
    CURRENT.set(made)
    return made


async def test_the_line_has_what_happened() -> None:
    """Durations are in milliseconds, what does not apply is left out, and the question is."""
    with Captured() as log:
        ExchangeLog().write(exchange(), 0.3)
        (line,) = log.lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "exchange",
        "id": "mine",
        "trace_id": "t" * 32,
        "route": "/ask",
        "method": "GET",
        "status": 200,
        "duration_ms": 300.0,
        "cache_ms": 1.5,
        "code_ms": 250.0,
        "client": "10.0.0.1",
    }


async def test_the_short_cut_has_the_shape_of_every_line() -> None:
    """Its first members are those of an ordinary line, in the same order and form."""
    with Captured() as log:
        ExchangeLog().write(exchange(), 0.3)
        structlog.get_logger().info("ordinary")
        fast, ordinary = log.lines()
    assert list(fast)[:3] == list(ordinary)[:3] == ["timestamp", "level", "event"]
    assert {name: fast[name] for name in ("id", "trace_id", "level")} == {
        name: ordinary[name] for name in ("id", "trace_id", "level")
    }
    assert len(fast["timestamp"]) == len(ordinary["timestamp"])


async def test_questions_are_logged_on_demand_alone() -> None:
    """The text is in the line where the setting says so, and nowhere else."""
    with Captured() as log:
        ExchangeLog(questions=True).write(exchange(), 0.3)
        ExchangeLog().write(exchange(), 0.3)
        asked, not_asked = log.lines()
    assert (asked["question"], "question" in not_asked) == ("private", False)


async def test_who_asked_is_named() -> None:
    """Where callers have names the line has the name, and how long it took to know it."""
    made = exchange()
    made.caller, made.stages.auth = "alice", 0.00002
    with Captured() as log:
        ExchangeLog().write(made, 0.3)
        (line,) = log.lines()
    assert (line["caller"], line["auth_ms"]) == ("alice", 0.02)


async def test_the_level_holds() -> None:
    """Above info no exchange is logged, from the moment that the level is set."""
    with Captured("warning") as log:
        ExchangeLog().write(exchange(), 0.3)
        logs.toggle_debug("warning")
        ExchangeLog().write(exchange(), 0.3)
        assert len(log.lines()) == 1


async def test_a_share_of_the_200s_is_logged() -> None:
    """About as many as the share says, on either way, each line with the share; what is no 200 is logged always."""
    log_of = ExchangeLog(sample=0.25)
    random.seed(1)
    with Captured() as log:
        for status in (200, 304, 404, 500):
            made = exchange()
            made.status = status
            for _ in range(400):
                log_of.write(made, 0.3)
                log_of.write_plain((kind_of("/ask", "GET", status), "plain", "", "0.100", "", "10.0.0.1"))
        lines = log.lines()
    for id in ("mine", "plain"):
        counts = Counter(line["status"] for line in lines if line["id"] == id)
        assert 70 < counts.pop(200) < 130
        assert counts == {304: 400, 404: 400, 500: 400}
    assert {line["status"]: line.get("sample") for line in lines} == {200: 0.25, 304: None, 404: None, 500: None}


@pytest.mark.parametrize(("sample", "lines"), [(0.0, 0), (1.0, 20)])
async def test_none_or_all(sample: float, lines: int) -> None:
    """A share of 0 logs no 200; one of 1 logs all, and says nothing of it."""
    with Captured() as log:
        for _ in range(10):
            ExchangeLog(sample=sample).write(exchange(), 0.3)
            ExchangeLog(sample=sample).write_plain((kind_of("/ask", "GET", 200), "plain", "", "0.1", "", "10.0.0.1"))
        found = log.lines()
    assert (len(found), any("sample" in line for line in found)) == (lines, False)


async def test_on_a_terminal_it_is_for_people() -> None:
    """In console form the line has the same facts, once, on one line."""
    with Captured(form="console") as log:
        ExchangeLog(questions=True).write(exchange(), 0.3)
        text = log.text
    assert text.count("\n") == 1
    for fact in ("exchange", "mine", "/ask", "200", "300.0", "private"):
        assert text.count(fact) >= 1
    assert text.count("mine") == 1


async def test_lines_of_a_turn_keep_their_order() -> None:
    """An ordinary line does not overtake the exchanges before it."""
    with Captured() as log:
        ExchangeLog().write(exchange(), 0.1)
        structlog.get_logger().warning("between")
        ExchangeLog().write(exchange(), 0.2)
        assert [line["event"] for line in log.lines()] == ["exchange", "between", "exchange"]
