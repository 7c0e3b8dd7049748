"""Request headers in the config of a graph: `http.configurable_headers` of langgraph.json.

Nodes find them in `configurable`. The rules are those of LangGraph's server: a header must match a pattern of
`includes` and none of `excludes`, in which `*` stands for any characters. Its name is in lower case. Credentials are
never passed on.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "x-service-key", "x-tenant-id"})


class ConfigurableHeaders:
    """Selects headers by patterns. Raises ValueError if the configuration is invalid."""

    def __init__(self, options: Any) -> None:
        if not isinstance(options, Mapping):
            raise ValueError("expected an object with `includes` and `excludes`")  # noqa: TRY004 - of a file
        self._includes = _parse_patterns(options, "includes")
        self._excludes = _parse_patterns(options, "excludes")

    def select(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that the graph may see, by their names in lower case."""
        named = ((name.lower(), value) for name, value in headers.items())
        return {name: value for name, value in named if name not in _CREDENTIALS and self._matches(name)}

    def _matches(self, name: str) -> bool:
        if any(pattern.fullmatch(name) for pattern in self._excludes):
            return False
        return any(pattern.fullmatch(name) for pattern in self._includes)


def _parse_patterns(options: Mapping[str, Any], key: str) -> Sequence[re.Pattern[str]]:
    patterns = options.get(key) or options.get(key.removesuffix("s")) or []
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"`{key}` is not a list of names")
    return [re.compile(".*".join(map(re.escape, pattern.lower().split("*"))), re.DOTALL) for pattern in patterns]
