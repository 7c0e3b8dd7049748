"""Captures the log."""

import io
import json
import logging
import sys
import threading
from typing import Any, Self

from askd.telemetry import log_config
from askd.telemetry.log_stream import log_stream


class LogCapture:
    """Configures the log to write to memory; restores the previous configuration at the end of the block."""

    def __init__(self, level: str = "info", log_format: str = "json", stream: io.BytesIO | None = None) -> None:
        self.stream = stream or io.BytesIO()
        self._level_and_format = level, log_format

    def __enter__(self) -> Self:
        self._handlers, self._root_level = logging.root.handlers[:], logging.root.level
        self._hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        log_stream.flush()  # lines of an earlier test's loop
        log_config.configure(*self._level_and_format, stream=self.stream)
        logging.getLogger("aiohttp.access").disabled = True
        return self

    def __exit__(self, *_error: object) -> None:
        log_stream.flush()
        logging.captureWarnings(capture=False)
        logging.getLogger("aiohttp.access").disabled = False
        logging.root.handlers[:] = self._handlers
        logging.root.setLevel(self._root_level)
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._hooks

    @property
    def text(self) -> str:
        """The text that was written so far."""
        log_stream.flush()
        return self.stream.getvalue().decode()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the lines, which must all be JSON; with `event`, only lines of that event."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if event in (None, line["event"])]


class TerminalStream(io.BytesIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True
