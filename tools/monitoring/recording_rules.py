"""Recording rules: the share of questions that went wrong, and of answers that were slow, over several windows.

A question is /ask, whoever asks it. Wrong is every 5xx: what failed, what was shed (503) and what came too late (504).
What the client is to blame for (4xx) and what it did not wait for (499) is not. Slow is measured on what was answered:
a refusal in a millisecond would make it look better, a stream counts to its end.
"""

from collections.abc import Iterator
from typing import Any, Final

from tests.rules.parameters import DAY, HOUR, MINUTE, Parameters

WINDOWS: Final = {"5m": 5 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "3d": 3 * DAY}
FLEET: Final = "by (namespace, job)"
_ASK: Final = 'route="/ask"'
_FINE: Final = 'code!~"5.."'
_ANSWERED: Final = 'code=~"2..|304|404"'


def recording(parameters: Parameters) -> Iterator[dict[str, Any]]:
    """Yield the rules; a name says the window that is meant, also where it is scaled."""
    for window, seconds in WINDOWS.items():
        yield {"record": f"job:askd_errors:ratio_rate{window}", "expr": _errors(parameters, parameters.span(seconds))}
        yield {"record": f"job:askd_slow:ratio_rate{window}", "expr": _slow(parameters, parameters.span(seconds))}


def _errors(parameters: Parameters, window: str) -> str:
    fine = parameters.series("askd_requests_total", _ASK, _FINE)
    return _rest(fine, parameters.series("askd_requests_total", _ASK), window)


def _slow(parameters: Parameters, window: str) -> str:
    within = f'le="{parameters.threshold}"'
    fast = parameters.series("askd_request_duration_seconds_bucket", _ASK, _ANSWERED, within)
    return _rest(fast, parameters.series("askd_request_duration_seconds_count", _ASK, _ANSWERED), window)


def _rest(part: str, whole: str, window: str) -> str:
    """Return the share that is not in the part; nothing, where there is no whole."""
    return f"1 - (\n  sum {FLEET} (rate({part}[{window}]))\n/\n  sum {FLEET} (rate({whole}[{window}]))\n)"
