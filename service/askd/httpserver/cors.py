"""Cross-origin requests (the Fetch standard): which other origins' pages may ask, and what their scripts may read."""

from collections.abc import Mapping, MutableMapping, Sequence

EXPOSED = "ETag, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, X-Request-Id, X-Served-By"
ALLOWED = (
    "Accept, Authorization, Cache-Control, Content-Type, If-None-Match, X-Request-Id, X-Request-Timeout, traceparent"
)
METHODS = "GET, HEAD, POST, OPTIONS"
MAX_AGE = "600"
"""Seconds for which a browser may remember a preflight: ten minutes, so that a changed setting soon holds."""


class Cors:
    """The rule for `origins`; `*` among them admits any. Empty: no header is ever set."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._any = "*" in self._origins

    @property
    def on(self) -> bool:
        """Whether any other origin may ask."""
        return bool(self._origins)

    def _admits(self, origin: str) -> bool:
        return self._any or origin in self._origins

    def expose(self, request: Mapping[str, str], response: MutableMapping[str, str]) -> None:
        """Set the response's headers: for errors and streams as for answers."""
        if not self._origins:
            return
        vary = response.get("Vary")
        if not self._any:
            response["Vary"] = f"{vary}, Origin" if vary else "Origin"
        origin = request.get("Origin")
        if origin and self._admits(origin):
            response["Access-Control-Allow-Origin"] = "*" if self._any else origin
            response["Access-Control-Expose-Headers"] = EXPOSED
            response["Timing-Allow-Origin"] = "*" if self._any else origin

    def preflight(self, request: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return the headers of the answer to a preflight; None where the request is none, or not admitted."""
        if not (
            self._origins and "Access-Control-Request-Method" in request and self._admits(request.get("Origin", ""))
        ):
            return None
        return {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": ALLOWED,
            "Access-Control-Max-Age": MAX_AGE,
        }
