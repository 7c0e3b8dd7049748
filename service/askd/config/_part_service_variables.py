"""Names of settings as flags and variables, and what of an environment is a setting's value."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "ASKD_"
_INJECTED: Final = re.compile(r"ASKD_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_\w+)")
_SERVICE_LINK: Final = re.compile(r"(tcp|udp|sctp)://")


def flag_name(field: str) -> str:
    """`ops_port` → `--ops-port`."""
    return "--" + field.replace("_", "-")


def variable_name(field: str) -> str:
    """`ops_port` → `ASKD_OPS_PORT`."""
    return PREFIX + field.upper()


def value(field: str, environ: Mapping[str, str]) -> str | None:
    """Return the text that the environment has for a field; None: it has none."""
    text = environ.get(variable_name(field), "")
    return text if given(text) else None


def given(text: str) -> bool:
    """Whether a variable's text is a value: it is none when empty, nor as ASKD_PORT=tcp://…, which Kubernetes sets."""
    return bool(text.strip()) and not _SERVICE_LINK.match(text)


def unknown(environ: Mapping[str, str], known: Sequence[str]) -> dict[str, str | None]:
    """Return each `ASKD_*` variable that is not `known`, with the nearest name that is (None: nothing is near).

    What Kubernetes injects for Services called askd or askd-ops is passed over.
    """
    found: dict[str, str | None] = {}
    for name, text in sorted(environ.items()):
        injected = _INJECTED.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_LINK.match(text))
        if name.startswith(PREFIX) and name not in known and not injected:
            found[name] = next(iter(difflib.get_close_matches(name, known, n=1)), None)
    return found
