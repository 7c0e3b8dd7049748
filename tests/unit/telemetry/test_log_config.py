"""Log configuration: all loggers write the same form, with the ids of the request."""

import io
import logging
import re
import threading
import warnings
from pathlib import Path

import pytest
import structlog

from askd.context import RequestContext, request_context_var
from askd.telemetry import log_config
from askd.telemetry.log_stream import log_stream
from tests.support.log_capture import LogCapture, TerminalStream


@pytest.mark.filterwarnings("always")
def test_all_loggers_write_the_same_form() -> None:
    """Lines of structlog and `logging`, and warnings, are JSON that begins with timestamp, level and event."""
    with LogCapture() as log:
        structlog.get_logger("x").warning("own", number=1, text="a\nb")
        logging.getLogger("lib.part").warning("library: %d", 2, extra={"more": [1]})
        warnings.warn("old", UserWarning, stacklevel=1)
        own, library, warning = log.lines()
    assert [list(line)[:3] for line in (own, library, warning)] == [["timestamp", "level", "event"]] * 3
    assert (own["event"], own["level"], own["number"], own["text"]) == ("own", "warning", 1, "a\nb")
    assert (library["event"], library["logger"], library["more"]) == ("library: 2", "lib.part", [1])
    assert (warning["logger"], "UserWarning: old" in warning["event"]) == ("py.warnings", True)


def test_lines_have_the_ids_of_the_request() -> None:
    """Within a request every line has its id and trace id, unless the caller passes others."""
    with LogCapture() as log:
        request_context_var.set(
            RequestContext(request_id="mine", method="GET", route="/", arrived_at=0.0, trace_id="t")
        )
        structlog.get_logger().info("own")
        logging.getLogger("lib").warning("library")
        structlog.get_logger().info("other", request_id="other")
        request_context_var.set(None)
        structlog.get_logger().info("outside")
        lines = log.lines()
    assert [(line.get("request_id"), line.get("trace_id")) for line in lines] == [
        ("mine", "t"),
        ("mine", "t"),
        ("other", "t"),
        (None, None),
    ]


def fail() -> None:
    """Raise an error with a cause, from a frame with a private variable."""
    question = "a private " + "matter"
    try:
        [][len(question)]
    except IndexError as inner:
        raise ValueError("outer") from inner


def test_exceptions_have_their_traceback() -> None:
    """An exception is one line that contains the traceback and the causes."""
    with LogCapture() as log:
        for write in (structlog.get_logger().exception, logging.getLogger("lib").exception):
            try:
                fail()
            except ValueError:
                write("failed")
        lines = log.lines("failed")
    assert len(lines) == 2
    assert all("IndexError" in line["exception"] and "ValueError: outer" in line["exception"] for line in lines)


class WithoutString:
    """An object whose __str__ raises."""

    def __str__(self) -> str:
        raise RuntimeError("no string")

    __repr__ = __str__


CYCLE: dict[str, object] = {}
CYCLE["self"] = CYCLE
UNUSUAL_VALUES = {
    "a lone surrogate": "\ud800",
    "an object": Path("a"),
    "an object without a string": WithoutString(),
    "bytes": b"\xff",
    "not a number": float("nan"),
    "unusual keys": {(1, 2): 3},
    "a cycle": CYCLE,
    "a large number": 2**200,
}


@pytest.mark.parametrize("value", UNUSUAL_VALUES.values(), ids=UNUSUAL_VALUES)
def test_anything_can_be_logged(value: object) -> None:
    """No value or key raises or breaks the line, and the rest of the line is kept."""
    with LogCapture() as log:
        structlog.get_logger().warning("odd", value=value, number=1)
        structlog.get_logger().warning("odd", **{"name\ud800": 1})
        logging.getLogger("lib").warning("odd", extra={"value": value})
        lines = log.lines("odd")
    assert (len(lines), lines[0]["number"], lines[0]["level"]) == (3, 1, "warning")


class BrokenPipe(io.BytesIO):
    """A stream whose reader is gone."""

    def write(self, _data: object) -> int:
        """Raise BrokenPipeError."""
        raise BrokenPipeError


@pytest.mark.parametrize("closed", [False, True])
def test_broken_stream_does_not_raise(closed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A line that cannot be written does not raise in the caller."""
    stream = BrokenPipe()
    if closed:
        stream.close()
    with LogCapture() as log:
        log.stream = stream
        log_stream.stream = stream
        structlog.get_logger().error("lost")
        logging.getLogger("lib").error("lost")
        log_stream.flush()
        log.stream = log_stream.stream = io.BytesIO()
        assert log.text == ""


def test_toggle_debug() -> None:
    """Lines below the level are not written; the toggle switches all loggers to debug and back."""
    with LogCapture("warning") as log:
        own, library = structlog.get_logger(), logging.getLogger("lib")

        def write() -> int:
            before = len(log.lines())
            for level in ("debug", "info", "warning", "error"):
                getattr(own, level)("own")
                getattr(library, level)("library")
            return len(log.lines()) - before

        assert write() == 4
        assert (log_config.toggle_debug("warning"), write()) == ("debug", 8)
        assert (log_config.toggle_debug("warning"), write()) == ("warning", 4)


def test_toggle_keeps_configured_debug() -> None:
    """If the configured level is debug, the toggle does not change it."""
    with LogCapture("debug"):
        assert [log_config.toggle_debug("debug") for _ in range(2)] == ["debug", "debug"]


def test_library_debug_lines_are_suppressed() -> None:
    """At debug, asyncio still logs warnings only."""
    with LogCapture("debug") as log:
        logging.getLogger("asyncio").debug("Using selector")
        assert log.lines() == []


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json", "is_coloured"),
    [
        ("auto", io.BytesIO, True, False),
        ("auto", TerminalStream, False, True),
        ("json", TerminalStream, True, False),
        ("console", io.BytesIO, False, False),
    ],
)
def test_log_format(log_format: str, stream: type[io.BytesIO], is_json: bool, is_coloured: bool) -> None:  # noqa: FBT001 - parameters of the test
    """`auto` is console on a terminal and JSON elsewhere; only terminals get colours."""
    with LogCapture(log_format=log_format, stream=stream()) as log:
        structlog.get_logger().info("hello", number=1)
        text = log.text
    assert (text.startswith("{"), "\x1b[" in text, "hello" in text) == (is_json, is_coloured, True)


def test_console_lines_have_a_short_time() -> None:
    """On a terminal, ordinary lines begin with the time of day in milliseconds."""
    with LogCapture(log_format="console") as log:
        structlog.get_logger().info("hello", number=1)
        text = log.text
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} \[info +\] hello +number=1$", text)


def test_console_tracebacks_show_no_variables() -> None:
    """Tracebacks on a terminal do not show values of variables, which may be questions and secrets."""
    with LogCapture(log_format="console") as log:
        try:
            fail()
        except ValueError:
            structlog.get_logger().exception("failed")
            logging.getLogger("lib").exception("failed")
        text = log.text
    assert (text.count("ValueError: outer"), "private matter" in text) == (2, False)


def test_lines_of_threads_do_not_mix() -> None:
    """Threads that log at the same time write whole lines, each once."""
    with LogCapture() as log:

        def write(number: int) -> None:
            for count in range(50):
                structlog.get_logger().info("line", number=number, count=count, filler="x" * 500)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        distinct = {(line["number"], line["count"]) for line in log.lines()}
        assert len(log.lines()) == len(distinct) == 400
