"""Cross-origin resource sharing (the Fetch standard): which origins may send requests and read responses."""

from collections.abc import Mapping, MutableMapping, Sequence

EXPOSED_HEADERS = "ETag, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, X-Request-Id, X-Served-By"
ALLOWED_HEADERS = (
    "Accept, Authorization, Cache-Control, Content-Type, If-None-Match, MCP-Protocol-Version, Mcp-Method, Mcp-Name, "
    "X-Request-Id, X-Request-Timeout, traceparent"
)
ALLOWED_METHODS = "GET, HEAD, POST, OPTIONS"
PREFLIGHT_MAX_AGE = "600"
"""Seconds for which a browser caches a preflight response. Short, so that a changed setting soon takes effect."""


class CorsPolicy:
    """CORS headers for a list of allowed origins.

    Args:
        origins: Allowed origins; `*` allows any origin. If empty, no CORS header is ever set.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._allows_any_origin = "*" in self._origins

    @property
    def is_enabled(self) -> bool:
        """Whether any origin is allowed."""
        return bool(self._origins)

    def allows(self, origin: str) -> bool:
        """Return whether pages of this origin may send requests."""
        return self._allows_any_origin or origin in self._origins

    def add_headers(self, request: Mapping[str, str], response: MutableMapping[str, str]) -> None:
        """Add the CORS headers to a response, including errors and streams."""
        if not self._origins:
            return
        vary = response.get("Vary")
        # Also without an allowed origin, so that no cache serves this response to an allowed origin.
        if not self._allows_any_origin:
            response["Vary"] = f"{vary}, Origin" if vary else "Origin"
        origin = request.get("Origin")
        if origin and self.allows(origin):
            # `*`, not the echoed origin: the response is then the same for every origin, and caches can share it.
            response["Access-Control-Allow-Origin"] = "*" if self._allows_any_origin else origin
            response["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            response["Timing-Allow-Origin"] = "*" if self._allows_any_origin else origin

    def preflight_headers(self, request: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return the headers of the preflight response, or None if this is not a preflight or not allowed."""
        if not (
            self._origins and "Access-Control-Request-Method" in request and self.allows(request.get("Origin", ""))
        ):
            return None
        return {
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": PREFLIGHT_MAX_AGE,
        }
