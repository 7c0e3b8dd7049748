"""Recording rules: the ratio of failed requests and the ratio of slow answers, over several windows.

Only requests to /ask count. 5xx are errors, including 503 and 504; 4xx and client disconnects (499) are not. Latency is
measured on answers only, because fast rejections would improve it. A stream counts until its end.
"""

from collections.abc import Iterator
from typing import Any, Final

from tools.monitoring.parameters import DAY, HOUR, MINUTE, Parameters

WINDOWS: Final = {"5m": 5 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "3d": 3 * DAY}
BY_FLEET: Final = "by (namespace, job)"
REQUEST_DURATION: Final = "http_server_request_duration_seconds"
ASK_ROUTE: Final = 'http_route=~"/ask(/.+)?|/mcp|/v1/chat/completions"'
NOT_5XX: Final = 'http_response_status_code!~"5.."'
ANSWERED: Final = 'http_response_status_code=~"2..|304|404"'
NOT_ANSWERED: Final = ANSWERED.replace("=~", "!~")


def recording_rules(parameters: Parameters) -> Iterator[dict[str, Any]]:
    """Yield the rules. Their names have the unscaled window."""
    for window, seconds in WINDOWS.items():
        duration = parameters.duration(seconds)
        yield {"record": f"job:askd_errors:ratio_rate{window}", "expr": _error_ratio(parameters, duration)}
        yield {"record": f"job:askd_slow:ratio_rate{window}", "expr": _slow_ratio(parameters, duration)}


def _error_ratio(parameters: Parameters, window: str) -> str:
    requests = f"{REQUEST_DURATION}_count"
    successful = parameters.select(requests, ASK_ROUTE, NOT_5XX)
    return _complement_ratio(successful, parameters.select(requests, ASK_ROUTE), window)


def _slow_ratio(parameters: Parameters, window: str) -> str:
    within_threshold = f'le="{parameters.threshold}"'
    fast = parameters.select(f"{REQUEST_DURATION}_bucket", ASK_ROUTE, ANSWERED, within_threshold)
    return _complement_ratio(fast, parameters.select(f"{REQUEST_DURATION}_count", ASK_ROUTE, ANSWERED), window)


def _complement_ratio(part: str, whole: str, window: str) -> str:
    """Return an expression for the share that is not in `part`; the result is empty without requests."""
    return f"1 - (\n  sum {BY_FLEET} (rate({part}[{window}]))\n/\n  sum {BY_FLEET} (rate({whole}[{window}]))\n)"
