"""Logs: one form for everyone's lines, with one set of ids, whatever is logged and wherever it goes."""

import io
import logging
import threading
import warnings
from pathlib import Path

import pytest
import structlog

from service.telemetry import logs
from service.telemetry.exchange import CURRENT, Exchange
from service.telemetry.output import output
from tests.telemetry.captured import Captured


@pytest.mark.filterwarnings("always")
def test_everyones_lines_have_one_form() -> None:
    """structlog's, `logging`'s and warnings come out as JSON with timestamp, level and event, one line each."""
    with Captured() as log:
        structlog.get_logger("x").warning("own", number=1, text="a\nb")
        logging.getLogger("lib.part").warning("theirs: %d", 2, extra={"more": [1]})
        warnings.warn("old", UserWarning, stacklevel=1)
        own, theirs, warning = log.lines()
    assert [list(line)[:3] for line in (own, theirs, warning)] == [["timestamp", "level", "event"]] * 3
    assert (own["event"], own["level"], own["number"], own["text"]) == ("own", "warning", 1, "a\nb")
    assert (theirs["event"], theirs["logger"], theirs["more"]) == ("theirs: 2", "lib.part", [1])
    assert (warning["logger"], "UserWarning: old" in warning["event"]) == ("py.warnings", True)


def test_lines_have_the_ids_of_their_exchange() -> None:
    """Within an exchange every line has its id and trace id, and keeps ids of its own where it has them."""
    with Captured() as log:
        CURRENT.set(Exchange(id="mine", method="GET", route="/", arrived=0.0, trace_id="t"))
        structlog.get_logger().info("own")
        logging.getLogger("lib").warning("theirs")
        structlog.get_logger().info("other", id="other")
        CURRENT.set(None)
        structlog.get_logger().info("outside")
        lines = log.lines()
    assert [(line.get("id"), line.get("trace_id")) for line in lines] == [
        ("mine", "t"),
        ("mine", "t"),
        ("other", "t"),
        (None, None),
    ]


def fail() -> None:
    """Fail with a cause."""
    question = "a private " + "matter"
    try:
        [][len(question)]
    except IndexError as inner:
        raise ValueError("outer") from inner


def test_errors_have_their_traceback() -> None:
    """An exception is one line with the traceback and its causes in it."""
    with Captured() as log:
        for write in (structlog.get_logger().exception, logging.getLogger("lib").exception):
            try:
                fail()
            except ValueError:
                write("failed")
        lines = log.lines("failed")
    assert len(lines) == 2
    assert all("IndexError" in line["exception"] and "ValueError: outer" in line["exception"] for line in lines)


class Mute:
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("mute")

    __repr__ = __str__


CYCLE: dict[str, object] = {}
CYCLE["self"] = CYCLE
ODD = {
    "half a surrogate pair": "\ud800",
    "an object": Path("a"),
    "a mute object": Mute(),
    "bytes": b"\xff",
    "not a number": float("nan"),
    "odd keys": {(1, 2): 3},
    "a loop": CYCLE,
    "a large number": 2**200,
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_anything_can_be_logged(value: object) -> None:
    """No value, name or message, however odd, raises or breaks the form of its line; the rest of the line stays."""
    with Captured() as log:
        structlog.get_logger().warning("odd", value=value, number=1)
        structlog.get_logger().warning("odd", **{"name\ud800": 1})
        logging.getLogger("lib").warning("odd", extra={"value": value})
        lines = log.lines("odd")
    assert (len(lines), lines[0]["number"], lines[0]["level"]) == (3, 1, "warning")


class Broken(io.BytesIO):
    """A stream that nothing can be written to, as standard error is when its reader has gone."""

    def write(self, _data: object) -> int:
        """Fail."""
        raise BrokenPipeError


@pytest.mark.parametrize("closed", [False, True])
def test_a_broken_output_costs_the_line_alone(closed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Where a line cannot be written, who logs does not notice."""
    stream = Broken()
    if closed:
        stream.close()
    with Captured() as log:
        log.stream = stream
        output.stream = stream
        structlog.get_logger().error("lost")
        logging.getLogger("lib").error("lost")
        output.flush()
        log.stream = output.stream = io.BytesIO()
        assert log.text == ""


def test_levels_and_their_toggle() -> None:
    """Below the level nothing is written; the toggle switches all loggers to debug and back."""
    with Captured("warning") as log:
        own, theirs = structlog.get_logger(), logging.getLogger("lib")

        def write() -> int:
            before = len(log.lines())
            for level in ("debug", "info", "warning", "error"):
                getattr(own, level)("own")
                getattr(theirs, level)("theirs")
            return len(log.lines()) - before

        assert write() == 4
        assert (logs.toggle_debug("warning"), write()) == ("debug", 8)
        assert (logs.toggle_debug("warning"), write()) == ("warning", 4)


def test_the_toggle_of_a_server_at_debug_stays() -> None:
    """Where debug is what was configured, the toggle leaves it."""
    with Captured("debug"):
        assert [logs.toggle_debug("debug") for _ in range(2)] == ["debug", "debug"]


def test_asyncio_does_not_chatter() -> None:
    """At debug, libraries that talk about themselves are kept down."""
    with Captured("debug") as log:
        logging.getLogger("asyncio").debug("Using selector")
        logging.getLogger("watchfiles.main").debug("1 change detected")
        assert log.lines() == []


class Terminal(io.BytesIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@pytest.mark.parametrize(
    ("form", "stream", "is_json", "colours"),
    [
        ("auto", io.BytesIO, True, False),
        ("auto", Terminal, False, True),
        ("json", Terminal, True, False),
        ("console", io.BytesIO, False, False),
    ],
)
def test_the_form_follows_the_stream(form: str, stream: type[io.BytesIO], is_json: bool, colours: bool) -> None:  # noqa: FBT001 - parameters of the test
    """`auto` is for people on a terminal, with colours, and JSON elsewhere; a form that is named holds."""
    with Captured(form=form, stream=stream()) as log:
        structlog.get_logger().info("hello", number=1)
        text = log.text
    assert (text.startswith("{"), "\x1b[" in text, "hello" in text) == (is_json, colours, True)


def test_tracebacks_on_a_terminal_show_no_variables() -> None:
    """For people too, a traceback has code and message, and not the values of variables: questions and secrets."""
    with Captured(form="console") as log:
        try:
            fail()
        except ValueError:
            structlog.get_logger().exception("failed")
            logging.getLogger("lib").exception("failed")
        text = log.text
    assert (text.count("ValueError: outer"), "private matter" in text) == (2, False)


def test_lines_of_threads_do_not_mix() -> None:
    """Many threads writing at once leave whole lines, each once."""
    with Captured() as log:

        def write(number: int) -> None:
            for count in range(50):
                structlog.get_logger().info("line", number=number, count=count, filler="x" * 500)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = {(line["number"], line["count"]) for line in log.lines()}
        assert len(log.lines()) == len(found) == 400
