r"""The variables of a project's `.env`, as python-dotenv reads it for LangGraph's own tools.

Other than in askd's own `--env-file`: spaces may stand around the `=`, a `#` after white space begins a comment, and
`${NAME}` or `${NAME:-else}` is replaced, from the environment first, then from the lines above. Quotes around a value
are taken off: within '…' backslash escapes \' and \\ are, within "…" \n, \t, \r, \" and \\. Values of several lines
are not read.
"""

import os
import re
from pathlib import Path
from typing import Final

from service.errors import LoadError

_NAME: Final = re.compile(r"\s*(?:export\s+)?([^\s=#'\"]+)\s*(=|(?:#.*)?$)")
_QUOTED: Final = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?""")
_COMMENT: Final = re.compile(r"\s+#.*")
_SINGLE: Final = re.compile(r"\\(['\\])")
_DOUBLE: Final = re.compile(r"\\([ntr\"\\])")
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r"}
_VARIABLE: Final = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")


def read(file: Path) -> dict[str, str]:
    """Return the variables that the file has; the last line for a name wins. Raises LoadError with file and line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as fault:
        raise LoadError(f"{file}: cannot be read: {getattr(fault, 'strerror', None) or fault}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name = _NAME.match(line)
        value = _value(line[name.end() :]) if name and "\0" not in line else None
        if name is None or value is None:
            raise LoadError(f"{file}:{number}: is no variable: give NAME=value, quotes closed on the same line")
        if name[2] == "=":  # a name alone sets nothing
            found[name[1]] = _VARIABLE.sub(lambda each: _known(each, found), value)
    return found


def _value(text: str) -> str | None:
    """Return the value that stands behind the `=`; None where it is faulty."""
    if text.lstrip()[:1] not in {"'", '"'}:
        return _COMMENT.sub("", text).strip()
    quoted = _QUOTED.fullmatch(text.rstrip())
    if not quoted:
        return None
    if quoted[1] is not None:
        return _SINGLE.sub(r"\1", quoted[1])
    return _DOUBLE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted[2])


def _known(name: re.Match[str], above: dict[str, str]) -> str:
    return os.environ.get(name[1], above.get(name[1], name[2] or ""))
