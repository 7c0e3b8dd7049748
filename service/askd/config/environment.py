r"""Variables from a file, as `docker run --env-file` reads them.

A line is `NAME=value`, a comment that starts with `#`, or empty. Beyond docker's: `export` may stand before the name,
and a value may stand in quotes, which are taken off: within '…' nothing is special, within "…" backslash escapes
\n, \t, \" and \\ are. A `#` after the name belongs to the value. A name alone is docker's "as in the environment",
where it is anyway, so it adds nothing. The last line for a name wins.
"""

import re
from pathlib import Path
from typing import Final

from service.errors import SettingsError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SINGLE: Final = re.compile(r"'([^']*)'\s*(#.*)?")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(#.*)?')
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPED: Final = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def read(path: str) -> dict[str, str]:
    """Return the variables that the file has. Raises SettingsError with one line for each fault in it."""
    variables: dict[str, str] = {}
    faults: list[str] = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            found = _variable(line)
        except ValueError as fault:
            faults.append(f"{path}:{number}: {fault}")
            continue
        if found:
            variables[found[0]] = found[1]
    if faults:
        raise SettingsError(faults)
    return variables


def _lines(path: str) -> list[str]:
    """Not splitlines(), which would split values at U+2028 and the like."""
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as fault:
        reason = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
        raise SettingsError([f"--env-file={path}: cannot be read: {reason}"]) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        number = content.count(b"\n", 0, fault.start) + 1
        raise SettingsError([f"{path}:{number}: is not UTF-8: save the file in that encoding"]) from None
    return text.split("\n")


def _variable(line: str) -> tuple[str, str] | None:
    """Return name and value; None for a line that sets nothing. Raises ValueError that says what is wrong."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    name, equals, value = re.sub(r"^export\s+", "", line).partition("=")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{_start(line)} is no variable: give NAME=value, without spaces around the =")
    if "\0" in value:
        raise ValueError(f"the value of {name} holds a NUL character, which no variable can")
    return (name, _unquoted(name, value.strip())) if equals else None


def _start(line: str) -> str:
    """What identifies a faulty line: its first word, for the rest may be a secret."""
    return repr(line.partition("=")[0].strip()[:40])


def _unquoted(name: str, value: str) -> str:
    if value[:1] not in {"'", '"'}:
        return value
    found = (_SINGLE if value[0] == "'" else _DOUBLE).fullmatch(value)
    if not found:
        raise ValueError(f"the value of {name} starts with {value[0]} and does not end with it: close the quotes")
    return found[1] if value[0] == "'" else _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), found[1])
