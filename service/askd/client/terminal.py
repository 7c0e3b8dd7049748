"""What a server sent, as it may be shown: a terminal obeys control characters, so that there they are taken out."""

import re
from typing import Any, Final

import msgspec

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def shown(text: str) -> str:
    """Return the text with each control character but tab and line feed as `�`; CR LF is a line feed."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def loosely(body: bytes) -> Any:
    """Return the body's JSON; None where it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def cut(text: str, width: int) -> str:
    """Return the text in one line of so many characters at most."""
    line = " ".join(shown(text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"
