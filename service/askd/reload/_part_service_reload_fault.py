"""A fault in one line: where it is and what it is."""

import re
from typing import Final

_FRAME: Final = re.compile(r" {2}(\S.*?:\d+)(: .*)?")
_LONGEST: Final = 500


def one_line(fault: BaseException) -> str:
    """Return `main.py:4: ModuleNotFoundError: No module named 'x'`, or the fault's first line where it has no place.

    Rests on how `answerers.faults` writes: a head, then, indented by two, the user's own frames and the exception.
    """
    lines = str(fault).splitlines() or [type(fault).__name__]
    frames = [number for number, line in enumerate(lines) if _FRAME.fullmatch(line)]
    if not frames or frames[-1] + 1 == len(lines):
        return lines[0][:_LONGEST]
    place = _FRAME.fullmatch(lines[frames[-1]])
    return f"{place[1] if place else ''}: {lines[frames[-1] + 1].strip()}"[:_LONGEST]
