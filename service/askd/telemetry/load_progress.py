"""Progress of loading the answerer: a bar on a terminal, otherwise a log line every few seconds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Final

import structlog

from askd.models import ProgressMessage
from askd.telemetry.log_stream import log_stream

LOG_INTERVAL: Final = 3.0
"""Seconds between two log lines; a shorter load logs none."""
FRAME_INTERVAL: Final = 0.2
"""Seconds between two updates of the bar."""
_BAR_WIDTH: Final = 24
_TEXT_WIDTH: Final = 38

_log = structlog.get_logger("askd")


class ProgressReporter:
    """Progress callback that keeps the latest message and renders it. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started_at = clock()
        self.latest = ""
        """The latest message; empty before the first."""

    def __call__(self, message: str) -> None:
        """Record a message."""
        self.latest = message

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the load started."""
        return self._clock() - self._started_at

    def log(self) -> None:
        """Log the latest message, if there is one."""
        if self.latest:
            percent = {"percent": round(self.latest.fraction * 100)} if isinstance(self.latest, ProgressMessage) else {}
            duration = round(self.elapsed_seconds * 1000)
            _log.info("answerer_loading", progress=str(self.latest), **percent, duration_ms=duration)

    def render_bar(self) -> str:
        """Return the progress as one terminal line; without a known fraction the bar is left out."""
        text = self.latest if len(self.latest) <= _TEXT_WIDTH else f"{self.latest[: _TEXT_WIDTH - 1]}…"
        if not isinstance(self.latest, ProgressMessage):
            return f"{text}  {self.elapsed_seconds:.0f}s"
        filled = round(self.latest.fraction * _BAR_WIDTH)
        bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
        return f"{bar} {self.latest.fraction:4.0%}  {text}  {self.elapsed_seconds:.0f}s"


@contextlib.asynccontextmanager
async def show_progress(*, interval: float | None = None) -> AsyncIterator[ProgressReporter]:
    """Show the progress of the load in this block.

    Args:
        interval: Seconds between two updates; None means `FRAME_INTERVAL` on a terminal, otherwise `LOG_INTERVAL`.
    """
    reporter, is_terminal = ProgressReporter(), log_stream.is_terminal
    default_interval = FRAME_INTERVAL if is_terminal else LOG_INTERVAL
    task = asyncio.create_task(
        _update_periodically(reporter, default_interval if interval is None else interval, is_terminal=is_terminal)
    )
    try:
        yield reporter
    finally:
        task.cancel()
        await asyncio.wait({task})
        log_stream.set_footer("")


async def _update_periodically(reporter: ProgressReporter, interval: float, *, is_terminal: bool) -> None:
    while True:
        await asyncio.sleep(interval)
        if is_terminal:
            log_stream.set_footer(reporter.render_bar() if reporter.latest else "")
        else:
            reporter.log()
