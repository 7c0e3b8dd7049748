r"""Environment variables of settings, and variables from an `--env-file`.

A line of an env file is `NAME=value`, a comment that starts with `#`, or empty, as for `docker run --env-file`. In
addition, `export` may precede the name, and the value may be quoted: single quotes keep the text as it is, double
quotes replace the escapes \n, \t, \" and \\. A `#` in an unquoted value belongs to the value. A name without `=` sets
nothing. The last line for a name wins.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from askd.errors import SettingsError

VARIABLE_PREFIX: Final = "ASKD_"
_INJECTED_NAME_PATTERN: Final = re.compile(r"ASKD_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_\w+)")
_SERVICE_LINK_PATTERN: Final = re.compile(r"(tcp|udp|sctp)://")
_NAME_PATTERN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SINGLE_QUOTED_PATTERN: Final = re.compile(r"'([^']*)'\s*(#.*)?")
_DOUBLE_QUOTED_PATTERN: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(#.*)?')
_ESCAPE_PATTERN: Final = re.compile(r"\\(.)")
_ESCAPED_CHARACTERS: Final = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def flag_name(field: str) -> str:
    """Return the option of a field: `ops_port` → `--ops-port`."""
    return "--" + field.replace("_", "-")


def variable_name(field: str) -> str:
    """Return the variable of a field: `ops_port` → `ASKD_OPS_PORT`."""
    return VARIABLE_PREFIX + field.upper()


def read_variable(field: str, environ: Mapping[str, str]) -> str | None:
    """Return the text of a field's variable, or None if it is unset."""
    text = environ.get(variable_name(field), "")
    return text if is_set(text) else None


def is_set(text: str) -> bool:
    """Return whether the text of a variable counts as a value.

    Empty text does not. Nor does ASKD_PORT=tcp://…, which Kubernetes injects for a Service called askd.
    """
    return bool(text.strip()) and not _SERVICE_LINK_PATTERN.match(text)


def find_unknown_variables(environ: Mapping[str, str], known: Sequence[str]) -> dict[str, str | None]:
    """Return each `ASKD_*` variable that is not in `known`, with the most similar name (None if no name is similar).

    Variables that Kubernetes injects for Services called askd or askd-… are ignored.
    """
    unknown: dict[str, str | None] = {}
    for name, text in sorted(environ.items()):
        injected = _INJECTED_NAME_PATTERN.fullmatch(name) or (
            name.endswith("_PORT") and _SERVICE_LINK_PATTERN.match(text)
        )
        if name.startswith(VARIABLE_PREFIX) and name not in known and not injected:
            unknown[name] = next(iter(difflib.get_close_matches(name, known, n=1)), None)
    return unknown


def read_env_file(path: str) -> dict[str, str]:
    """Return the variables of an env file.

    Raises:
        SettingsError: The file cannot be read, or one line for each invalid line in it.
    """
    variables: dict[str, str] = {}
    errors: list[str] = []
    for number, line in enumerate(_read_lines(path), start=1):
        try:
            variable = _parse_line(line)
        except ValueError as error:
            errors.append(f"{path}:{number}: {error}")
            continue
        if variable:
            variables[variable[0]] = variable[1]
    if errors:
        raise SettingsError(errors)
    return variables


def _read_lines(path: str) -> list[str]:
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SettingsError([f"--env-file={path}: cannot be read: {reason}"]) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise SettingsError([f"{path}:{number}: invalid UTF-8: save the file as UTF-8"]) from None
    return text.split("\n")  # not splitlines(), which would split values at U+2028 and similar characters


def _parse_line(line: str) -> tuple[str, str] | None:
    """Return name and value, or None if the line sets nothing. Raises ValueError."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    name, equals, value = re.sub(r"^export\s+", "", line).partition("=")
    if not _NAME_PATTERN.fullmatch(name):
        # Only the part before "=" is quoted: the rest may be a secret.
        shown = line.partition("=")[0].strip()[:40]
        raise ValueError(f"invalid variable name {shown!r}: expected NAME=value without spaces around the =")
    if "\0" in value:
        raise ValueError(f"the value of {name} contains a NUL character, which no variable can hold: remove it")
    return (name, _unquote(name, value.strip())) if equals else None


def _unquote(name: str, value: str) -> str:
    if value[:1] not in {"'", '"'}:
        return value
    match = (_SINGLE_QUOTED_PATTERN if value[0] == "'" else _DOUBLE_QUOTED_PATTERN).fullmatch(value)
    if not match:
        raise ValueError(f"the value of {name} starts with {value[0]} but does not end with it: close the quotes")
    if value[0] == "'":
        return match[1]
    return _ESCAPE_PATTERN.sub(lambda escape: _ESCAPED_CHARACTERS.get(escape[1], escape[0]), match[1])
