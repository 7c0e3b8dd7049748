"""The log, taken for the length of a block."""

import io
import json
import logging
import sys
import threading
from typing import Any, Self

from service.telemetry import logs
from service.telemetry.output import output


class Captured:
    """Sets the log up to write into memory; what was set up before is put back at the end."""

    def __init__(self, level: str = "info", form: str = "json", stream: io.BytesIO | None = None) -> None:
        self.stream = stream or io.BytesIO()
        self._arguments = level, form

    def __enter__(self) -> Self:
        self._handlers, self._level = logging.root.handlers[:], logging.root.level
        self._hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        output.flush()  # what another test's loop left behind
        logs.configure(*self._arguments, stream=self.stream)
        logging.getLogger("aiohttp.access").disabled = True
        return self

    def __exit__(self, *_error: object) -> None:
        output.flush()
        logging.captureWarnings(capture=False)
        logging.getLogger("aiohttp.access").disabled = False
        logging.root.handlers[:] = self._handlers
        logging.root.setLevel(self._level)
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._hooks

    @property
    def text(self) -> str:
        """What was written so far."""
        output.flush()
        return self.stream.getvalue().decode()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the lines, which must all be JSON; with `event`, those of that name."""
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if event in (None, line["event"])]
