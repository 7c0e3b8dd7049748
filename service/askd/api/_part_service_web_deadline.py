"""The deadline of a question: the time that the server allows for its answer, or less where the client asks for less.

`X-Request-Timeout` is the client's own wish, in seconds or as `500ms`; Envoy and the proxies built on it tell the time
that they will wait in `X-Envoy-Expected-Rq-Timeout-Ms`, where 0 means no bound. The least of the three counts.
"""

import re
from collections.abc import Mapping
from typing import Final

from multidict import istr

from service.errors import BadQuestion

WISH: Final = "X-Request-Timeout"
ENVOY: Final = "X-Envoy-Expected-Rq-Timeout-Ms"
_HEADERS: Final = istr(WISH), istr(ENVOY)
_WISH: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)?", re.ASCII)
_MILLISECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)


def given(headers: Mapping[str, str]) -> bool:
    """Say whether the client, or a proxy, tells of a time."""
    return _HEADERS[0] in headers or _HEADERS[1] in headers


def seconds(longest: float, headers: Mapping[str, str]) -> float:
    """Return the time for an answer in seconds, `longest` where the client wants no less. Raises BadQuestion."""
    wish, envoy = headers.get(WISH), headers.get(ENVOY)
    if wish is not None:
        longest = min(longest, _wished(wish))
    if envoy is not None:
        longest = min(longest, _expected(envoy) or longest)
    return longest


def _wished(text: str) -> float:
    found = _WISH.fullmatch(text.strip())
    value = float(found[1]) * (0.001 if found[2] == "ms" else 1.0) if found else 0.0
    if value <= 0.0:
        raise BadQuestion(WISH, f"'{WISH}' is not a time above 0. Give seconds, such as 2.5, or 500ms.")
    return value


def _expected(text: str) -> float:
    if not _MILLISECONDS.fullmatch(text.strip()):
        raise BadQuestion(ENVOY, f"'{ENVOY}' is not a whole number of milliseconds. Leave it to the proxy to set it.")
    return int(text) / 1000
