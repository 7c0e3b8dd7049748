"""How far a load is: lines for a log, a bar for a person."""

import asyncio
import io

from service.models import Step
from service.telemetry import loading
from service.telemetry.loading import Loading
from tests.fakes import Clock, until
from tests.telemetry.captured import Captured


class Terminal(io.BytesIO):
    """Takes bytes as a terminal does."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def test_a_bar_is_as_long_as_the_share() -> None:
    """A known share is drawn and told; without one the line and the seconds stand alone."""
    clock = Clock()
    shown = Loading(clock)
    clock.advance(4)
    shown(Step.of("read 100,000 entries", 0.5))
    assert shown.bar() == "█" * 12 + "░" * 12 + "  50%  read 100,000 entries  4s"
    shown("importing main.py")
    assert shown.bar() == "importing main.py  4s"
    assert (Step.of("x", 7.0).share, Step.of("x", -1.0).share) == (1.0, 0.0)
    shown("long " * 50)
    assert len(shown.bar()) < 80


async def test_without_a_terminal_there_is_a_line_every_few_seconds() -> None:
    """The log tells line, share and seconds for as long as the load lasts, and nothing before anything is known."""
    with Captured() as log:
        async with loading.shown(every=0.001) as progress:
            progress(Step.of("read 100,000 entries", 0.25))
            await until(lambda: len(log.lines("loading")) >= 2)
        count = len(log.lines("loading"))
        await asyncio.sleep(0)
        found = log.lines("loading")
    assert (found[0]["progress"], found[0]["percent"], len(found)) == ("read 100,000 entries", 25, count)


async def test_at_a_terminal_the_bar_stays_below_the_log() -> None:
    """Lines are written above the bar, which is drawn anew after each, and is gone at the end."""
    with Captured(form="console", stream=Terminal()) as log:
        async with loading.shown(every=0.001) as progress:
            progress(Step.of("read", 1.0))
            await until(lambda: "█" in log.stream.getvalue().decode())
        assert log.stream.getvalue().decode().endswith("\r\x1b[2K")
