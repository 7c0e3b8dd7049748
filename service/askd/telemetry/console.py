"""Log lines for people at a terminal: short local times, and requests as one line of at most 120 columns."""

import re
import time
import unicodedata
from typing import Any, Final

import msgspec

from askd.telemetry.log_stream import log_stream

MAX_LINE_WIDTH: Final = 120
"""Columns of a request line."""
REQUEST_ID_LENGTH: Final = 8
"""Characters of the request id; enough to find the request in other lines."""
_METHOD_WIDTH: Final = 7
_PATH_WIDTH: Final = 16
_MAX_PATH_WIDTH: Final = 40
_DURATION_WIDTH: Final = 9
_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_STATUS_COLORS: Final = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}
_last_second: Final = [(-1, "")]
"""The second that was formatted last, and its text: one item, so that threads see a consistent pair."""


def format_clock_time() -> str:
    """Return the local time of day as HH:MM:SS.mmm."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    known_second, text = _last_second[0]
    if seconds != known_second:
        text = time.strftime("%H:%M:%S", time.localtime(seconds))
        _last_second[0] = seconds, text
    return f"{text}.{milliseconds:03d}"


def format_request(json_line: bytes) -> bytes:
    """Return the terminal form of an access log line.

    Reading the JSON line costs a few microseconds more than the context would, and gives both forms one schema.
    """
    fields: dict[str, Any] = msgspec.json.decode(json_line)
    status = fields["http.response.status_code"]
    path = _fit(_printable(fields.get("url.path") or fields["http.route"]), _MAX_PATH_WIDTH)
    clock_time = format_clock_time()
    request_id = fields["request_id"][:REQUEST_ID_LENGTH]
    method = _fit(_printable(fields["http.request.method"]), _METHOD_WIDTH)
    before_status = f"{method:{_METHOD_WIDTH}} {path:{_PATH_WIDTH}}"
    duration = f"{_format_duration(fields['duration_ms']):>{_DURATION_WIDTH}}"
    fixed_width = len(f"{clock_time} {before_status} {status} {duration}  {request_id}")
    detail = _fit(_printable(_describe(fields)), MAX_LINE_WIDTH - fixed_width - 2)
    detail = f"  {detail}" if detail else ""
    if not log_stream.use_colors:
        return f"{clock_time} {before_status} {status} {duration}{detail}  {request_id}".encode()
    color = _STATUS_COLORS.get(status // 100, "")
    return (
        f"{_DIM}{clock_time}{_RESET} {before_status} {color}{status}{_RESET} {duration}{detail}  "
        f"{_DIM}{request_id}{_RESET}"
    ).encode()


def _describe(fields: dict[str, Any]) -> str:
    """Return the problem as `code parameter: detail`, or the question if it is logged."""
    if "problem" not in fields:
        return str(fields.get("question", ""))
    subject = " ".join(fields[key] for key in ("problem", "parameter") if key in fields)
    return f"{subject}: {fields['detail']}"


def _format_duration(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"


def _printable(text: str) -> str:
    """Escape control characters: text of clients must not control the terminal or break the line."""
    return text if text.isprintable() else re.sub(r"[^ -~]", _escape_unprintable, text)


def _escape_unprintable(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _fit(text: str, width: int) -> str:
    """Cut the text to this number of columns; wide East Asian characters take two."""
    if text.isascii():
        return text if len(text) <= width else f"{text[: width - 1]}…"
    columns = [0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text]
    if sum(columns) <= width:
        return text
    used = 0
    for index, column_count in enumerate(columns):
        used += column_count
        if used > width - 1:
            return f"{text[:index]}…"
    return text
