"""Environment variables of settings, and variables from files such as `.env`."""

import difflib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from askd.errors import SettingsError

VARIABLE_PREFIX: Final = "ASKD_"
PLATFORM_PORT: Final = "PORT"
"""Variable in which Cloud Run, Knative, Heroku and others pass the port for requests."""
_INJECTED_NAME_PATTERN: Final = re.compile(r"ASKD_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_\w+)")
_SERVICE_LINK_PATTERN: Final = re.compile(r"(tcp|udp|sctp)://")


def flag_name(field: str) -> str:
    """Return the option of a field: `ops_port` → `--ops-port`."""
    return "--" + field.replace("_", "-")


def variable_name(field: str) -> str:
    """Return the variable of a field: `ops_port` → `ASKD_OPS_PORT`."""
    return VARIABLE_PREFIX + field.upper()


def read_variable(field: str, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the name and the text of the variable that sets a field; the text is None if it is unset.

    The port is also read from `PORT` if `ASKD_PORT` is unset.
    """
    names = [variable_name(field), *([PLATFORM_PORT] if field == "port" else [])]
    return next(((name, environ[name]) for name in names if is_set(environ.get(name, ""))), (names[0], None))


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


def read_env_file(path: str | Path) -> dict[str, str]:
    """Return the variables of a file in the syntax of python-dotenv, which LangGraph and docker compose use as well.

    `${NAME}` and `${NAME:-default}` in a value are replaced by the variable from the lines above or the environment.
    The last line for a name wins; a name without `=` sets nothing.

    Raises:
        SettingsError: The file cannot be read, or one line for each invalid line in it, without its value, which may
            be secret.
    """
    from dotenv import dotenv_values  # noqa: PLC0415 - a start without such a file does not need it
    from dotenv.parser import parse_stream  # noqa: PLC0415 - as above

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError([f"{path}: invalid UTF-8: save the file as UTF-8"]) from None
    except (OSError, ValueError) as error:
        raise SettingsError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    errors = [
        f"{path}:{binding.original.line}: invalid variable: expected NAME=value, with closed quotes"
        for binding in parse_stream(io.StringIO(text))
        if binding.error or "\0" in binding.original.string
    ]
    if errors:
        raise SettingsError(errors)
    values = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in values.items() if value is not None}
