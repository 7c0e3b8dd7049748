"""The access log: one `request` line per request, in JSON and on a terminal."""

import random
import re
from collections import Counter
from typing import Any

import pytest
import structlog

from askd.context import RequestContext, escape_path, request_context_var
from askd.models import StageTimings
from askd.telemetry import log_config
from askd.telemetry.access_log import MAX_DETAIL_LENGTH, AccessLog
from askd.telemetry.console import MAX_LINE_WIDTH
from tests.support.log_capture import LogCapture, TerminalStream
from tests.support.log_keys import STATUS

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def make_context(**changes: Any) -> RequestContext:
    """Return the context of a request that passed cache and answerer, and make it the current one."""
    fields: dict[str, Any] = {
        "request_id": "3f9c2d71b8a04e55",
        "method": "GET",
        "route": "/ask",
        "arrived_at": 0.0,
        "trace_id": TRACE_ID,
        "client": "10.0.0.1",
        "status": 200,
        "question_text": "private",
        "stages": StageTimings(cache=0.0015, answerer=0.25),
        **changes,
    }
    context = RequestContext(**fields)
    request_context_var.set(context)
    return context


async def test_line_has_the_documented_keys() -> None:
    """Times are in milliseconds, keys that do not apply are missing, and the question is not logged."""
    with LogCapture() as log:
        AccessLog().write(make_context(), 0.3)
        (line,) = log.lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": "3f9c2d71b8a04e55",
        "trace_id": TRACE_ID,
        "http.request.method": "GET",
        "http.route": "/ask",
        "http.response.status_code": 200,
        "duration_ms": 300.0,
        "cache_ms": 1.5,
        "answerer_ms": 250.0,
        "client.address": "10.0.0.1",
    }


async def test_keys_have_a_fixed_order() -> None:
    """A line with all keys has them in the documented order."""
    context = make_context(
        span_id="00f067aa0ba902b7",
        route="unmatched",
        url_path="/nowhere",
        caller="alice",
        leader_id="leader",
        stages=StageTimings(auth=0.1, rate_limit=0.1, cache=0.1, queue=0.1, answerer=0.1, render=0.1),
        problem="bad-question",
        parameter="lang",
        detail="lang must be one of: de, en.",
    )
    with LogCapture() as log:
        AccessLog(log_questions=True, sample_ratio=0.999999999).write(context, 0.3)
        (line,) = log.lines()
    assert list(line) == [
        "timestamp",
        "level",
        "event",
        "request_id",
        "trace_id",
        "span_id",
        "http.request.method",
        "http.route",
        "url.path",
        "http.response.status_code",
        "duration_ms",
        "auth_ms",
        "rate_limit_ms",
        "cache_ms",
        "queue_ms",
        "answerer_ms",
        "render_ms",
        "client.address",
        "caller",
        "leader_id",
        "question",
        "sample_ratio",
        "problem",
        "parameter",
        "detail",
    ]


async def test_first_keys_are_those_of_all_lines() -> None:
    """Timestamp, level, event and ids have the same form as in lines of structlog."""
    with LogCapture() as log:
        AccessLog().write(make_context(), 0.3)
        structlog.get_logger().info("ordinary")
        access, ordinary = log.lines()
    assert list(access)[:3] == list(ordinary)[:3] == ["timestamp", "level", "event"]
    for key in ("request_id", "trace_id", "level"):
        assert access[key] == ordinary[key]
    assert len(access["timestamp"]) == len(ordinary["timestamp"])


async def test_problems_are_logged() -> None:
    """The line of a failed request has the code, the parameter and the detail, cut if it is very long."""
    with LogCapture() as log:
        AccessLog().write(make_context(status=404, problem="no-answer", detail="d" * 1000), 0.3)
        AccessLog().write(
            make_context(status=400, problem="bad-question", parameter="lang", detail='a "b"\n\ud800'), 0.3
        )
        first, second = log.lines()
    assert (first["problem"], "parameter" in first, len(first["detail"])) == ("no-answer", False, MAX_DETAIL_LENGTH)
    assert (second["parameter"], second["detail"]) == ("lang", 'a "b"\n\\ud800')


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/nowhere?q=private", "/nowhere"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ('/"\x1b[31m\udcff', "/%22%1B%5B31m%FF"),
        ("/" + "x" * 5000, "/" + "x" * 199),
        ("/" + "é" * 5000, ("/" + "%C3%A9" * 200)[:200]),
        ("*", "*"),
    ],
)
def test_paths_are_escaped_and_cut(target: str, path: str) -> None:
    """The logged path is printable ASCII of at most 200 characters, without the query."""
    assert escape_path(target) == path


async def test_questions_are_logged_on_request_only() -> None:
    """The question is in the line only if the setting enables it."""
    with LogCapture() as log:
        AccessLog(log_questions=True).write(make_context(), 0.3)
        AccessLog().write(make_context(), 0.3)
        with_question, without = log.lines()
    assert (with_question["question"], "question" in without) == ("private", False)


async def test_caller_is_logged() -> None:
    """With authentication, the line has the name of the token and the time of the check."""
    context = make_context(caller="alice")
    context.stages.auth = 0.00002
    with LogCapture() as log:
        AccessLog().write(context, 0.3)
        (line,) = log.lines()
    assert (line["caller"], line["auth_ms"]) == ("alice", 0.02)


async def test_level_applies() -> None:
    """Above info no request is logged; a change of the level takes effect immediately."""
    with LogCapture("warning") as log:
        AccessLog().write(make_context(), 0.3)
        log_config.toggle_debug("warning")
        AccessLog().write(make_context(), 0.3)
        assert len(log.lines()) == 1


async def test_only_200s_are_sampled() -> None:
    """About the configured share of 200s is logged, each with the ratio; all other responses are logged."""
    access_log = AccessLog(sample_ratio=0.25)
    random.seed(1)
    with LogCapture() as log:
        for status in (200, 304, 404, 500):
            context = make_context(status=status)
            for _ in range(400):
                access_log.write(context, 0.3)
        lines = log.lines()
    counts = Counter(line[STATUS] for line in lines)
    assert 70 < counts.pop(200) < 130
    assert counts == {304: 400, 404: 400, 500: 400}
    assert {line[STATUS]: line.get("sample_ratio") for line in lines} == {200: 0.25, 304: None, 404: None, 500: None}


@pytest.mark.parametrize(("sample_ratio", "expected"), [(0.0, 0), (1.0, 10)])
async def test_sample_ratio_of_zero_or_one(sample_ratio: float, expected: int) -> None:
    """A ratio of 0 logs no 200; a ratio of 1 logs all, and is not in the lines."""
    access_log = AccessLog(sample_ratio=sample_ratio)
    with LogCapture() as log:
        for _ in range(10):
            access_log.write(make_context(), 0.3)
        lines = log.lines()
    assert (len(lines), any("sample_ratio" in line for line in lines)) == (expected, False)


async def test_terminal_line_has_time_method_path_status_duration_and_id() -> None:
    """On a terminal a request is one line in a fixed order, with the first 8 characters of its id."""
    with LogCapture(log_format="console") as log:
        AccessLog().write(make_context(), 0.3)
        (line,) = log.text.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} GET +/ask +200 +300\.0 ms  3f9c2d71", line)


async def test_terminal_line_shows_problem_or_question() -> None:
    """The detail of a failed request is in its line; otherwise the question, if questions are logged."""
    failed = make_context(
        route="unmatched", url_path="/nowhere", status=404, problem="not-found", parameter="q", detail="No such path."
    )
    with LogCapture(log_format="console") as log:
        AccessLog().write(failed, 12.0)
        AccessLog(log_questions=True).write(make_context(), 0.3)
        AccessLog().write(make_context(), 0.3)
        lines = log.text.splitlines()
    assert re.search(r" /nowhere +404 +12\.00 s  not-found q: No such path\.  3f9c2d71$", lines[0])
    assert ["private" in line for line in lines] == [False, True, False]


@pytest.mark.parametrize("detail", ["x" * 1000, "試" * 1000, "a\u0301" * 1000, "\x1b]0;title\x07\n\u202e" * 99])
async def test_terminal_line_fits_and_is_printable(detail: str) -> None:
    """Whatever clients send, the line has at most 120 columns, wide characters included, and no control characters."""
    context = make_context(
        method="M" * 50, route="unmatched", url_path="/" * 200, status=500, problem="internal-error", detail=detail
    )
    with LogCapture(log_format="console") as log:
        AccessLog().write(context, 123.4)
        line = log.text.removesuffix("\n")
    width = len(line) + line.count("試") - line.count("\u0301")
    assert 100 < width <= MAX_LINE_WIDTH
    assert line.isprintable()
    assert line.endswith("  3f9c2d71")


@pytest.mark.parametrize(("status", "color"), [(200, 32), (304, 36), (404, 33), (503, 31)])
async def test_status_is_coloured_on_a_terminal(status: int, color: int) -> None:
    """2xx is green, 3xx cyan, 4xx yellow and 5xx red, on a terminal only."""
    texts = []
    for stream in (TerminalStream(), None):
        with LogCapture(log_format="console", stream=stream) as log:
            AccessLog().write(make_context(status=status), 0.3)
            texts.append(log.text)
    assert f"\x1b[{color}m{status}\x1b[0m" in texts[0]
    assert "\x1b" not in texts[1]


async def test_lines_keep_their_order() -> None:
    """An ordinary line does not overtake request lines that are still pending."""
    with LogCapture() as log:
        AccessLog().write(make_context(), 0.1)
        structlog.get_logger().warning("between")
        AccessLog().write(make_context(), 0.2)
        assert [line["event"] for line in log.lines()] == ["request", "between", "request"]
