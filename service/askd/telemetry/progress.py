"""How far a load has come: a bar where a person watches the log, else a line every few seconds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Final

import structlog

from service.models import Step
from service.telemetry.output import output

LINES_EVERY: Final = 3.0
"""Seconds between two log lines; a load that takes less has none."""
FRAMES_EVERY: Final = 0.2
_BAR: Final = 24
_TEXT: Final = 38

_log = structlog.get_logger("askd")


class Loading:
    """Takes the lines of a load's progress, and shows the last of them. `clock` gives seconds that only rise."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.line = ""
        """What was told last; empty: nothing yet."""

    def __call__(self, line: str) -> None:
        """Take note of how far it is."""
        self.line = line

    @property
    def seconds(self) -> float:
        """How long the load has taken so far."""
        return self._clock() - self._began

    def tell(self) -> None:
        """Log how far it is, where anything was told."""
        if self.line:
            share = {"percent": round(self.line.share * 100)} if isinstance(self.line, Step) else {}
            _log.info("loading", progress=str(self.line), **share, seconds=round(self.seconds, 1))

    def bar(self) -> str:
        """Return how far it is as one line of a terminal; without a known share the bar is left out."""
        text = self.line if len(self.line) <= _TEXT else f"{self.line[: _TEXT - 1]}…"
        if not isinstance(self.line, Step):
            return f"{text}  {self.seconds:.0f}s"
        full = round(self.line.share * _BAR)
        return f"{'█' * full}{'░' * (_BAR - full)} {self.line.share:4.0%}  {text}  {self.seconds:.0f}s"


@contextlib.asynccontextmanager
async def shown(*, every: float | None = None) -> AsyncIterator[Loading]:
    """Show how far the load is that takes place meanwhile, `every` so many seconds; None: as often as is usual."""
    loading, terminal = Loading(), output.terminal
    usual = FRAMES_EVERY if terminal else LINES_EVERY
    task = asyncio.create_task(_show(loading, usual if every is None else every, terminal=terminal))
    try:
        yield loading
    finally:
        task.cancel()
        await asyncio.wait({task})
        output.foot("")


async def _show(loading: Loading, every: float, *, terminal: bool) -> None:
    while True:
        await asyncio.sleep(every)
        if terminal:
            output.foot(loading.bar() if loading.line else "")
        else:
            loading.tell()
