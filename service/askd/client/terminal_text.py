"""Text from a server, made safe for a terminal, which would obey control characters in it."""

import re
from typing import Final

_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def replace_control_characters(text: str) -> str:
    """Replace control characters except tab and line feed by `�`; CR LF becomes a line feed."""
    return _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def truncate(text: str, width: int) -> str:
    """Return the text as one line of at most `width` characters."""
    line = " ".join(replace_control_characters(text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"
