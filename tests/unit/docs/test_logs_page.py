"""docs/reference/logs.md lists every log event and every key of the access log."""

import re
from pathlib import Path

from askd.context import RequestContext
from askd.models import StageTimings
from askd.telemetry.access_log import AccessLog
from tests.support.log_capture import LogCapture

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "logs.md").read_text(encoding="utf-8")
LOG_CALL = re.compile(
    r"(?:\blog|\b_log|\.get_logger\([^)]*\))(?:\.(?:debug|info|warning|error|exception))?\(\s*\"([a-z]\w*)\""
)
THROTTLED = re.compile(r"LogThrottle\(\s*\w+\.warning, \"(\w+)\"")


def test_every_event_is_listed() -> None:
    """Each event that the source logs is in a table, and each event in a table is logged."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "service" / "askd").rglob("*.py")]
    logged = {event for source in sources for event in LOG_CALL.findall(source) + THROTTLED.findall(source)}
    listed = {
        event
        for row in re.findall(r"^\| (`.*?) \| (?:debug|info|warning|error) \|", PAGE, re.MULTILINE)
        for event in re.findall(r"`(\w+)`", row)
    }
    # Their names are in variables.
    computed = {"listening", "ready", "stopped", "worker_stopped", "trace_export_failed", "opentelemetry_warning"}
    computed |= {"book_files_left_out", "book_question_twice", "book_questions_twice"}
    assert len(logged) > 50
    assert listed == logged | computed


async def test_keys_of_request_lines_are_listed_in_order() -> None:
    """The table of request lines has all keys in the order in which they are written."""
    context = RequestContext(
        request_id="1",
        method="GET",
        route="unmatched",
        url_path="/",
        arrived_at=0.0,
        trace_id="2",
        span_id="3",
        status=200,
        caller="alice",
        leader_id="4",
        question_text="hello",
        problem="bad-question",
        parameter="q",
        detail="Missing.",
        stages=StageTimings(auth=0.1, rate_limit=0.1, cache=0.1, queue=0.1, answerer=0.1, render=0.1),
    )
    with LogCapture() as log:
        AccessLog(log_questions=True, sample_ratio=0.999999999).write(context, 0.1)
        (line,) = log.lines()
    table = PAGE.partition("## Request lines")[2].partition("\n\nThe stage times")[0]
    assert re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE) == list(line)
