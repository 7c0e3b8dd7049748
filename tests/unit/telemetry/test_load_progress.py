"""Progress of loading: a bar on a terminal, log lines elsewhere."""

import asyncio

from askd.models import ProgressMessage
from askd.telemetry import load_progress
from askd.telemetry.load_progress import ProgressReporter
from tests.support.fakes import Clock, wait_until
from tests.support.log_capture import LogCapture, TerminalStream


def test_bar_shows_the_fraction() -> None:
    """A known fraction is shown as a bar and a percentage; otherwise there are only the message and the time."""
    clock = Clock()
    reporter = ProgressReporter(clock)
    clock.advance(4)
    reporter(ProgressMessage.with_fraction("read 100,000 entries", 0.5))
    assert reporter.render_bar() == "█" * 12 + "░" * 12 + "  50%  read 100,000 entries  4s"
    reporter("importing main.py")
    assert reporter.render_bar() == "importing main.py  4s"
    assert (ProgressMessage.with_fraction("x", 7.0).fraction, ProgressMessage.with_fraction("x", -1.0).fraction) == (
        1.0,
        0.0,
    )
    reporter("long " * 50)
    assert len(reporter.render_bar()) < 80


async def test_progress_is_logged_without_a_terminal() -> None:
    """While the answerer is loading, the log has message, percentage and duration, once there is a message."""
    with LogCapture() as log:
        async with load_progress.show_progress(interval=0.001) as report:
            report(ProgressMessage.with_fraction("read 100,000 entries", 0.25))
            await wait_until(lambda: len(log.lines("answerer_loading")) >= 2)
        count = len(log.lines("answerer_loading"))
        await asyncio.sleep(0)
        lines = log.lines("answerer_loading")
    assert (lines[0]["progress"], lines[0]["percent"], len(lines)) == ("read 100,000 entries", 25, count)


async def test_bar_stays_below_the_log() -> None:
    """On a terminal the bar is below the log, and is erased at the end."""
    with LogCapture(log_format="console", stream=TerminalStream()) as log:
        async with load_progress.show_progress(interval=0.001) as report:
            report(ProgressMessage.with_fraction("read", 1.0))
            await wait_until(lambda: "█" in log.stream.getvalue().decode())
        assert log.stream.getvalue().decode().endswith("\r\x1b[2K")
